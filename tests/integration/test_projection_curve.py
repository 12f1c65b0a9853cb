"""What is left of the accuracy of projected digits, and the record of it in a run."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fathom
import reference
from digits_network import Learnt
from fathom.store.analyses import FOLDER

THRESHOLDS = (0.6, 0.9, 0.99, 1.0)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    return Learnt(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def curve(learnt: Learnt) -> fathom.ProjectionCurve:
    return fathom.projection_curve(
        learnt.model,
        learnt.accuracy,
        THRESHOLDS,
        source=learnt.folder,
        random=True,
        run=learnt.folder,
    )


def test_99_percent_of_the_variance_is_enough_and_random_directions_are_not(
    curve: fathom.ProjectionCurve,
) -> None:
    assert curve.baseline > 0.93
    assert curve.all[2] > curve.baseline - 0.03
    assert curve.random is not None
    assert curve.random[2] < curve.baseline - 0.3
    assert curve.all[0] < curve.baseline - 0.1
    assert sum(k[2] for k in curve.dimensions.values()) < 0.8 * sum(curve.widths.values())


def test_every_number_is_that_of_projecting_by_hand(
    learnt: Learnt, curve: fathom.ProjectionCurve
) -> None:
    assert curve.baseline == learnt.accuracy(learnt.model.eval())
    for place, threshold in enumerate(THRESHOLDS):
        with fathom.project(learnt.model, learnt.folder, threshold=threshold) as projection:
            assert curve.all[place] == learnt.accuracy(learnt.model)
            of_place = {name: k[place] for name, k in curve.dimensions.items()}
            assert of_place == projection.dimensions
        for layer, values in curve.by_layer.items():
            with fathom.project(learnt.model, learnt.folder, layers=[layer], threshold=threshold):
                assert values[place] == learnt.accuracy(learnt.model)
    assert list(curve.by_layer) == ["conv1", "conv2", "hidden", "head"]
    assert (curve.step, curve.phase) == (4, "eval")


def test_a_whole_layer_by_numpy_alone(learnt: Learnt, curve: fathom.ProjectionCurve) -> None:
    with torch.no_grad():
        rows: Tensor = learnt.model(learnt.train[0])
        tested: Tensor = learnt.model(learnt.test[0])
    k = reference.intrinsic_dimension(reference.eigenvalues(rows), 0.6)
    mean = rows.double().numpy().mean(0)
    found = reference.projected(tested, reference.leading_directions(rows, k), mean)
    accuracy = (found.argmax(1) == learnt.test[1].numpy()).mean()
    assert curve.dimensions["head"][0] == k
    # One image may lie on the border between two classes.
    assert curve.by_layer["head"][0] == pytest.approx(accuracy, abs=1.1 / 360)


def test_what_a_layer_needs_is_read_off(curve: fathom.ProjectionCurve) -> None:
    needed = curve.needed()
    for layer, k in needed.items():
        tried = [*curve.dimensions[layer].tolist(), curve.widths[layer]]
        assert k in tried
        enough = curve.by_layer[layer][curve.dimensions[layer] >= k]
        assert (enough >= curve.baseline - 0.01 - 1e-9).all()
    assert curve.needed(loss=1.0) == {name: k[0] for name, k in curve.dimensions.items()}
    assert all(curve.needed(loss=-1.0)[name] == width for name, width in curve.widths.items())


def test_it_prints_as_a_table(curve: fathom.ProjectionCurve) -> None:
    lines = str(curve).splitlines()
    assert lines[0].split() == ["projected", "0.6", "0.9", "0.99", "1", "needs", "width"]
    assert lines[1].split() == ["all", "layers", *(f"{each:.3f}" for each in curve.all), "90"]
    assert [line.split()[0] for line in lines[3:7]] == ["conv1", "conv2", "hidden", "head"]
    assert lines[7] == f"unprojected: {curve.baseline:.3f}"
    assert "random directions" in curve._repr_html_()
    assert repr(curve).startswith("ProjectionCurve(4 layers, 4 thresholds, baseline 0.9")


def test_the_run_has_it(learnt: Learnt, curve: fathom.ProjectionCurve) -> None:
    with fathom.open_run(learnt.folder) as run:
        (stored,) = run.projections()
    assert stored.to_body() == curve.to_body()
    assert str(stored) == str(curve)


def test_without_a_source_the_attached_monitor_has_the_directions(learnt: Learnt) -> None:
    model = learnt.model.eval()
    calls: list[int] = []

    def evaluated(of: nn.Module) -> Tensor:
        calls.append(1)
        return learnt.accuracy(of)

    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        model(learnt.train[0])
        before = monitor.report()
        found = fathom.projection_curve(model, evaluated, [1, 0.9], each=False)
        assert monitor.report() == before
        given = fathom.projection_curve(model, evaluated, [0.9], source=monitor, each=False)
    assert found.thresholds.tolist() == [0.9, 1.0]
    assert (found.by_layer, found.random, found.step) == ({}, None, None)
    assert given.all[0] == found.all[0]
    assert len(calls) <= 5
    with pytest.raises(fathom.ArgumentError, match="no monitor attached"):
        fathom.projection_curve(model, evaluated)
    with (
        fathom.watch(model),
        fathom.watch(model),
        pytest.raises(fathom.ArgumentError, match="2 attached"),
    ):
        fathom.projection_curve(model, evaluated)


def test_a_run_keeps_the_curve_of_each_step_and_draws_the_last(
    learnt: Learnt, tmp_path: Path
) -> None:
    model, values = learnt.model.eval(), iter([0.1, 0.2, 0.3, 0.4])

    def record(step: int | None = None) -> None:
        value = next(values)
        fathom.projection_curve(
            model, lambda model: value, [0.9], each=False, run=tmp_path / "run", step=step
        )

    with fathom.watch(model, tmp_path / "run", budget=None) as monitor, torch.no_grad():
        model(learnt.test[0])
        # Of no step yet.
        record()
        for step in (0, 7):
            monitor.snapshot(step=step).wait()
            model(learnt.test[0])
            record()
        record(step=3)
    with fathom.open_run(tmp_path / "run") as run:
        curves = run.projections()
        assert [(each.step, each.baseline) for each in curves] == [
            (None, 0.1),
            (0, 0.2),
            (3, 0.4),
            (7, 0.3),
        ]
        assert {each.source_step for each in curves} == {None}
        texts = run.plot.projection().figure.findobj(Text)
        assert any("step 7" in each.get_text() for each in texts)
    found = fathom.projection_curve(
        model, lambda model: 0.5, [0.9], source=learnt.folder, step=4, each=False
    )
    assert (found.step, found.source_step) == (4, 4)
    # Curves of before had one step for both.
    old = {name: each for name, each in found.to_body().items() if name != "source_step"}
    assert fathom.ProjectionCurve.from_body(old).source_step == 4


def test_every_evaluation_begins_in_eval_mode(learnt: Learnt) -> None:
    modes = []

    def evaluated(model: nn.Module) -> float:
        modes.append(model.training or model[0].training)  # type: ignore[index]
        model.train()
        return 0.5

    fathom.projection_curve(learnt.model, evaluated, [0.5, 0.9], source=learnt.folder)
    assert len(modes) > 2
    assert not any(modes)


def test_the_same_dimensions_are_evaluated_once(learnt: Learnt) -> None:
    calls: list[int] = []

    def evaluated(model: nn.Module) -> float:
        calls.append(1)
        return 0.5

    found = fathom.projection_curve(
        learnt.model, evaluated, [0.9, 0.9, 0.9000001], source=learnt.folder, layers=["hidden"]
    )
    assert found.dimensions["hidden"][0] == found.dimensions["hidden"][1]
    # Once projected, alone and together alike, and once as it is.
    assert len(calls) == 2


def test_the_model_and_all_random_states_are_as_before(learnt: Learnt) -> None:
    model = learnt.model
    model.train()
    model[3].eval()
    modes = [each.training for each in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loader = DataLoader(TensorDataset(*learnt.test), batch_size=90, shuffle=True)
    python, numbers, torches = random.getstate(), np.random.get_state(), torch.get_rng_state()
    drawn: set[tuple[float, ...]] = set()

    def evaluated(of: nn.Module) -> float:
        assert not any(each.training for each in of.modules())
        assert not torch.is_grad_enabled()
        drawn.add((random.random(), float(np.random.rand()), float(torch.rand(()))))
        return sum(float((of(x).argmax(1) == y).sum()) for x, y in loader) / 360

    fathom.projection_curve(model, evaluated, [0.9], source=learnt.folder, random=True)
    # Every evaluation began alike.
    assert len(drawn) == 1

    def broken(of: nn.Module) -> float:
        random.random()
        raise KeyError("of the user")

    with pytest.raises(KeyError, match="of the user"):
        fathom.projection_curve(model, broken, [0.9], source=learnt.folder)
    assert [each.training for each in model.modules()] == modes
    assert not any(each._forward_hooks for each in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numbers[1])  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), torches)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eval_fn": 3}, "eval_fn must be a function.*got 3"),
        ({"eval_fn": lambda model: "0.9"}, "result of eval_fn must be a number .* got '0.9'"),
        ({"eval_fn": lambda model: torch.zeros(2)}, "result of eval_fn must be a number"),
        ({"thresholds": []}, r"thresholds must be numbers in \(0, 1\], got \[\]"),
        ({"thresholds": [0.5, 2]}, "got 2"),
        ({"run": 3}, "run must be a run or its folder, got 3"),
        ({"layers": ["relu3"]}, "'relu3' that has none"),
    ],
)
def test_what_is_wrong_is_said(learnt: Learnt, arguments: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"eval_fn": learnt.accuracy, "source": learnt.folder} | arguments
    with pytest.raises(fathom.ArgumentError, match=message):
        fathom.projection_curve(learnt.model, **options)


def test_a_run_that_is_none_is_told_before_the_work(learnt: Learnt, tmp_path: Path) -> None:
    def never(model: nn.Module) -> float:
        raise AssertionError

    with pytest.raises(fathom.RunNotFoundError, match="nothing"):
        fathom.projection_curve(learnt.model, never, source=learnt.folder, run=tmp_path / "nothing")


def test_a_damaged_curve_is_left_out_and_the_run_still_opens(
    learnt: Learnt, curve: fathom.ProjectionCurve
) -> None:
    folder = learnt.folder / FOLDER / "projection"
    path = folder / "step9.json"
    sealed = (folder / "step4.json").read_text()
    path.write_text(sealed.replace("0.9", "0.8"))
    try:
        with fathom.open_run(learnt.folder) as run:
            with pytest.warns(fathom.FathomWarning, match="step9 .*left out"):
                assert [each.step for each in run.projections()] == [4]
            assert run.steps == [4]
    finally:
        path.unlink()


DAMAGES: list[dict[str, Any]] = [
    {"thresholds": []},
    {"thresholds": [2.0, 2.0, 2.0, 2.0]},
    {"thresholds": "0.9"},
    {"all": [1.0]},
    {"all": [True] * 4},
    {"random": 1.0},
    {"layers": {}},
    {"layers": [{"layer": 3, "width": 2, "dimensions": [1] * 4, "accuracy": None}]},
    {"layers": [{"layer": "0", "width": 2, "dimensions": [3] * 4, "accuracy": None}]},
    {"layers": [{"layer": "0", "width": 2, "dimensions": [-1] * 4, "accuracy": None}]},
    {"layers": [{"layer": "0", "width": 2, "dimensions": [1.5] * 4, "accuracy": None}]},
    {"layers": [{"layer": "0", "width": 2, "dimensions": [1] * 4, "accuracy": ["a"] * 4}]},
    {"baseline": None},
    {"step": 1.5},
    {"step": 1e300},
    {"source_step": "4"},
    {"phase": 3},
]


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_body_that_is_no_curve_is_refused(
    curve: fathom.ProjectionCurve, damage: dict[str, Any]
) -> None:
    body = json.loads(json.dumps(curve.to_body()))
    assert fathom.ProjectionCurve.from_body(body).to_body() == body
    with pytest.raises(fathom.DamagedRecordError, match="projection curve"):
        fathom.ProjectionCurve.from_body(body | damage)
    with pytest.raises(fathom.DamagedRecordError):
        fathom.ProjectionCurve.from_body({})
