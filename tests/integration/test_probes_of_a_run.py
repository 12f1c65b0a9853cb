"""Probes in a run: stored by step, read back, and refused where a file is none."""

import json
import zlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fathom
from fathom.store.removal import remove_run

Data = tuple[Tensor, Tensor]


@pytest.fixture
def data() -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 5, generator=generator)
    return x, (x[:, 0] + torch.randn(60, generator=generator) > 0).long()


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))


@pytest.fixture
def run(tmp_path: Path, model: nn.Module, data: Data) -> Path:
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        for step in (0, 4):
            model.eval()(data[0])
            monitor.snapshot(step=step)
    return tmp_path / "run"


def test_they_are_stored_by_step_and_kind(run: Path, model: nn.Module, data: Data) -> None:
    last = fathom.probe(model, data, data, run=run)
    with fathom.open_run(run) as opened:
        first = fathom.probe(model, data, data, run=opened, step=0, layers=["0"])
        legacy = fathom.probe(model, data, data, run=str(run), legacy=True)
        negative = fathom.probe(model, data, data, run=run, step=-3, layers=["2"])
        assert (last.step, first.step, legacy.step) == (4, 0, 4)
        assert opened.probes() == opened.probes(4) == last
        assert opened.probes(0) == first
        assert opened.probes(-3) == negative
        assert opened.probes(legacy=True) == opened.probes(4, legacy=True) == legacy
        assert last != legacy
        again = fathom.probe(model, data, data, run=run, step=0)
        assert opened.probes(0) == again != first
        with pytest.raises(
            fathom.RunNotFoundError, match=r"without probes of step 3; probed are: -3, 0, 4\. "
        ):
            opened.probes(3)
        with pytest.raises(fathom.RunNotFoundError, match=r"probed are: 4\. .*legacy=True"):
            opened.probes(0, legacy=True)


def test_a_run_without_probes_says_how_to_get_them(run: Path) -> None:
    with (
        fathom.open_run(run) as opened,
        pytest.raises(fathom.RunNotFoundError, match="without probes of any step; probed are: no"),
    ):
        opened.probes()


def test_they_are_stored_while_the_training_writes(
    tmp_path: Path, model: nn.Module, data: Data
) -> None:
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        with pytest.raises(fathom.ArgumentError, match="step must be given for a run without st"):
            fathom.probe(model, data, data, run=tmp_path / "run")
        for step in range(2):
            model.train()(data[0])
            fathom.probe(model, data, data, run=tmp_path / "run", step=step)
            snapshot = monitor.snapshot(step=step)
            assert snapshot.train["0"].rows == 60
            assert not snapshot.eval
    with fathom.open_run(tmp_path / "run") as opened:
        assert opened.steps == [0, 1]
        assert [opened.probes(step).step for step in range(2)] == [0, 1]
        assert not opened.damaged


def test_there_must_be_a_run(tmp_path: Path, model: nn.Module, data: Data) -> None:
    with pytest.raises(fathom.RunNotFoundError, match="nowhere"):
        fathom.probe(model, data, data, run=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_stored_is_not_lost(
    run: Path, model: nn.Module, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "analyses").write_text("a file where a folder should be")
    with pytest.warns(fathom.FathomWarning, match="must be a folder that can be written"):
        probes = fathom.probe(model, data, data, run=run)
    assert len(probes) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "must be as fathom"),
        ({"step": 4}, "must be as fathom"),
        (
            {"step": 3, "legacy": False, "model_accuracy": 1, "layers": [], "left_out": {}},
            "got step4 of",
        ),
    ],
)
def test_a_damaged_file_is_told_and_takes_nothing_else_along(
    run: Path, model: nn.Module, data: Data, body: object, words: str
) -> None:
    fathom.probe(model, data, data, run=run, step=0)
    expected = fathom.probe(model, data, data, run=run, step=4)
    path = run / "analyses" / "probes" / "step4.json"
    if body is None:
        path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))
    else:
        text = json.dumps(body)
        path.write_text(json.dumps({"checksum": zlib.crc32(text.encode()), "body": text}))
    (path.parent / "other.json").write_text("{}")
    with fathom.open_run(run) as opened:
        with pytest.raises(fathom.DamagedRecordError, match=words):
            opened.probes(4)
        assert opened.probes(0).probes == expected.probes
        assert opened.snapshot().step == 4


def test_what_was_found_of_dropped_steps_goes_with_them(
    tmp_path: Path, model: nn.Module, data: Data
) -> None:
    run = tmp_path / "run"
    with fathom.watch(model, run, budget=None, keep="covariance") as monitor:
        for step in range(4):
            model.eval()(data[0])
            monitor.snapshot(step=step)
    for step in (1, 3):
        fathom.probe(model, data, data, run=run, step=step)
        fathom.probe(model, data, data, run=run, step=step, legacy=True)
        fathom.projection_curve(
            model, lambda _: 1.0, [0.5], source=run, step=step, run=run, each=False
        )
    fathom.similarity(model, None, data, run=run, name="step-by-step")
    fathom.watch(model, run, budget=None, keep="covariance", resume_from=2).close()
    with fathom.open_run(run) as opened:
        assert opened.probes().step == opened.probes(legacy=True).step == 1
        assert [curve.step for curve in opened.projections()] == [1]
        assert list(opened.similarities()) == ["step-by-step"]


def test_a_removed_run_leaves_nothing_that_was_found(
    run: Path, model: nn.Module, data: Data
) -> None:
    fathom.probe(model, data, data, run=run)
    remove_run(run)
    assert not run.exists()
