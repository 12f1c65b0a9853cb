import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from fathom.listing import layer_rows
from fathom.reading import LayerFacts, Reading, Readings
from fathom.snapshot import Snapshot
from fathom.spectral.spectrum import Spectrum
from fathom.views.tables import bar, print_snapshot


def reading(name: str, *, dimension: int, width: int = 10, rows: int = 1000) -> Reading:
    eigenvalues = torch.zeros(width, dtype=torch.float64)
    eigenvalues[:dimension] = 1
    return Reading(
        layer=LayerFacts(name, "linear", "Linear", width),
        phase="eval",
        spectrum=Spectrum(eigenvalues, rows, {"idle_features": 0.0}),
        samples=rows,
        calls=3,
        dropped=0,
        threshold=0.99,
    )


def snapshot(*readings: Reading) -> Snapshot:
    return Snapshot(step=7, eval=Readings({each.layer.name: each for each in readings}))


def printed(
    taken: Snapshot, *, columns: int = 200, phase: str = "eval", sort: str = "order"
) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=columns)
    print_snapshot(taken, phase=phase, console=console, title="runs/x", sort=sort)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, ""), (0.5, "████"), (1.0, "████████"), (1 / 64, "▏"), (float("nan"), "")],
)
def test_a_bar_is_drawn_to_an_eighth_of_a_character(share: float, drawn: str) -> None:
    assert bar(share, 8) == drawn


def test_a_bar_for_terminals_that_know_ascii_alone() -> None:
    assert bar(0.5, 8, ascii_only=True) == "####"


def test_every_layer_is_a_line_with_its_numbers() -> None:
    lines = printed(snapshot(reading("a", dimension=3), reading("b", dimension=8))).splitlines()
    assert lines[0] == "runs/x  step 7  eval  threshold 0.99"
    assert lines[1].split() == ["layer", "kind", "width", "dimension", "saturation", "rows/width"]
    assert lines[2].split() == ["a", "linear", "10", "3", "0.300", "██████", "100", "settled"]
    assert lines[3].split()[:5] == ["b", "linear", "10", "8", "0.800"]


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_nothing_but_long_names_is_cut_in_a_terminal_of_usual_width(columns: int) -> None:
    text = printed(
        snapshot(reading("transformer.h.11.mlp.c_proj", dimension=1, rows=50)), columns=columns
    )
    assert "provisional" in text
    assert "…" not in text
    assert "".join(text.split()).count("transformer") == 1


def test_a_narrow_terminal_leaves_the_kind_out_first() -> None:
    text = printed(snapshot(reading("layer", dimension=1)), columns=60)
    assert "layer" in text
    assert "linear" not in text
    assert "0.100" in text


def test_numbers_fall_when_sorted_and_equals_keep_their_order() -> None:
    readings = {
        "b": reading("b", dimension=2),
        "a": reading("a", dimension=9),
        "c": reading("c", dimension=2),
    }
    assert [row["layer"] for row in layer_rows(readings, sort="saturation")] == ["a", "b", "c"]
    assert [row["layer"] for row in layer_rows(readings, sort="name")] == ["a", "b", "c"]
    assert [row["layer"] for row in layer_rows(readings)] == ["b", "a", "c"]


def test_a_reading_without_rows_has_no_number_and_sorts_last() -> None:
    readings = {"empty": reading("empty", dimension=0, rows=0), "a": reading("a", dimension=1)}
    assert [row["layer"] for row in layer_rows(readings, sort="saturation")] == ["a", "empty"]
    line = next(
        line for line in printed(snapshot(*readings.values())).splitlines() if "empty" in line
    )
    assert line.split() == ["empty", "linear", "10", "-", "-", "0.0", "provisional"]


def test_a_name_is_text_and_never_markup() -> None:
    assert "[bold red]x[/]" in printed(snapshot(reading("[bold red]x[/]", dimension=1)))


def test_a_name_cannot_command_the_terminal() -> None:
    hostile = "\x1b[2J\n:smile:"
    taken = replace(snapshot(reading(hostile, dimension=1)), unobserved=(hostile,))
    text = printed(taken)
    assert "\x1b" not in text
    assert text.count("\\x1b[2J\\n:smile:") == 2


def test_what_was_not_seen_stands_below() -> None:
    seen = replace(reading("a", dimension=3), dropped=4)
    taken = replace(
        snapshot(seen, reading("out", dimension=9)),
        unobserved=("b", "c"),
        reasons={"b": "not called", "c": "skipped: why"},
        disabled={"d": "ShapeError: why"},
        output_layer="out",
        metrics={"accuracy": 0.5},
    )
    text = printed(taken)
    assert (
        "average saturation 0.300, over 1 of 2 layers: the linear and convolutional ones without"
        in text
    )
    assert "accuracy 0.5" in text
    assert "a: 4 rows with NaN or infinity were left out" in text
    assert "not observed: b (not called)\n" in text
    assert "not observed: c (skipped: why)\n" in text
    assert "switched off: d: ShapeError: why" in text


def test_a_phase_that_was_not_observed_says_so() -> None:
    assert "No layer was observed in the train phase" in printed(
        snapshot(reading("a", dimension=1)), phase="train"
    )


def test_five_hundred_layers_are_five_hundred_lines() -> None:
    taken = snapshot(*(reading(f"layers.{number}", dimension=5) for number in range(500)))
    assert sum("layers." in line for line in printed(taken).splitlines()) == 500
