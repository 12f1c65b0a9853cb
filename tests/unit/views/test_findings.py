"""What is said of a step is what its numbers are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fathom.reading import LayerFacts, Reading, Readings
from fathom.settings import Settings
from fathom.snapshot import Snapshot
from fathom.spectral.spectrum import Spectrum
from fathom.store.writer import Writer
from fathom.views.findings import Finding, findings
from fathom.views.run import open_run

WIDTH = 100


def reading(name: str, saturation: float, *, rows: int = 5000, kind: str = "linear") -> Reading:
    dimension = round(saturation * WIDTH)
    eigenvalues = torch.zeros(WIDTH, dtype=torch.float64)
    eigenvalues[:dimension] = 1
    return Reading(
        layer=LayerFacts(name, kind, "Linear", WIDTH),
        phase="eval",
        spectrum=Spectrum(eigenvalues, rows, {"idle_features": 0.0}),
        samples=rows,
        calls=3,
        dropped=0,
        threshold=1.0,
    )


def said(
    folder: Path, readings: Sequence[Reading], *, phase: str = "eval", **of_snapshot: object
) -> dict[str, Finding]:
    layers = [each.layer for each in readings]
    writer = Writer.open(folder, facts={}, settings=Settings(), layers=layers)
    writer.append(
        Snapshot(
            step=0,
            eval=Readings({each.layer.name: each for each in readings}),
            **of_snapshot,  # type: ignore[arg-type]
        ),
        layers=layers,
    )
    writer.close()
    with open_run(folder) as run:
        found = findings(run.timeline(), phase=phase)
    assert len({each.kind for each in found}) == len(found)
    return {each.kind: each for each in found}


def named(saturations: Mapping[str, float]) -> list[Reading]:
    return [reading(name, share) for name, share in saturations.items()]


def test_a_network_in_the_middle_has_an_average_alone(tmp_path: Path) -> None:
    found = said(tmp_path, named({"a": 0.3, "b": 0.4, "c": 0.35}))
    assert list(found) == ["average"]
    assert "35% of a layer's width. Most" in found["average"].text


@pytest.mark.parametrize(
    ("share", "words"), [(0.46, "high"), (0.44, "something to do"), (0.19, "low")]
)
def test_the_average_is_judged(tmp_path: Path, share: float, words: str) -> None:
    assert words in said(tmp_path, named({"a": share, "b": share}))["average"].text


def test_a_tail_is_the_layers_after_the_last_that_reaches_half_of_the_highest(
    tmp_path: Path,
) -> None:
    shares = {"a": 0.19, "b": 0.63, "c": 0.77, "d": 0.66, "e": 0.27, "f": 0.12, "g": 0.03}
    found = said(tmp_path, named(shares))
    assert found["tail"].layers == ("e", "f", "g")
    assert "from e on" in found["tail"].text
    assert found["low"].layers == ("a", "f", "g")


@pytest.mark.parametrize(
    "shares",
    [{"a": 0.8, "b": 0.7, "c": 0.3}, {"a": 0.15, "b": 0.02, "c": 0.01}, {"a": 0.4, "b": 0.4}],
)
def test_one_low_layer_at_the_end_or_a_low_network_is_no_tail(
    tmp_path: Path, shares: dict[str, float]
) -> None:
    assert "tail" not in said(tmp_path, named(shares))


def test_layers_with_few_rows_are_named_and_not_judged(tmp_path: Path) -> None:
    few = [reading("b", 0.05, rows=500), reading("c", 0.95, rows=999)]
    found = said(tmp_path, [reading("a", 0.3), *few])
    assert found["provisional"].layers == ("b", "c")
    assert "low" not in found
    assert "high" not in found


def test_the_output_layer_is_not_judged_and_other_kinds_are_outside_the_average(
    tmp_path: Path,
) -> None:
    readings = [reading("a", 0.3), reading("lstm", 0.99, kind="recurrent"), reading("head", 0.01)]
    found = said(tmp_path, readings, output_layer="head")
    assert list(found) == ["average", "high"]
    assert "30% of a layer's width (1 of 3 layers count)" in found["average"].text
    assert found["average"].layers == ("a",)
    assert found["high"].layers == ("lstm",)


@pytest.mark.parametrize("rounding", [0.0, 1.0], ids=["provisional", "coarse"])
def test_an_average_of_layers_that_cannot_be_judged_is_not_judged(
    tmp_path: Path, rounding: float
) -> None:
    few = [reading(name, 0.01, rows=500 if not rounding else 5000) for name in "abcd"]
    few = [replace(each, spectrum=replace(each.spectrum, rounding=rounding)) for each in few]
    found = said(tmp_path, few)
    assert "1%" in found["average"].text
    assert "low:" not in found["average"].text
    assert "for more to be said" in found["average"].text


@pytest.mark.parametrize(
    "breaking",
    [reading("x", 0.8, rows=500), reading("x", 0.99, kind="recurrent"), reading("x", 0.5)],
    ids=["not judged", "of another kind", "high"],
)
def test_a_tail_ends_at_what_may_be_high(tmp_path: Path, breaking: Reading) -> None:
    low = [reading(name, 0.05) for name in "bcde"]
    found = said(tmp_path / "in it", [reading("a", 0.9), *low[:2], breaking, *low[2:]])
    assert found["tail"].layers == ("d", "e")
    found = said(tmp_path / "at its end", [reading("a", 0.9), *low, breaking])
    assert "tail" not in found


def test_a_high_layer_is_named(tmp_path: Path) -> None:
    found = said(tmp_path, named({"a": 0.3, "b": 0.81}))
    assert found["high"].layers == ("b",)
    assert found["high"].text == "One layer is above 80%: b."


def test_of_many_names_the_first_are_written_and_all_are_there(tmp_path: Path) -> None:
    names = [f"layer.{number}" for number in range(12)]
    found = said(tmp_path, named({"first": 0.5} | dict.fromkeys(names, 0.1)))
    assert found["low"].layers == tuple(names)
    assert found["low"].text.endswith("layer.7 and 4 more.")


def test_what_was_not_observed_or_switched_off_is_said(tmp_path: Path) -> None:
    found = said(
        tmp_path,
        named({"a": 0.3}),
        unobserved=("x", "y"),
        reasons={"x": "not called", "y": "not called"},
        disabled={"z": "ShapeError: two sizes"},
    )
    assert found["unobserved"].text == "Not observed, as: not called: x, y."
    assert found["unobserved"].layers == ("x", "y")
    assert "ShapeError: two sizes" in found["disabled"].text


def test_a_phase_without_readings_and_a_run_without_steps(tmp_path: Path) -> None:
    found = said(tmp_path / "one", named({"a": 0.3}), phase="train")
    assert found["unobserved"].text == "No layer was observed in the train phase."
    Writer.open(tmp_path / "none", facts={}, settings=Settings(), layers=[]).close()
    with open_run(tmp_path / "none") as run:
        (only,) = findings(run.timeline(), phase="eval")
    assert only.text == "Nothing is recorded yet."
