"""Layers too wide for a covariance are sketched, from the first call to the table of a run."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from rich.console import Console
from torch import Tensor, nn

import fathom
import reference
from fathom.cli.show import show
from fathom.spectral.sketch import COLUMNS
from fathom.views.export import tidy
from fathom.views.tables import print_snapshot

WIDE = 700


class Heads(nn.Module):
    """Two wide layers: one of few directions, one of as many as it is wide."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(6, 20)
        self.low = nn.Linear(20, WIDE)
        self.flat = nn.Linear(WIDE, WIDE)
        self.out = nn.Linear(20, 3)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        hidden = self.body(x)
        self.low(hidden)
        self.flat(noise)
        return torch.as_tensor(self.out(hidden))


def batch(seed: int = 1, n: int = 900) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator), torch.randn(n, WIDE, generator=generator)


def watched(model: nn.Module, *arguments: Any, **options: Any) -> fathom.Monitor:
    return fathom.watch(model, *arguments, max_width=600, budget=None, **options)


def taken(run: Path | None = None, **options: Any) -> fathom.Snapshot:
    model = Heads()
    with watched(model, run, **options) as monitor:
        model(*batch())
        model.eval()
        model(*batch())
        return monitor.snapshot(step=0)


def test_a_language_model_is_watched_unasked_with_its_head() -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=6000, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model: nn.Module = transformers.GPT2LMHeadModel(config)
    model.eval()
    logits = []
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        assert "lm_head sketched" in str(monitor)
        for _ in range(2):
            logits.append(model(torch.randint(0, 6000, (4, 20))).logits)
        reading = monitor.snapshot(step=0).eval["lm_head"]
    truth = np.linalg.svd(centred(torch.cat(logits)), compute_uv=False) ** 2 / 160
    assert reading.sketched
    assert reading.width == 6000
    assert reading.rows == 160
    assert reading.eigenvalues.shape == (COLUMNS,)
    np.testing.assert_allclose(reading.eigenvalues[:16], truth[:16], atol=1e-4 * truth[0])
    assert reading.captured == pytest.approx(1, abs=1e-5)
    assert reading.intrinsic_dimension == reference.intrinsic_dimension(truth) == reading.at_least
    assert reading.saturation == reading.intrinsic_dimension / 6000


def centred(logits: Tensor) -> reference.Array:
    rows = logits.reshape(-1, logits.shape[-1]).double()
    return np.asarray(rows - rows.mean(0))


def test_a_layer_is_sketched_from_its_width_on() -> None:
    for width, max_width, sketched in (
        (600, 600, False),
        (601, 600, True),
        (COLUMNS, 1, False),  # a sketch would be as large
        (COLUMNS + 1, 1, True),
    ):
        model = nn.Linear(2, width)
        with fathom.watch(model, max_width=max_width, budget=None) as monitor:
            model(torch.randn(5, 2))
            assert monitor.snapshot(step=0).train[""].sketched == sketched


def test_readings_of_wide_layers_answer_or_say_that_they_do_not_know() -> None:
    readings = taken().eval
    low, flat = readings["low"], readings["flat"]
    assert low.sketched
    assert low.intrinsic_dimension == low.at_least <= 6
    assert "intrinsic dimension 6 of 700" in repr(low)
    assert "sketched, 100.0% captured" in repr(low)
    noise = batch()[1]
    truth = reference.intrinsic_dimension(reference.eigenvalues(Heads().flat(noise)))
    assert math.isnan(flat.intrinsic_dimension)
    assert math.isnan(flat.saturation)
    assert 200 < flat.at_least <= truth
    assert f"> {flat.at_least - 1} of 700" in repr(flat)
    assert not readings["body"].sketched
    assert readings["body"].captured == 1
    assert readings["body"].at_least == readings["body"].intrinsic_dimension


def test_the_average_leaves_out_what_is_not_known() -> None:
    snapshot = taken()
    known = [snapshot.eval[name].saturation for name in ("body", "low")]
    assert snapshot.output_layer == "out"
    assert snapshot.average_saturation() == pytest.approx(np.mean(known))


def test_a_run_gives_the_same_readings(tmp_path: Path) -> None:
    snapshot = taken(tmp_path / "run", statistics=["rankme"])
    with fathom.open_run(tmp_path / "run") as run:
        again = run.snapshot()
        for name, reading in snapshot.eval.items():
            back = again.eval[name]
            assert torch.equal(back.eigenvalues, reading.eigenvalues)
            assert repr(back) == repr(reading)
            assert repr(dict(back.statistics)) == repr(dict(reading.statistics))
            assert (back.at_least, back.captured) == (reading.at_least, reading.captured)
        assert again.average_saturation() == snapshot.average_saturation()
        for threshold in (0.5, 0.95):
            [row] = run.statistic("saturation", threshold=threshold)
            expected = [
                snapshot.eval[name].spectrum.statistics(threshold)["saturation"]
                for name in run.layers
            ]
            np.testing.assert_array_equal(row, expected)
        [rankme] = run.statistic("rankme")
        known = dict(zip(run.layers, rankme, strict=True))
        assert math.isnan(known["low"])
        assert known["body"] > 1
        assert run.spectrum("flat").width == WIDE
        assert run.facts["settings"]["max_width"] == 600
        numbers = {row[7]: row[8] for row in tidy(run) if row[1:3] == ("eval", "flat")}
    assert numbers["at_least"] == snapshot.eval["flat"].at_least
    assert numbers["captured"] == snapshot.eval["flat"].captured
    assert math.isnan(numbers["intrinsic_dimension"])


def test_covariances_are_kept_of_the_layers_that_have_one(tmp_path: Path) -> None:
    taken(tmp_path / "run", keep="covariance")
    with fathom.open_run(tmp_path / "run") as run:
        assert run.covariance("body")[0].shape == (20, 20)
        with pytest.raises(fathom.RunNotFoundError, match=r"eval/low, got none.*sketched"):
            run.covariance("low")


def test_a_run_of_sketches_alone_has_no_covariances(tmp_path: Path) -> None:
    taken(tmp_path / "run", keep="covariance", layers=["low", "flat"])
    with (
        fathom.open_run(tmp_path / "run") as run,
        pytest.raises(fathom.RunNotFoundError, match="up to max_width"),
    ):
        run.covariance("low")


def test_tables_show_the_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = taken(tmp_path / "run")
    shown = io.StringIO()
    print_snapshot(snapshot, phase="eval", console=Console(file=shown, width=120))
    least = snapshot.eval["flat"].at_least
    [line] = [line for line in shown.getvalue().splitlines() if line.startswith("flat")]
    assert line.split()[:6] == ["flat", "linear", "700", ">", str(least - 1), "-"]
    assert "sketched: flat" in shown.getvalue()
    show(tmp_path / "run", as_json=True)
    layers = {row["layer"]: row for row in json.loads(capsys.readouterr().out)["layers"]}
    assert layers["flat"]["intrinsic_dimension"] is None
    assert layers["flat"]["at_least"] == least
    assert layers["flat"]["sketched"]
    assert not layers["body"]["sketched"]


def test_a_window_goes_into_a_checkpoint_and_comes_back(tmp_path: Path) -> None:
    model = Heads()
    first, second = batch(1), batch(2)
    with watched(model) as monitor:
        model(*first)
        torch.save(monitor.state_dict(), tmp_path / "state.pt")
        model(*second)
        whole = monitor.snapshot(step=0)
    with watched(model) as monitor:
        monitor.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        model(*second)
        again = monitor.snapshot(step=0)
    for name, reading in whole.train.items():
        assert torch.equal(again.train[name].eigenvalues, reading.eigenvalues)
        assert repr(again.train[name]) == repr(reading)


def test_a_state_that_does_not_fit_is_refused() -> None:
    model = Heads()
    with watched(model) as monitor:
        model(*batch())
        state = monitor.state_dict()
        key = "windows/train/low"
        torn = {name: each for name, each in state.items() if name != f"{key}/squares"}
        with pytest.raises(fathom.ArgumentError, match=r"low must be whole.*without squares"):
            monitor.load_state_dict(torn)
        cut = state | {f"{key}/products": state[f"{key}/products"][:-1]}
        with pytest.raises(fathom.ShapeError, match=r"products of low.*\(700, 512\).*\(699"):
            monitor.load_state_dict(cut)
        other = state | {f"{key}/signs": -state[f"{key}/signs"]}
        with pytest.raises(fathom.ArgumentError, match="signs must be those that this version"):
            monitor.load_state_dict(other)
        monitor.load_state_dict(state)
        assert monitor.snapshot(step=0).train["low"].rows == 900


def test_memory_is_bounded_and_told() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 4096), nn.Linear(4096, 50_257))
    with fathom.watch(model, budget=None) as monitor:
        told = str(monitor)
    assert "384.0 MiB" in told  # twice 12·4096²
    assert "417.2 MiB" in told  # twice 8·50,257·512, and 50,257·512 of signs
    assert "for the two phases, 1 sketched" in told


def test_a_flattened_map_too_wide_even_for_a_sketch_is_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fathom.capture.window.WIDEST", 600)
    model = nn.Sequential(nn.Linear(2, 601), nn.Linear(601, 600))
    with fathom.watch(model, budget=None) as monitor:
        with pytest.warns(fathom.FathomWarning, match=r"at most 600 wide.*got 601.*downsample="):
            model(torch.randn(5, 2))
        snapshot = monitor.snapshot(step=0)
    assert list(snapshot.disabled) == ["0"]
    assert list(snapshot.train) == ["1"]


@pytest.mark.parametrize("max_width", [0, -1, 2.5, True, "wide", None])
def test_a_max_width_that_is_no_width_is_refused(max_width: Any) -> None:
    with pytest.raises(fathom.ArgumentError, match=r"max_width must be a whole number >= 1, got"):
        fathom.watch(nn.Linear(2, 2), max_width=max_width)


def test_a_max_width_of_matrices_that_would_not_fit_is_refused() -> None:
    with pytest.raises(fathom.ArgumentError, match=r"at most 16,384.*2 GiB, got 50,257"):
        fathom.watch(nn.Linear(2, 2), max_width=50_257)


def test_a_wide_layer_is_read_within_the_budget() -> None:
    model = nn.Linear(40, 5000)
    rows = 0
    with fathom.watch(model, budget=0.02) as monitor:
        for _ in range(6):
            model(torch.randn(400, 40))
            rows += 400
        reading = monitor.snapshot(step=0).train[""]
    assert reading.sketched
    assert 0 < reading.rows < rows / 4
    assert reading.intrinsic_dimension <= 40
