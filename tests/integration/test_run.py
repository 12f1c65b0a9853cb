"""What a monitor records, `open_run` reads: the same numbers, to the bit."""

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference

LAYERS = ("first", "second", "third")


class Backwards(nn.Module):
    """Its layers are registered in the opposite order to that in which they run."""

    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Linear(8, 3)
        self.second = nn.Linear(12, 8)
        self.first = nn.Conv2d(1, 12, 3)
        self.spare = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.first(images).relu().mean((2, 3))
        classes: Tensor = self.third(self.second(features).relu())
        return classes


def show(model: nn.Module, *, seed: int, phase: str) -> None:
    """Call the model once on images of its own."""
    generator = torch.Generator().manual_seed(seed)
    model.train(phase == "train")
    model(torch.randn(32, 1, 6, 6, generator=generator) * 10 ** (seed % 3))


def record(folder: Path, steps: int = 4) -> list[fathom.Snapshot]:
    """Record a run with train readings at every step and eval readings at every second."""
    torch.manual_seed(0)
    model = Backwards()
    snapshots = []
    with fathom.watch(model, folder, budget=None) as monitor:
        for step in range(steps):
            show(model, seed=step, phase="train")
            if step % 2 == 0:
                show(model, seed=step + 100, phase="eval")
            snapshots.append(monitor.snapshot(step=10 * step, loss=1 / (step + 3)))
    return snapshots


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[fathom.Snapshot]]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, record(folder)


def bits(numbers: object) -> list[int]:
    return np.asarray(numbers, dtype=np.float64).view(np.int64).tolist()  # type: ignore[no-any-return]


def test_eigenvalues_live_and_from_disk_are_the_same_to_the_bit(
    recorded: tuple[Path, list[fathom.Snapshot]],
) -> None:
    folder, snapshots = recorded
    compared = 0
    with fathom.open_run(folder) as run:
        for snapshot in snapshots:
            for phase in ("train", "eval"):
                for name, reading in snapshot.phase(phase).items():
                    spectrum = run.spectrum(name, step=snapshot.step, phase=phase)
                    assert bits(spectrum.eigenvalues) == bits(reading.eigenvalues)
                    assert spectrum.rows == reading.rows
                    compared += 1
    assert compared == 3 * 4 + 3 * 2


@pytest.mark.parametrize("phase", ["train", "eval"])
@pytest.mark.parametrize("name", [name for name in fathom.STATISTICS if name != "rankme"])
def test_every_statistic_live_and_from_disk_is_the_same_to_the_bit(
    recorded: tuple[Path, list[fathom.Snapshot]], name: str, phase: str
) -> None:
    folder, snapshots = recorded
    with fathom.open_run(folder) as run:
        values = run.statistic(name, phase=phase)
    assert values.shape == (4, 3)
    for row, snapshot in enumerate(snapshots):
        readings = snapshot.phase(phase)
        if phase == "eval" and row % 2:
            assert np.isnan(values[row]).all()
        else:
            live = [readings[layer].statistics[name] for layer in LAYERS]
            assert bits(values[row]) == bits(live)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9, 0.95, 0.999, 1.0])
def test_statistics_are_recomputed_at_any_threshold(
    recorded: tuple[Path, list[fathom.Snapshot]], threshold: float
) -> None:
    folder, snapshots = recorded
    with fathom.open_run(folder) as run:
        dimensions = run.statistic("intrinsic_dimension", phase="train", threshold=threshold)
        saturations = run.statistic("saturation", phase="train", threshold=threshold)
        again = [run.snapshot(step, threshold=threshold) for step in run.steps]
    for row, snapshot in enumerate(snapshots):
        for column, layer in enumerate(LAYERS):
            values = snapshot.train[layer].eigenvalues
            wanted = reference.intrinsic_dimension(values, threshold)
            if reference.margin_at_cut(values, threshold) > 1e-12:
                assert dimensions[row, column] == wanted
            live = fathom.saturation(values, threshold=threshold)
            assert bits(saturations[row, column]) == bits(live)
            assert bits(again[row].train[layer].saturation) == bits(live)


def test_the_threshold_of_the_run_is_the_default(tmp_path: Path) -> None:
    model = Backwards()
    with fathom.watch(model, tmp_path / "run", threshold=0.6, budget=None) as monitor:
        show(model, seed=1, phase="eval")
        live = monitor.snapshot(step=0)
    with fathom.open_run(tmp_path / "run") as run:
        saturations = run.statistic("saturation")
        at_99 = run.statistic("saturation", threshold=0.99)
    assert bits(saturations[0]) == bits([live.eval[layer].saturation for layer in LAYERS])
    assert (at_99 > saturations).any()


def test_rankme_that_was_not_measured_is_nan(
    recorded: tuple[Path, list[fathom.Snapshot]],
) -> None:
    with fathom.open_run(recorded[0]) as run:
        assert np.isnan(run.statistic("rankme", phase="train")).all()


def test_rankme_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    model = Backwards()
    with fathom.watch(model, tmp_path / "run", statistics=["rankme"], budget=None) as monitor:
        show(model, seed=1, phase="eval")
        live = monitor.snapshot(step=0)
    with fathom.open_run(tmp_path / "run") as run:
        values = run.statistic("rankme")
    assert bits(values[0]) == bits([live.eval[layer].statistics["rankme"] for layer in LAYERS])


def test_snapshots_come_back_as_they_were_returned(
    recorded: tuple[Path, list[fathom.Snapshot]],
) -> None:
    folder, snapshots = recorded
    with fathom.open_run(folder) as run:
        for live in snapshots:
            kept = run.snapshot(live.step)
            assert (kept.step, kept.metrics) == (live.step, live.metrics)
            assert kept.unobserved == live.unobserved == ("spare",)
            assert kept.disabled == live.disabled
            assert kept.output_layer == live.output_layer == "third"
            for phase in ("train", "eval"):
                assert list(kept.phase(phase)) == list(live.phase(phase))
                for name, reading in live.phase(phase).items():
                    back = kept.phase(phase)[name]
                    assert back.layer == reading.layer
                    assert repr(back) == repr(reading)
                    assert (back.samples, back.calls) == (reading.samples, reading.calls) == (32, 1)
                    assert bits(list(back.statistics.values())) == bits(
                        list(reading.statistics.values())
                    )
            average = kept.average_saturation("train")
            assert bits(average) == bits(live.average_saturation("train"))
        assert run.snapshot().step == snapshots[-1].step


def test_steps_metrics_and_layers_in_execution_order(
    recorded: tuple[Path, list[fathom.Snapshot]],
) -> None:
    with fathom.open_run(recorded[0]) as run:
        assert run.steps == [0, 10, 20, 30]
        assert run.layers == list(LAYERS)
        assert [(facts.kind, facts.width) for facts in run.layer_facts.values()] == [
            ("convolution", 12),
            ("linear", 8),
            ("linear", 3),
        ]
        assert [facts.module for facts in run.layer_facts.values()] == ["Conv2d", *["Linear"] * 2]
        assert list(run.metrics) == ["loss"]
        assert bits(run.metrics["loss"]) == bits([1 / 3, 1 / 4, 1 / 5, 1 / 6])
        assert run.damaged == []
        assert "4 steps, 3 layers" in repr(run)


def test_the_facts_of_the_run(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    with fathom.watch(
        Backwards(), tmp_path / "run", layers=["*i*"], threshold=0.9, max_samples=9, budget=None
    ):
        pass
    with fathom.open_run(tmp_path / "run") as run:
        facts = run.facts
        assert run.sessions == [facts]
        assert (len(run.steps), len(run.layers)) == (0, 0)
        assert run.metrics == {}
        assert run.statistic("saturation").shape == (0, 0)
    assert facts["model"] == f"{Backwards.__module__}.Backwards"
    assert facts["fathom"] == version("fathom") == fathom.__version__
    assert facts["torch"] == torch.__version__
    assert before <= datetime.fromisoformat(facts["started"]) <= datetime.now(UTC)
    assert facts["processes"] == 1
    assert facts["settings"] == {
        "conv": "positions",
        "timesteps": "all",
        "downsample": None,
        "threshold": 0.9,
        "budget": None,
        "every": 1,
        "max_samples": 9,
        "max_width": 4096,
        "statistics": [],
        "keep": "spectrum",
        "ranks": "all",
        "classes": None,
    }


def test_a_layer_that_is_first_observed_late_has_nan_before(tmp_path: Path) -> None:
    model = Backwards()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        for step in range(2):
            show(model, seed=step, phase="eval")
            if step == 1:
                model.spare(torch.randn(20, 4))
            monitor.snapshot(step=step)
    with fathom.open_run(tmp_path / "run") as run:
        assert run.layers == [*LAYERS, "spare"]
        missing = np.isnan(run.statistic("saturation"))
    assert missing.tolist() == [[False, False, False, True], [False] * 4]


def test_aliases_of_a_shared_layer_are_kept(tmp_path: Path) -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(torch.randn(8, 4))
        monitor.snapshot(step=0)
    with fathom.open_run(tmp_path / "run") as run:
        assert run.layer_facts["0"].aliases == ("2",)
        assert run.snapshot().train["0"].calls == 2


def test_metrics_of_all_number_types_come_back(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    metrics = {
        "float": (0.1, 0.1),
        "integer": (3, 3.0),
        "boolean": (True, 1.0),
        "single": (np.float32(0.1), 0.10000000149011612),
        "int64": (np.int64(7), 7.0),
        "array": (np.array(2.5), 2.5),
        "tensor": (torch.tensor(0.25), 0.25),
        "vector_of_one": (torch.tensor([[0.5]]), 0.5),
        "half": (torch.tensor(0.1, dtype=torch.bfloat16), 0.10009765625),
        "loss": (torch.ones(3, requires_grad=True).sum(), 3.0),
        "nothing": (float("nan"), float("nan")),
        "endless": (float("-inf"), float("-inf")),
    }
    wanted = [number for _, number in metrics.values()]
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(torch.randn(4, 2))
        given: dict[str, Any] = {name: value for name, (value, _) in metrics.items()}
        snapshot = monitor.snapshot(step=0, **given)
        monitor.snapshot(step=1, late=1.5)
    assert all(type(value) is float for value in snapshot.metrics.values())
    assert bits(list(snapshot.metrics.values())) == bits(wanted)
    with fathom.open_run(tmp_path / "run") as run:
        assert list(run.metrics) == [*metrics, "late"]
        assert bits([values[0] for values in run.metrics.values()]) == bits([*wanted, np.nan])
        assert np.isnan([values[1] for values in run.metrics.values()][:-1]).all()
        assert run.metrics["late"][1] == 1.5


def test_an_open_run_sees_what_is_recorded_later(tmp_path: Path) -> None:
    model = Backwards()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        run = fathom.open_run(tmp_path / "run")
        assert (run.steps, run.layers) == ([], [])
        for step in range(3):
            show(model, seed=step, phase="eval")
            live = monitor.snapshot(step=step).wait()
            assert run.steps == list(range(step + 1))
            assert run.layers == list(LAYERS)
            values = run.spectrum("second", step=step).eigenvalues
            assert bits(values) == bits(live.eval["second"].eigenvalues)
            assert run.statistic("saturation").shape == (step + 1, 3)
    assert run.steps == [0, 1, 2]
    run.close()


def test_kept_covariances_are_the_reference_and_give_the_spectrum(tmp_path: Path) -> None:
    outputs: list[Tensor] = []
    model = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4))
    with fathom.watch(model, tmp_path / "run", keep="covariance", budget=None) as monitor:
        for step in range(2):
            model.eval()
            outputs.append(model[0](torch.randn(300, 6) + 5).detach())
            monitor.snapshot(step=step)
    assert sorted(path.name for path in (tmp_path / "run" / "covariances").iterdir()) == [
        "00000000.safetensors",
        "00000001.safetensors",
    ]
    with fathom.open_run(tmp_path / "run") as run:
        assert run.facts["settings"]["keep"] == "covariance"
        for step, rows in enumerate(outputs):
            covariance, mean = run.covariance("0", step=step)
            wanted = reference.covariance(rows)
            assert np.abs(covariance.numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()
            np.testing.assert_allclose(mean, rows.double().mean(0), rtol=1e-5)
            values = np.linalg.eigvalsh(covariance.numpy())[::-1]
            kept = run.spectrum("0", step=step).eigenvalues.numpy()
            np.testing.assert_allclose(kept, values, rtol=1e-6, atol=1e-6 * values[0])
        assert torch.equal(run.covariance("0")[0], run.covariance("0", step=1)[0])
        with pytest.raises(fathom.RunNotFoundError, match="eval/2"):
            run.covariance("2")


def test_rankme_that_nobody_asked_for_comes_from_kept_covariances(tmp_path: Path) -> None:
    live = []
    for name in ("asked", "kept"):
        torch.manual_seed(0)
        model = Backwards()
        statistics = ["rankme"] if name == "asked" else []
        keep = "covariance" if name == "kept" else "spectrum"
        folder = tmp_path / name
        with fathom.watch(model, folder, statistics=statistics, keep=keep, budget=None) as monitor:
            show(model, seed=1, phase="eval")
            live.append(monitor.snapshot(step=0))
    wanted = [live[0].eval[layer].statistics["rankme"] for layer in LAYERS]
    assert "rankme" not in live[1].eval["first"].statistics
    with fathom.open_run(tmp_path / "kept") as run:
        np.testing.assert_allclose(run.statistic("rankme")[0], wanted, rtol=1e-6)


def test_a_run_without_covariances_says_so(
    recorded: tuple[Path, list[fathom.Snapshot]],
) -> None:
    with (
        fathom.open_run(recorded[0]) as run,
        pytest.raises(fathom.RunNotFoundError, match='keep="covariance"'),
    ):
        run.covariance("first", step=0)
