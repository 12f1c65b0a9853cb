"""Spectra off the training thread: what a snapshot says before it is done, and what goes wrong."""

import copy
import dataclasses
import pickle
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference
from fathom.spectral.gathered import Gathered
from held import Gate, Notes, held_decompositions


@pytest.fixture
def gate() -> Iterator[Gate]:
    with held_decompositions() as gate:
        yield gate


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def batch(size: int = 30) -> Tensor:
    return torch.randn(size, 4)


TOUCHES: dict[str, Any] = {
    "train": lambda snapshot: snapshot.train["0"].saturation,
    "eval": lambda snapshot: snapshot.eval,
    "phase": lambda snapshot: snapshot.phase("train"),
    "unobserved": lambda snapshot: snapshot.unobserved,
    "disabled": lambda snapshot: snapshot.disabled,
    "output_layer": lambda snapshot: snapshot.output_layer,
    "reasons": lambda snapshot: snapshot.reasons,
    "average": lambda snapshot: snapshot.average_saturation("train"),
    "pickle": pickle.dumps,
    "copy": copy.deepcopy,
    "replace": lambda snapshot: dataclasses.replace(snapshot, step=7),
    "asdict": dataclasses.asdict,
    "wait": lambda snapshot: snapshot.wait(timeout=60),
}


def test_a_snapshot_returns_while_its_spectra_are_computed(gate: Gate, tmp_path: Path) -> None:
    model, notes = network(), Notes()
    with fathom.watch(model, tmp_path / "run", sinks=[notes], budget=None) as monitor:
        rows = model[0](batch())
        snapshot = monitor.snapshot(step=3, loss=0.5)
        assert not snapshot.done
        assert (snapshot.step, snapshot.metrics) == (3, {"loss": 0.5})
        assert repr(snapshot) == "Snapshot(step=3; loss=0.5; computing)"
        assert fathom.open_run(tmp_path / "run").steps == notes.steps == []
        gate.open()
        assert snapshot.wait() is snapshot
        assert snapshot.done
        assert fathom.open_run(tmp_path / "run").steps == [3]
    assert notes.steps == [3]
    expected = reference.eigenvalues(rows.detach().double().numpy())
    np.testing.assert_allclose(
        snapshot.train["0"].eigenvalues, expected, rtol=1e-4, atol=1e-6 * expected[0]
    )
    assert "train: 1 layers" in repr(snapshot)


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES.keys())
def test_what_is_touched_waits(gate: Gate, touch: Any) -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(batch())
        snapshot = monitor.snapshot(step=0)
        gate.open_soon()
        touch(snapshot)
        assert gate.is_open
    assert snapshot.train["0"].rows == 30


def test_a_wait_that_takes_too_long_says_so(gate: Gate) -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(batch())
        snapshot = monitor.snapshot(step=0)
        with pytest.raises(TimeoutError, match=r"done within 0\.01 s"):
            snapshot.wait(timeout=0.01)
        assert not snapshot.done
        gate.open()
        assert snapshot.wait(timeout=60).done


def test_what_is_made_by_hand_copied_or_read_from_a_run_is_done(tmp_path: Path) -> None:
    by_hand = fathom.Snapshot(step=3, unobserved=("0",), reasons={"0": "not called"})
    assert by_hand.wait() is by_hand
    model = network()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(batch())
        snapshot = monitor.snapshot(step=0, loss=2.0)
        copies = [pickle.loads(pickle.dumps(snapshot)), copy.copy(snapshot)]
    with fathom.open_run(tmp_path / "run") as run:
        copies.append(run.snapshot(0))
    for each in copies:
        assert each.done
        assert each.metrics == {"loss": 2.0}
        assert each.train["0"].saturation == snapshot.train["0"].saturation
    assert by_hand.done
    with pytest.raises(AttributeError, match="no attribute 'saturation'"):
        by_hand.saturation  # type: ignore[attr-defined]  # noqa: B018


def test_a_snapshot_waits_for_the_window_before(gate: Gate) -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(batch())
        first = monitor.snapshot(step=0)
        model(batch(20))
        gate.open_soon()
        second = monitor.snapshot(step=1)
        assert first.done
        assert second.train["0"].rows == 20


def test_what_needs_no_spectrum_does_not_wait(gate: Gate) -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(batch())
        snapshot = monitor.snapshot(step=0)
        model(batch(7))
        assert [each.rows for each in monitor.report()] == [7, 7]
        state = monitor.state_dict()
        with monitor.pause():
            model(batch())
        assert "watching 2 layers" in repr(monitor)
        assert "nothing is recorded" in str(monitor)
        monitor.load_state_dict(state)
        assert not snapshot.done
        gate.open()
        assert monitor.snapshot(step=1).train["0"].rows == 7


def test_wrong_arguments_are_refused_at_the_call_and_the_window_stays() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(batch())
        monitor.snapshot(step=1)
        model(batch(8))
        with pytest.raises(fathom.ArgumentError, match="step must come after 1"):
            monitor.snapshot(step=1)
        with pytest.raises(fathom.ArgumentError, match="loss must be a number"):
            monitor.snapshot(step=2, loss="low")  # type: ignore[arg-type]
        assert monitor.snapshot(step=2).train["0"].rows == 8


def test_the_run_and_the_sinks_get_all_in_order(tmp_path: Path) -> None:
    model, notes = network(), Notes()
    with fathom.watch(
        model, tmp_path / "run", keep="covariance", sinks=[notes], budget=None
    ) as monitor:
        taken = []
        for step in range(25):
            model(batch(step + 5))
            taken.append(monitor.snapshot(step=step, double=2 * step))
    assert all(each.done for each in taken)
    assert all(got is sent for got, sent in zip(notes.snapshots, taken, strict=True))
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == notes.steps == list(range(25))
        assert run.metrics["double"].tolist() == [2.0 * step for step in range(25)]
        for step, live in enumerate(taken):
            kept = run.spectrum("0", step=step, phase="train")
            assert kept.rows == live.train["0"].rows == step + 5
            assert torch.equal(kept.eigenvalues, live.train["0"].eigenvalues)
            assert run.covariance("0", step=step, phase="train")[0].shape == (6, 6)


def test_a_sink_may_have_another_thread_read_the_snapshot() -> None:
    class Handing(Notes):
        def write(self, snapshot: fathom.Snapshot) -> None:
            reader = threading.Thread(target=lambda: rows.append(snapshot.train["0"].rows))
            reader.start()
            reader.join(60)

    rows: list[int] = []
    model = network()
    with fathom.watch(model, sinks=[Handing()], budget=None) as monitor:
        model(batch())
        monitor.snapshot(step=0)
    assert rows == [30]


def test_a_sink_that_waits_for_its_own_snapshot_or_closes_the_monitor_does_not_hang() -> None:
    class Eager(Notes):
        def write(self, snapshot: fathom.Snapshot) -> None:
            super().write(snapshot.wait())
            if snapshot.step == 1:
                monitor.close()

    model, notes = network(), Eager()
    monitor = fathom.watch(model, sinks=[notes], budget=None)
    for step in range(2):
        model(batch())
        snapshot = monitor.snapshot(step)
    assert snapshot.wait(60).train["0"].rows == 30
    assert notes.closed.wait(60)
    assert monitor.closed
    assert notes.steps == [0, 1]


@pytest.mark.parametrize("call", ["snapshot", "close", "wait", "touch"])
def test_a_layer_without_a_spectrum_is_switched_off_with_one_warning_at_the_next_call(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    eigvalsh, model = torch.linalg.eigvalsh, network()

    def failing(matrix: Tensor) -> Any:
        if len(matrix) == 3:
            raise RuntimeError("it did not converge")
        return eigvalsh(matrix)

    monkeypatch.setattr(torch.linalg, "eigvalsh", failing)
    monitor = fathom.watch(model, budget=None)
    model(batch())
    snapshot = monitor.snapshot(step=0)
    model(batch())
    calls: dict[str, Any] = {
        "snapshot": lambda: monitor.snapshot(step=1),
        "close": monitor.close,
        "wait": snapshot.wait,
        "touch": lambda: snapshot.train,
    }
    with pytest.warns(fathom.FathomWarning, match="layer 2 has no spectrum") as told:
        calls[call]()
    assert len(told) == 1
    assert "it did not converge" in str(told[0].message)
    assert list(snapshot.train) == ["0"]
    assert list(snapshot.disabled) == ["2"]
    if call != "close":
        later = monitor.snapshot(step=2)
        assert list(later.disabled) == ["2"]
        monitor.close()


def test_a_window_that_cannot_be_measured_is_told_and_the_next_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(gathered: Gathered) -> Any:
        raise MemoryError("no room")

    model, notes = network(), Notes()
    with fathom.watch(model, sinks=[notes], budget=None) as monitor:
        model(batch())
        with monkeypatch.context() as patch:
            patch.setattr(Gathered, "counts", failing)
            snapshot = monitor.snapshot(step=0)
            with pytest.warns(fathom.FathomWarning, match=r"step 0 .*no room") as told:
                snapshot.wait()
        model(batch())
        later = monitor.snapshot(step=1)
        assert list(later.train) == ["0", "2"]
    assert len(told) == 1
    assert snapshot.train == {}
    assert snapshot.disabled == dict.fromkeys(("0", "2"), "MemoryError: no room")
    assert notes.steps == [0, 1]


def test_a_sink_that_ends_its_thread_ends_nothing_else() -> None:
    class Leaving(Notes):
        def write(self, snapshot: fathom.Snapshot) -> None:
            raise SystemExit(3)

    model = network()
    with fathom.watch(model, sinks=[Leaving()], budget=None) as monitor:
        model(batch())
        snapshot = monitor.snapshot(step=0)
        with pytest.warns(fathom.FathomWarning, match=r"sink Leaving .*SystemExit: 3") as told:
            monitor.close()
    assert len(told) == 1
    assert snapshot.train["0"].rows == 30


def test_warnings_come_where_the_users_filters_are() -> None:
    class Dead(Notes):
        def write(self, snapshot: fathom.Snapshot) -> None:
            raise OSError("gone")

    model, dead = network(), Dead()
    with fathom.watch(model, sinks=[dead], budget=None) as monitor:
        monitor.snapshot(step=0)
        # It is closed once it has failed and that was said.
        assert dead.closed.wait(60)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            for step in (1, 2):
                monitor.snapshot(step).wait()
        assert len(heard) == 1
        assert "sink Dead failed at step 0" in str(heard[0].message)


def trained(watched: bool) -> tuple[list[bytes], list[fathom.Snapshot]]:
    """Train on several threads, with spectra under way all the time; return losses and weights."""
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 192), nn.Linear(192, 8))
    optimiser = torch.optim.Adam(model.parameters())
    numbers, taken = [], []
    monitor = fathom.watch(model, budget=None) if watched else None
    for step in range(40):
        loss = model(torch.randn(64, 32)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        numbers.append(loss.detach())
        if monitor is not None:
            taken.append(monitor.snapshot(step))
    if monitor is not None:
        monitor.close()
    return [each.detach().numpy().tobytes() for each in (*numbers, *model.parameters())], taken


@pytest.mark.usefixtures("two_threads")
def test_a_training_with_spectra_under_way_is_the_same_to_the_bit() -> None:
    threads: list[int] = []
    plain, _ = trained(watched=False)
    watched, taken = trained(watched=True)
    assert watched == plain
    assert {each.train["2"].rows for each in taken} == {64}
    ask = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))
    ask.start()
    ask.join()
    assert [torch.get_num_threads(), *threads] == [2, 2]
