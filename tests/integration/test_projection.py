"""A projected model computes what the formula says, layer by layer, and is as it was afterwards."""

import copy
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference

Rows = dict[str, Tensor]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
    ).eval()


def images(count: int = 40, seed: int = 1) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "kept"
    model = network()
    with fathom.watch(model, folder, keep="covariance", budget=None) as monitor:
        for step in range(2):
            with torch.no_grad():
                model(images(seed=step))
            monitor.snapshot(step)
    return folder


def test_every_layer_is_projected_as_the_formula_says() -> None:
    model, x = network(), images()
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        model(x)
        first: Tensor = model[0](x)
        rows = first.movedim(1, -1).reshape(-1, 6)
        projection = fathom.project(model, monitor, threshold=0.9)
        k = reference.intrinsic_dimension(reference.eigenvalues(rows), 0.9)
        assert projection.dimensions["0"] == k < 6
        mean = rows.double().numpy().mean(0)
        expected = reference.projected(rows, reference.leading_directions(rows, k), mean)
        seen: dict[str, Tensor] = {}
        with projection:
            handle = model[0].register_forward_hook(
                lambda module, args, output: seen.update(first=output.clone())
            )
            found = model(x)
            handle.remove()
        by_position = seen["first"].movedim(1, -1).reshape(-1, 6)
        np.testing.assert_allclose(by_position.numpy(), expected, atol=1e-5)
        # What follows sees the projected output alone, each layer about the mean it was seen with.
        after = model[1:4](seen["first"].clone())
        whole = model[3](model[2](model[1](first))).movedim(1, -1).reshape(-1, 8)
        mean = whole.double().numpy().mean(0)
        vectors = reference.leading_directions(whole, projection.dimensions["3"])
        expected = reference.projected(after.movedim(1, -1).reshape(-1, 8), vectors, mean)
        last = torch.from_numpy(expected).float().reshape(40, 4, 4, 8).movedim(-1, 1)
        head = model[6](model[5](model[4](last.contiguous())))
        heads = model[6](model[5](model[4](model[3](model[2](model[1](first))))))
        vectors = reference.leading_directions(heads, projection.dimensions["6"])
        expected = reference.projected(head, vectors, heads.double().numpy().mean(0))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_the_dimensions_are_the_intrinsic_dimensions_of_the_run(run: Path) -> None:
    with fathom.open_run(run) as opened:
        for threshold in (0.5, 0.9, 0.99, 1.0):
            projection = fathom.project(network(), opened, threshold=threshold)
            snapshot = opened.snapshot(threshold=threshold).eval
            assert projection.dimensions == {
                name: reading.intrinsic_dimension for name, reading in snapshot.items()
            }
            assert projection.layers == list(snapshot)


def test_a_run_its_folder_and_a_monitor_say_the_same(run: Path) -> None:
    model, x = network(), images(seed=1)
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        model(x)
        moments = monitor.moments()
        outputs = []
        with fathom.open_run(run) as opened:
            for source in (opened, run, str(run), monitor, moments):
                with fathom.project(model, source, threshold=0.8):
                    outputs.append(model(x))
        first = fathom.project(model, run, threshold=0.8, step=0)
        with first:
            other = model(x)
    for each in outputs[1:]:
        assert torch.allclose(each, outputs[0], atol=1e-5)
    assert not torch.allclose(other, outputs[0], atol=1e-2)


def test_at_threshold_1_the_outputs_are_unchanged_within_rounding() -> None:
    model, x = network(), images()
    double = nn.Linear(5, 8)
    with torch.no_grad():
        # Of rank 5, and with two features that are the same.
        double.weight[7], double.bias[7] = double.weight[6], double.bias[6]
    model.append(double)
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        expected = model(x)
        with fathom.project(model, monitor, threshold=1.0) as projection:
            found = model(x)
            dimension = projection.dimensions["7"]
            projection.dimensions = projection.widths
            assert torch.equal(model(x), expected)
    # The two equal features are cut; float32 leaves variance of its rounding in the others.
    assert 5 <= dimension < 8
    assert torch.allclose(found, expected, atol=1e-6)


def test_thresholds_and_dimensions_change_on_the_fly(run: Path) -> None:
    model, x = network(), images()
    with torch.no_grad(), fathom.project(model, run, threshold=0.5) as projection:
        assert projection.threshold == 0.5
        low, of_low = model(x), projection.dimensions
        projection.threshold = 0.95
        high, of_high = model(x), projection.dimensions
        assert all(of_low[name] < of_high[name] for name in ("0", "3"))
        projection.thresholds = {"0": 0.5}
        assert projection.dimensions == of_high | {"0": of_low["0"]}
        assert projection.threshold is None
        projection.dimensions = {"3": 2}
        assert projection.thresholds == {"0": 0.5, "3": None, "6": 0.95}
        assert "Projection(3 layers" in repr(projection)
        projection.threshold = 0.5
        assert torch.equal(model(x), low)
        assert not torch.equal(high, low)


def test_a_dimension_of_0_leaves_the_mean(run: Path) -> None:
    with fathom.open_run(run) as opened:
        mean = opened.covariance("6")[1]
    model = network()
    with fathom.project(model, run, layers=["6"]) as projection, torch.no_grad():
        projection.dimensions = {"6": 0}
        found = model(images())
    assert torch.allclose(found.double(), mean.expand(40, 5), atol=1e-6)


def test_only_the_chosen_layers_are_projected(run: Path) -> None:
    model, x = network(), images()
    for layers in (["3"], ["*", "!0", "!6"], lambda name, module: name == "3", "3"):
        with fathom.project(model, run, layers=layers) as projection:
            assert projection.layers == ["3"]
            assert [len(each._forward_hooks) for each in model] == [0, 0, 0, 1, 0, 0, 0]
            model(x)


def test_random_directions_are_of_the_same_dimension_and_repeat(run: Path) -> None:
    model, x = network(), images()
    leading = fathom.project(model, run, threshold=0.9)
    state = torch.get_rng_state()
    outputs = []
    with torch.no_grad():
        for seed in (0, 0, 1):
            with fathom.project(model, run, threshold=0.9, random=True, seed=seed) as control:
                assert control.random
                assert control.dimensions == leading.dimensions
                outputs.append(model(x))
        with fathom.project(model, run, threshold=0.9, random=True, layers=["0"]), leading:
            pass
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])


def test_nothing_of_the_model_changes_after_an_exception_too(run: Path) -> None:
    model = network()
    model.train()
    model[3].eval()
    before = copy.deepcopy(model.state_dict())
    python, numbers, torches = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with fathom.watch(model, budget=None) as monitor:
        hooks = [list(each._forward_hooks) for each in model.modules()]

        def interrupted() -> None:
            with fathom.project(model, run):
                model.eval()(images())
                raise KeyError("of the user")

        with pytest.raises(KeyError, match="of the user"):
            interrupted()
        assert [list(each._forward_hooks) for each in model.modules()] == hooks
        # The monitor was paused, and goes on.
        assert all(each.rows == 0 for each in monitor.report())
        model(images())
        assert monitor.report()[0].rows == 40 * 36
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numbers[1])  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), torches)


def test_a_layer_that_cannot_take_a_hook_leaves_none_behind(run: Path) -> None:
    model = network()
    projection = fathom.project(model, run)

    def refuse(hook: Any) -> None:
        raise RuntimeError("no hooks here")

    model[6].register_forward_hook = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(RuntimeError, match="no hooks here"), projection:
        pass
    assert not any(each._forward_hooks for each in model)


def test_projections_lie_inside_each_other(run: Path) -> None:
    model, x = network(), images()
    with torch.no_grad():
        with fathom.project(model, run, layers=["0"], threshold=0.8):
            with fathom.project(model, run, layers=["3"], threshold=0.8):
                nested = model(x)
            alone = model(x)
        with fathom.project(model, run, layers=["0", "3"], threshold=0.8):
            assert torch.equal(model(x), nested)
        with fathom.project(model, run, layers=["0"], threshold=0.8):
            assert torch.equal(model(x), alone)
    assert not any(each._forward_hooks for each in model)


def test_one_projection_is_entered_once_at_a_time_and_again_after(run: Path) -> None:
    projection = fathom.project(network(), run)
    with projection, pytest.raises(fathom.ArgumentError, match="inside itself"):
        projection.__enter__()
    with projection:
        pass


def test_gradients_are_those_of_the_projection() -> None:
    model = nn.Sequential(network()[6]).double()
    x = torch.randn(7, 128, dtype=torch.float64, requires_grad=True)
    for dimension in (2, 4):
        with fathom.project(model, {"0": _moments()}) as projection:
            projection.dimensions = {"0": dimension}
            model(x)[:, 0].sum().backward()
        directions = torch.linalg.eigh(_moments().covariance())[1][:, -dimension:]
        weights = (directions @ directions.T)[0] @ model[0].weight
        assert x.grad is not None
        assert torch.allclose(x.grad, weights.expand(7, 128), atol=1e-9)
        x.grad = None


def _moments() -> fathom.Moments:
    generator = torch.Generator().manual_seed(0)
    return fathom.Moments.zeros(5).update(torch.randn(50, 5, generator=generator).double())


def test_a_copy_of_a_projected_model_is_an_ordinary_model(run: Path) -> None:
    model, x = network(), images()
    with torch.no_grad():
        expected = model(x)
        with fathom.project(model, run, threshold=0.5):
            assert not torch.allclose(model(x), expected)
            for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
                assert torch.equal(twin(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_and_cast_back(dtype: torch.dtype) -> None:
    model = nn.Linear(6, 8)
    rows = torch.randn(200, 6) * torch.tensor([9.0, 5, 2, 1, 0.5, 0.1])
    moments = fathom.Moments.zeros(8).update(model(rows) + 50)
    with torch.no_grad():
        model.bias.add_(50)
        half = copy.deepcopy(model).to(dtype)
        expected = half(rows.to(dtype))
        with fathom.project(half, {"": moments}) as projection:
            projection.dimensions = {"": 4}
            found = half(rows.to(dtype))
    assert found.dtype == dtype
    vectors = torch.linalg.eigh(moments.covariance())[1][:, -4:]
    centred = expected.double() - moments.mean
    exact = centred @ vectors @ vectors.T + moments.mean
    step = torch.finfo(dtype).eps * 80
    assert (found.double() - exact).abs().max() < step


def test_autocast_does_not_reach_the_projection(run: Path) -> None:
    model, x = network(), images()
    with torch.no_grad(), fathom.project(model, run, layers=["6"]) as projection:
        projection.dimensions = {"6": 2}
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = model(x)
        assert low.dtype == torch.bfloat16
        assert torch.allclose(low.float(), model(x), atol=0.05)


def test_inference_mode_first_and_training_later(run: Path) -> None:
    model, x = network(), images()
    with fathom.project(model, run, threshold=0.8):
        with torch.inference_mode():
            expected = model(x)
        found = model(x)
        found.sum().backward()
    assert torch.equal(found, expected)


def test_a_compiled_model_runs_uncompiled_and_is_compiled_again_after(run: Path) -> None:
    model, x = network(), images()
    compiled: Any = torch.compile(model, backend="eager")
    with torch.no_grad():
        plain = compiled(x)
        with fathom.project(model, run, threshold=0.8):
            expected = model(x)
        with fathom.project(compiled, run, threshold=0.8) as projection:
            assert torch.allclose(compiled(x), expected, atol=1e-6)
            projection.threshold = 1.0
            assert torch.allclose(compiled(x), plain, atol=1e-5)
        assert torch.equal(compiled(x), plain)
        assert not any(each._forward_hooks for each in model)


def test_data_parallel_is_projected_by_the_names_of_the_model(run: Path) -> None:
    model, x = network(), images()
    with torch.no_grad():
        with fathom.project(model, run, threshold=0.8):
            expected = model(x)
        wrapped = nn.DataParallel(model)
        with fathom.project(wrapped, run, threshold=0.8):
            assert torch.equal(wrapped(x), expected)


Change = Callable[[nn.Sequential, Path], object]
REFUSED: list[tuple[str, Change, type[Exception], str]] = [
    ("threshold", lambda m, r: fathom.project(m, r, threshold=1.2), ValueError, "got 1.2"),
    ("seed", lambda m, r: fathom.project(m, r, random=True, seed=-1), ValueError, "got -1"),
    ("source", lambda m, r: fathom.project(m, 3), ValueError, "project: source must be.*int"),  # type: ignore[arg-type]
    ("no run", lambda m, r: fathom.project(m, r / "x"), fathom.RunNotFoundError, "x"),
    ("empty", lambda m, r: fathom.project(m, {}), ValueError, "empty"),
    ("no rows", lambda m, r: fathom.project(m, {"0": fathom.Moments.zeros(6)}), ValueError, "'0'"),
    ("phase", lambda m, r: fathom.project(m, r, phase="test"), ValueError, "'test'"),
    ("other phase", lambda m, r: fathom.project(m, r, phase="train"), ValueError, "train phase"),
    ("step", lambda m, r: fathom.project(m, r, step=9), fathom.RunNotFoundError, "got 9"),
    (
        "layer",
        lambda m, r: fathom.project(m, r, layers=["nothing"]),
        fathom.LayerSelectionError,
        "project: layers.*'nothing'",
    ),
    (
        "not watched",
        lambda m, r: fathom.project(m, r, layers=["1"]),
        fathom.LayerSelectionError,
        "'1' that has none.*There are: 0, 3, 6",
    ),
    (
        "another model",
        lambda m, r: fathom.project(m[:3], r),
        fathom.LayerSelectionError,
        "got '3' from the source",
    ),
    (
        "another width",
        lambda m, r: fathom.project(nn.Sequential(nn.Conv2d(1, 7, 3)), r, layers=["0"]),
        fathom.ShapeError,
        "layer 0 must have width 6.*got 7",
    ),
    (
        "unknown threshold",
        lambda m, r: setattr(fathom.project(m, r), "thresholds", {"1": 0.5}),
        ValueError,
        "got '1'",
    ),
    (
        "too many",
        lambda m, r: setattr(fathom.project(m, r), "dimensions", {"0": 7}),
        ValueError,
        r"0\.\.6.*got 7",
    ),
    (
        "half a dimension",
        lambda m, r: setattr(fathom.project(m, r), "dimensions", {"0": 1.5}),
        ValueError,
        r"got 1\.5",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [pytest.param(*rest, id=name) for name, *rest in REFUSED],
)
def test_what_is_wrong_is_said(
    run: Path, call: Change, kind: type[Exception], message: str
) -> None:
    with pytest.raises(fathom.FathomError, match=message) as caught:
        call(network(), run)
    assert isinstance(caught.value, kind)


def test_a_run_without_covariances_says_how_to_keep_them(tmp_path: Path) -> None:
    model = network()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(images())
        monitor.snapshot(0)
    with pytest.raises(fathom.RunNotFoundError, match='keep="covariance"'):
        fathom.project(model, tmp_path / "run")


def test_a_window_without_rows_says_so() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(images())
        monitor.snapshot(0)
        with pytest.raises(fathom.ArgumentError, match="rows of the eval phase in its window"):
            fathom.project(model, monitor)
        model.train()(images())
        assert fathom.project(model, monitor).layers == ["0", "3", "6"]
        with pytest.raises(fathom.ArgumentError, match="eval phase"):
            fathom.project(model, monitor, phase="eval")


def test_a_sketched_layer_is_refused_by_name(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 600)).eval()
    run = tmp_path / "run"
    with fathom.watch(model, run, keep="covariance", budget=None, max_width=100) as monitor:
        model(torch.randn(50, 4))
        with pytest.raises(fathom.LayerSelectionError, match="'1', which is sketched"):
            fathom.project(model, monitor)
        assert fathom.project(model, monitor, layers=["*", "!1"]).layers == ["0"]
        monitor.snapshot(0)
    with pytest.raises(fathom.LayerSelectionError, match="'1', which is sketched"):
        fathom.project(model, run)
    assert fathom.project(model, run, layers=["*", "!1"]).layers == ["0"]


def test_an_output_that_was_picked_otherwise_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.LSTM(4, 6, batch_first=True)).eval()
    picks = {"0": lambda output: output[1][0]}
    run = tmp_path / "run"
    with fathom.watch(model, run, keep="covariance", budget=None, outputs=picks) as monitor:
        model(torch.randn(5, 3, 4))
        with pytest.raises(fathom.LayerSelectionError, match="picked by watch"):
            fathom.project(model, monitor)
        monitor.snapshot(step=0)
    with pytest.raises(fathom.LayerSelectionError, match="picked by watch"):
        fathom.project(model, run)


def test_an_output_of_another_width_is_refused_with_its_shape() -> None:
    class Varying(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    model = nn.Sequential(Varying())
    moments = fathom.Moments.zeros(4).update(torch.randn(20, 4))
    with fathom.project(model, {"0": moments}, threshold=0.5):
        model(torch.randn(2, 4))
        with pytest.raises(fathom.ShapeError, match=r"layer 0 .*width 4.*\(2, 5\)"):
            model(torch.randn(2, 5))
        with pytest.raises(fathom.ShapeError, match="int64"):
            model(torch.ones(2, 4, dtype=torch.int64))


def test_moments_of_a_window_are_copies() -> None:
    model, x = nn.Linear(4, 3).eval(), torch.randn(50, 4)
    with fathom.watch(model, budget=None) as monitor:
        model(x)
        moments = monitor.moments()[""]
        np.testing.assert_allclose(moments.covariance(), reference.covariance(model(x)), atol=1e-6)
        moments.update(torch.ones(10, 3))
        assert monitor.moments("train") == {}
        assert int(monitor.moments()[""].read) == 100
        with pytest.raises(fathom.ArgumentError, match="'both'"):
            monitor.moments("both")
