import pytest

from fathom import text
from fathom.text import visible


def test_columns_are_aligned_to_the_widest_cell() -> None:
    table = text.columns([("layer", "rows"), ("features.0", "12"), ("head", "1024")])
    assert table == "layer       rows\nfeatures.0  12\nhead        1024"


def test_numbers_are_aligned_to_the_right() -> None:
    rows = [("layer", "rows", "d"), ("a", "7", "64"), ("b", "1024", "8")]
    assert text.columns(rows, right=frozenset({1, 2})).splitlines() == [
        "layer  rows   d",
        "a         7  64",
        "b      1024   8",
    ]


def test_lines_do_not_end_in_spaces() -> None:
    assert text.columns([("a", "bbb"), ("a", "")]).splitlines() == ["a  bbb", "a"]


def test_no_cell_commands_a_terminal() -> None:
    rows = [("layer", "n"), ("a\x1b[2J", "1"), ("b\nc", "\u202e2")]
    assert text.columns(rows).splitlines() == [
        "layer     n",
        r"a\x1b[2J  1",
        r"b\nc      \u202e2",
    ]


def test_one_column_and_no_rows() -> None:
    assert text.columns([("only",)]) == "only"
    assert text.columns([]) == ""


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        text.columns([("a", "b"), ("c",)])


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2, "1.0 MiB"),
        (12.5 * 1024**2, "12.5 MiB"),
        (1024**3, "1.0 GiB"),
        (2.25 * 1024**4, "2304.0 GiB"),
    ],
)
def test_sizes_carry_a_unit(count: float, written: str) -> None:
    assert text.size(count) == written


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("features.0", "features.0"),
        ("[red]x[/]", "[red]x[/]"),
        ("schön 层", "schön 层"),
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udc80\x9b", "\\udc80\\x9b"),
    ],
)
def test_what_a_terminal_would_obey_is_visible(name: str, shown: str) -> None:
    assert visible(name) == shown
