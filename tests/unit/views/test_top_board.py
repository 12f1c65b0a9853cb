import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from torch import nn

import fathom
from fathom.reading import LayerFacts
from fathom.views.look import DARK
from fathom.views.top.board import SORTS, Board, Row, changes_since_the_first, usual_phase
from fathom.views.top.columns import change_text, columns_for, folded
from fathom.views.top.head import ago, flowed
from fathom.views.top.history import History

NAN = math.nan

ROW = Row(
    facts=LayerFacts("a", "linear", "Linear", 128),
    label="features.14",
    width=128,
    dimension=98,
    at_least=98,
    saturation=98 / 128,
    change=-0.25,
    trend=np.array([1.0, 0.9, NAN, 98 / 128]),
    rows=1536,
    samples=100,
    status="provisional",
)


def named(*labels: str) -> list[Row]:
    return [replace(ROW, label=label) for label in labels]


@pytest.mark.parametrize("width", [30, 40, 60, 79, 80, 119, 120, 200])
@pytest.mark.parametrize(
    "label", ["fc", "features.14", "transformer.h.11.mlp.c_proj", "x.y" * 20, "层" * 30]
)
def test_every_line_fits_and_nothing_of_a_name_is_lost(width: int, label: str) -> None:
    row = replace(ROW, label=label)
    columns = columns_for([row], width)
    lines = columns.lines(row, DARK)
    assert all(line.cell_len <= width for line in lines)
    room = slice(1, 1 + columns.name)
    if label.isascii():
        assert "".join(line.plain[room].rstrip() for line in lines) == label
    assert cell_len(columns.heads(sort="saturation", turned=False).plain) <= width
    assert "0.766" in lines[0].plain


def test_wide_terminals_show_everything_and_narrow_ones_the_numbers_that_matter() -> None:
    def line(width: int) -> list[str]:
        return columns_for(named("features.14"), width).lines(ROW, DARK)[0].plain.split()

    assert line(120) == [
        *("features.14", "128", "98", "0.766", "███████████████▎"),
        *("▼", "-0.250", "█▅", "▁", "12", "provisional"),
    ]
    assert line(80)[:4] == ["features.14", "128", "98", "0.766"]
    assert line(80)[-1] == "provisional"
    assert line(40) == ["features.14", "98", "0.766?", "-0.250"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_numbers_stand_under_the_names_of_their_columns(width: int) -> None:
    columns = columns_for(named("features.14"), width)
    heads = columns.heads(sort="order", turned=False).plain
    line = columns.lines(ROW, DARK)[0].plain
    assert heads.index("dim.") + len("dim.") == line.index(" 98 ") + len(" 98")
    assert heads.index("change") + len("change") == line.index("-0.250") + len("-0.250")


@pytest.mark.parametrize("sort", SORTS)
def test_the_column_that_sorts_is_marked(sort: str) -> None:
    heads = columns_for(named("features.14"), 120).heads(sort=sort, turned=False).plain
    assert heads.count("↓") + heads.count("↑") == (sort != "order")


def test_names_are_folded_after_a_dot() -> None:
    assert folded("model.layers.10.self_attn.q_proj", 20) == [
        "model.layers.10.",
        "self_attn.q_proj",
    ]
    assert folded("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]
    assert folded("short", 10) == ["short"]


def test_a_change_is_told_with_its_sign() -> None:
    assert change_text(0.0334) == "▲ +0.033"
    assert change_text(-0.5) == "▼ -0.500"
    assert change_text(-0.0001) == "=  0.000"
    assert change_text(NAN) == "-"


def test_a_change_is_since_the_first_number_that_is_known() -> None:
    values = np.array([[NAN, 0.5, NAN], [0.2, NAN, NAN], [0.6, 0.4, 0.1]])
    np.testing.assert_allclose(changes_since_the_first(values), [0.4, -0.1, NAN])
    assert len(changes_since_the_first(np.empty((0, 3)))) == 3


def test_a_dimension_that_is_not_known_is_a_bound_or_a_dash() -> None:
    beyond = replace(ROW, dimension=NAN, at_least=65.0)
    assert beyond.dimension_text == "> 64"
    assert replace(beyond, rows=0.0).dimension_text == "-"


def test_parts_are_put_beside_each_other_and_never_broken() -> None:
    from rich.text import Text

    lines = flowed([Text(each * 8) for each in "abc"], 22)
    assert [line.plain for line in lines] == [" aaaaaaaa   bbbbbbbb", " cccccccc"]
    assert flowed([Text("x" * 50)], 20)[0].cell_len <= 20


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s ago"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (7300, "2 h ago"),
        (4e5, "4 d ago"),
        (NAN, "at an unknown time"),
    ],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    assert ago(seconds) == words


@pytest.fixture
def history(tmp_path: Path) -> History:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        for step in (-3, 5, 9):
            model.train()(torch.randn(500, 6))
            if step == 5:
                model.eval()(torch.randn(5, 6))
            monitor.snapshot(step=step, loss=1.0)
    with fathom.open_run(tmp_path / "run") as run:
        return History.of(run.timeline())


def test_a_row_has_what_its_reading_has(history: History) -> None:
    with fathom.open_run(history.path) as run:
        readings = run.snapshot(5).train
    rows = Board(history, history.place(5), "train").rows
    assert [row.label for row in rows] == ["0", "2", "4"]
    for row, reading in zip(rows, readings.values(), strict=True):
        assert row.dimension == reading.intrinsic_dimension
        assert row.saturation == pytest.approx(reading.saturation)
        assert (row.width, row.rows, row.status) == (reading.width, reading.rows, reading.status)
        assert len(row.trend) == 2


def test_a_phase_without_readings_says_where_there_are_some(history: History) -> None:
    board = Board(history, history.place(None), "eval")
    assert not board.seen
    assert board.why_empty() == (
        "No layer was read in eval at step 9. There are readings of train: press p. "
        "The nearest of eval are at step 5."
    )
    assert usual_phase(history) == "train"
    assert usual_phase(history, before="eval") == "train"


def test_a_layer_that_was_read_before_says_that_it_is_not_read_now(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    with fathom.watch(model, tmp_path / "run") as monitor:
        model["a"](torch.randn(50, 3)), model["b"](torch.randn(50, 3))
        monitor.snapshot(step=0)
        model["b"](torch.randn(50, 3))
        monitor.snapshot(step=1)
    with fathom.open_run(tmp_path / "run") as run:
        rows = Board(History.of(run.timeline()), 1, "train").rows
    assert [(row.label, row.status) for row in rows] == [("a", "not read"), ("b", "settling")]
    assert math.isnan(rows[0].saturation)


def test_layers_are_sorted_turned_and_found(history: History) -> None:
    board = Board(history, 0, "train")
    assert [row.label for row in board.layers(sort="width")] == ["0", "2", "4"]
    assert [row.label for row in board.layers(sort="width", turned=True)] == ["4", "2", "0"]
    assert [row.label for row in board.layers(words="2 LINEAR")] == ["2"]
    assert board.layers(words="convolution") == []


def test_the_nearest_step_before_is_shown(history: History) -> None:
    assert [history.place(step) for step in (-100, -3, 4, 5, 8, 9, 100, None)] == [
        *(0, 0, 0, 1, 1, 2, 2, 2)
    ]


@pytest.mark.parametrize("sort", ["width", "dimension", "saturation", "change"])
def test_layers_without_the_number_are_last_whichever_way(history: History, sort: str) -> None:
    values = {"low": 0.1, "unknown": NAN, "high": -0.9 if sort == "change" else 0.9}
    rows = [
        replace(ROW, label=label, width=value, at_least=value, saturation=value, change=value)
        for label, value in values.items()
    ]
    board = Board(history, 0, "eval")
    board.__dict__["rows"] = rows
    assert [row.label for row in board.layers(sort=sort)] == ["high", "low", "unknown"]
    assert [row.label for row in board.layers(sort=sort, turned=True)] == ["low", "high", "unknown"]
