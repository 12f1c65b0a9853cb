"""Labels are short, and no two of them are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.views.plots.names import plain, short_names

_PARTS = st.lists(st.sampled_from(["a", "attention", "attached", "0", "1", "x" * 40]), max_size=6)


@given(st.lists(_PARTS.map(".".join), unique=True))
def test_different_names_have_different_short_labels(names: list[str]) -> None:
    shorts, _ = short_names(names)
    assert len(set(shorts)) == len(names)
    assert all(0 < len(short) <= 26 for short in shorts)


def test_what_all_have_in_common_is_said_once() -> None:
    names = ["model.encoder.0.query", "model.encoder.0.key", "model.encoder.1.query"]
    assert short_names(names) == (["0.query", "0.key", "1.query"], "model.encoder.")
    assert short_names(["model.encoder"]) == (["model.encoder"], "")
    assert short_names([]) == ([], "")


def test_long_names_keep_their_end_and_initials_of_their_front() -> None:
    names = ["vision.blocks.11.attention.out_projection", "head"]
    assert short_names(names)[0] == ["v.b.11.a.out_projection", "head"]


def test_initials_that_would_be_the_same_are_cut_instead() -> None:
    names = ["encoder.attention.output_projection", "encoder.adapter.output_projection", "head"]
    shorts, _ = short_names(names)
    assert len(set(shorts)) == 3
    assert all("…" in short for short in shorts[:2])


@pytest.mark.parametrize(
    ("text", "shown"),
    [("$x$", r"\$x\$"), ("a\nb", r"a\nb"), ("\x00\x1b[31m", r"\x00\x1b[31m"), ("schön", "schön")],
)
def test_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert plain(text) == shown
