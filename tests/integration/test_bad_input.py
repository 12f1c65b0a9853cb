"""A wrong argument raises at once, says what came and what to do, and leaves no hook."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import fathom


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))


def hooks_on(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


REFUSED: list[Any] = [
    pytest.param({"threshold": 0}, ["threshold", "(0, 1]", "got 0", "0.99"], id="threshold=0"),
    pytest.param({"threshold": 1.5}, ["threshold", "(0, 1]", "got 1.5"], id="threshold=1.5"),
    pytest.param({"threshold": -0.5}, ["threshold", "(0, 1]", "got -0.5"], id="threshold=-0.5"),
    pytest.param({"threshold": float("nan")}, ["threshold", "got nan"], id="threshold=nan"),
    pytest.param({"threshold": "x"}, ["threshold", "(0, 1]", "'x'"], id="threshold=x"),
    pytest.param({"threshold": None}, ["threshold", "(0, 1]", "None"], id="threshold=None"),
    pytest.param(
        {"conv": "avg"},
        ["conv", "'avg'", "positions", "mean", "max", "median", "flatten"],
        id="conv=avg",
    ),
    pytest.param({"conv": None}, ["conv", "None", "positions"], id="conv=None"),
    pytest.param({"timesteps": "first"}, ["timesteps", "'first'", "all", "last"], id="timesteps"),
    pytest.param({"keep": "all"}, ["keep", "'all'", "spectrum", "covariance"], id="keep=all"),
    pytest.param({"keep": "covariance"}, ["keep", "run=None", "folder"], id="covariance, no run"),
    pytest.param(
        {"statistics": ["rank"]},
        ["statistics", "'rank'", "rankme", "saturation"],
        id="statistics=[rank]",
    ),
    pytest.param({"statistics": "rank"}, ["statistics", "'rank'"], id="statistics=rank"),
    pytest.param({"every": 0}, ["every", ">= 1", "got 0", "Pass 1"], id="every=0"),
    pytest.param({"every": 1.5}, ["every", "whole number", "got 1.5"], id="every=1.5"),
    pytest.param({"every": True}, ["every", "whole number", "got True"], id="every=True"),
    pytest.param({"max_samples": -1}, ["max_samples", "got -1", "None for no"], id="max_samples"),
    pytest.param({"max_samples": 0}, ["max_samples", "got 0"], id="max_samples=0"),
    pytest.param({"downsample": 0}, ["downsample", "got 0", "None for no"], id="downsample=0"),
    pytest.param({"downsample": "4"}, ["downsample", "got '4'"], id="downsample='4'"),
    *(
        pytest.param(
            {"budget": each}, ["budget", r"(0, 1]", repr(each), "0.02"], id=f"budget={each}"
        )
        for each in (0, -0.1, 2, float("nan"), "all", True)
    ),
    pytest.param({"resume_from": "2"}, ["resume_from", "whole number", "'2'"], id="from='2'"),
    pytest.param({"resume_from": 1.5}, ["resume_from", "got 1.5"], id="from=1.5"),
    pytest.param({"resume": "no"}, ["resume", "True or False", "'no'"], id="resume='no'"),
    pytest.param({"sinks": print}, ["sinks", "list"], id="sinks=print"),
    pytest.param({"sinks": "csv"}, ["sinks", "list", "'csv'"], id="sinks='csv'"),
    pytest.param({"sinks": [fathom.sinks.CSV]}, ["sinks", "objects", "CSV"], id="sinks=[CSV]"),
    pytest.param(
        {"sinks": [SimpleNamespace(write=print, close=False)]},
        ["sinks", "close()", "close=False"],
        id="sinks with no method",
    ),
    pytest.param({"sinks": ["csv"]}, ["sinks", "write(snapshot)", "'csv'"], id="sinks=['csv']"),
    pytest.param({"conv": "mena"}, ["conv", "positions", "Did you mean 'mean'"], id="conv='mena'"),
    pytest.param({"layers": []}, ["layers", "[]"], id="layers=[]"),
    pytest.param({"layers": ["conv9"]}, ["layers", "'conv9'", "Nearest names"], id="no such layer"),
    pytest.param({"layers": ["0", "9.*"]}, ["layers", "'9.*'"], id="one pattern of two"),
    pytest.param({"layers": ["*", "!*"]}, ["layers", "'!*'"], id="all taken away"),
    pytest.param(
        {"layers": lambda name, module: False}, ["layers", "predicate", "none"], id="predicate"
    ),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_a_wrong_argument_is_refused_at_once(options: dict[str, Any], words: list[str]) -> None:
    model = network()
    with pytest.raises(fathom.ArgumentError) as refusal:
        fathom.watch(model, **options)
    message = str(refusal.value)
    assert message.startswith("watch: ")
    for word in words:
        assert word in message
    assert hooks_on(model) == 0


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_a_refusal_makes_no_run(options: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    if options.get("keep") == "covariance":
        options = {**options, "keep": "nothing"}
    with pytest.raises(fathom.ArgumentError):
        fathom.watch(network(), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_nearest_names_are_shown() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "decoder": nn.Linear(2, 2)})
    with pytest.raises(fathom.LayerSelectionError, match=r"got 'encodr'.*Nearest names: encoder"):
        fathom.watch(model, layers=["encodr"])
    assert hooks_on(model) == 0


def test_names_are_shown_where_none_is_near() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "decoder": nn.Linear(2, 2)})
    with pytest.raises(fathom.LayerSelectionError, match=r"got 'zz'.*encoder, decoder"):
        fathom.watch(model, layers=["zz"])


@pytest.mark.parametrize(
    ("model", "came"),
    [(nn.Linear, "type"), ({"weight": torch.zeros(2, 2)}, "dict"), (None, "NoneType")],
)
def test_what_is_no_module_is_refused(model: Any, came: str) -> None:
    with pytest.raises(fathom.ArgumentError, match=rf"model must be a torch.nn.Module, got {came}"):
        fathom.watch(model)


def test_a_model_without_layers_is_refused() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Dropout())
    with pytest.raises(fathom.LayerSelectionError, match=r"got Sequential with none.*layers="):
        fathom.watch(model)
    assert hooks_on(model) == 0


def test_a_model_without_layers_of_a_known_kind_can_be_watched_by_name() -> None:
    model = nn.Sequential(nn.ReLU())
    with fathom.watch(model, layers=["0"]) as monitor:
        model(torch.randn(9, 3))
        assert monitor.snapshot(step=0).train["0"].rows == 9


def test_a_run_that_is_there_is_refused_and_no_hook_is_left(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with fathom.watch(model, tmp_path / "run") as monitor:
        model(torch.randn(5, 2))
        monitor.snapshot(step=0)
    with pytest.raises(fathom.RunExistsError, match="resume=True"):
        fathom.watch(model, tmp_path / "run")
    assert hooks_on(model) == 0


@pytest.mark.parametrize("phase", ["test", "", None])
def test_an_unknown_phase_is_refused(phase: Any) -> None:
    snapshot = fathom.Snapshot(step=0)
    with pytest.raises(fathom.ArgumentError, match=rf"phase must be one of train, eval.*{phase}"):
        snapshot.average_saturation(phase)


def test_a_run_that_is_no_path_is_refused() -> None:
    with pytest.raises(fathom.ArgumentError, match="run must be a path, got 5"):
        fathom.watch(nn.Linear(2, 2), 5)  # type: ignore[arg-type]


def test_a_layer_without_a_reading_is_named_with_those_that_have_one() -> None:
    model = nn.Linear(2, 2)
    with fathom.watch(model) as monitor:
        model(torch.randn(5, 2))
        snapshot = monitor.snapshot(0)
    with pytest.raises(fathom.NotObservedError, match=r"got 'nope'\. There are: \(model\)$"):
        snapshot.train["nope"]
    with pytest.raises(KeyError, match="was the model called in this phase"):
        snapshot.eval[""]


def test_a_scripted_module_is_refused_and_attention_alone_is_watched() -> None:
    with fathom.watch(nn.MultiheadAttention(8, 2)) as monitor:
        assert monitor.layers == [""]
    with pytest.raises(fathom.ArgumentError, match="resume_from must come with a run"):
        fathom.watch(nn.Linear(2, 2), resume_from=3)


@pytest.mark.parametrize("state", [None, [], "state", 3])
def test_what_is_no_state_is_refused(state: Any) -> None:
    with (
        fathom.watch(nn.Linear(2, 2)) as monitor,
        pytest.raises(fathom.ArgumentError, match=f"got {type(state).__name__}"),
    ):
        monitor.load_state_dict(state)
