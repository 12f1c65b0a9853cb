"""The record of probes: what it says, and what it takes from a file."""

import json
import math
from typing import Any

import pytest

import fathom
from fathom.probes import Probe, Probes


def made(**options: Any) -> Probes:
    probes = (
        Probe("features.0", 0.9981, 0.75, 1437, 360, 256, True),
        Probe("", 0.5, 0.25, 1437, 360, 10, False),
    )
    return Probes(probes, 0.875, 9, **options)


def test_it_prints_as_a_table() -> None:
    assert str(made(legacy=True, left_out={"head": "never called"})).splitlines() == [
        "probes  step 9  legacy",
        "layer             features  train accuracy  eval accuracy  converged",
        "features.0             256           0.998          0.750  yes",
        "(model)                 10           0.500          0.250  no",
        "the model itself                                    0.875",
        "fitted on 1,437 samples, 360 held out",
        "left out: head: never called",
    ]
    assert repr(made()) == "Probes(step 9, 2 layers, best eval accuracy 0.750)"
    assert str(Probes(())).splitlines()[-1].split() == ["the", "model", "itself", "-"]


def test_no_name_commands_a_terminal() -> None:
    hostile = Probes((Probe("a\x1b[2J", 0.5, 0.5, 1, 1, 1, True),), left_out={"b\x1b]": "\x1bc\n"})
    assert str(hostile).replace("\n", "").isprintable()
    assert str(hostile).splitlines()[-1] == r"left out: b\x1b]: \x1bc\n"


def test_a_notebook_shows_names_as_text() -> None:
    hostile = Probes((Probe("<script>", 0.5, 0.5, 1, 1, 1, True),), left_out={"<b>": "<i>"})
    html = hostile._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "<b>: " not in html


def test_it_is_a_list_of_probes_by_name_too() -> None:
    probes = made(left_out={"head": "never called"})
    assert [probe.layer for probe in probes] == ["features.0", ""]
    assert len(probes) == 2
    assert probes[0] == probes["features.0"] == probes[:1][0]
    assert probes[-1] is probes[""]
    with pytest.raises(fathom.NotObservedError, match=r"got 'feature\.0'\. There are: features\.0"):
        probes["feature.0"]
    with pytest.raises(fathom.NotObservedError, match="got 'head', never called"):
        probes["head"]


@pytest.mark.parametrize("own", [0.875, math.nan])
def test_a_file_gives_back_the_same(own: float) -> None:
    probes = Probes(made().probes, own, -5, True, {"head": "never called"})
    again = Probes.from_body(json.loads(json.dumps(probes.to_body())))
    assert again.probes == probes.probes
    assert (again.step, again.legacy, again.left_out) == (-5, True, {"head": "never called"})
    assert again.model_accuracy == own or (math.isnan(own) and math.isnan(again.model_accuracy))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("step",), "9"),
        (("step",), True),
        (("step",), 2**80),
        (("legacy",), 1),
        (("model_accuracy",), 1.5),
        (("model_accuracy",), None),
        (("layers",), {}),
        (("layers",), [7]),
        (("layers", 0), {}),
        (("layers", 0, "layer"), 3),
        (("layers", 0, "train_accuracy"), math.inf),
        (("layers", 0, "eval_accuracy"), "0.5"),
        (("layers", 0, "samples"), -1),
        (("layers", 0, "features"), 2.5),
        (("layers", 0, "converged"), "yes"),
        (("left_out",), []),
        (("left_out",), {"a": 1}),
    ],
)
def test_what_is_none_in_a_file_is_refused(place: tuple[Any, ...], value: object) -> None:
    body: Any = made().to_body()
    inside = body
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    with pytest.raises(fathom.DamagedRecordError, match=r"must be as fathom\.probe wrote it"):
        Probes.from_body(body)
