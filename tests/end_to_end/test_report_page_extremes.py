"""The report in a real browser, of runs at the edge of what a run may be."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import fathom
from browser import Opening
from fathom.reading import Reading
from fathom.views.report import write_report
from made_runs import made_reading, made_run, sketched_reading


def shown(opening: Opening, *runs: Path, link: str = "") -> Page:
    """Open the report of runs; where it complains, this fails."""
    path = runs[0].parent / f"{'+'.join(run.name for run in runs)}.html"
    opened = [fathom.open_run(run) for run in runs]
    write_report(opened, path)
    for each in opened:
        each.close()
    page = opening(path.as_uri() + link)
    expect(page.page.locator("#missing")).to_be_visible()
    assert page.complaints == []
    return page.page


@pytest.mark.parametrize(
    "steps", [(2**53, 2**53 + 2, 2**53 + 4), (2**60, 2**60 + 400), (-(2**62), -(2**62) + 512)]
)
def test_huge_steps_that_lie_close_together(
    opening: Opening, tmp_path: Path, steps: Sequence[int]
) -> None:
    run = made_run(
        tmp_path / "huge", steps, lambda step: [made_reading("a", dimension=1 + step % 7)]
    )
    page = shown(opening, run)
    expect(page.locator("#metrics .told")).to_contain_text(f"Step {steps[-1]}: ")
    expect(page.locator("#metrics canvas")).to_have_count(1)


def test_a_layer_without_rows_is_not_one_that_is_too_wide(opening: Opening, tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "run",
        range(2),
        lambda step: [
            made_reading("read", dimension=5),
            sketched_reading("wide"),
            made_reading("never", dimension=0, rows=0),
        ],
    )
    page = shown(opening, run)
    marked = page.locator(".bars .bar")
    expect(marked.nth(0)).to_have_class("bar full series-0")
    expect(marked.nth(1)).to_have_class("bar bound series-0")
    expect(marked.nth(2)).to_have_class("bar unread series-0")
    expect(page.locator("#layers .legend")).to_contain_text("no rows")


def test_bounds_and_readings_not_to_trust_are_marked_in_the_evolution(
    opening: Opening, tmp_path: Path
) -> None:
    run = made_run(
        tmp_path / "run",
        range(4),
        lambda step: [
            made_reading("firm", dimension=5),
            made_reading("few", dimension=5, rows=50),
            made_reading("rough", dimension=5, rounding=0.5),
            sketched_reading("wide"),
            made_reading("never", dimension=0, rows=0),
        ],
    )
    page = shown(opening, run)
    keys = page.locator("#evolution .legend .key")
    expect(keys).to_have_text(
        [
            re.compile("saturation"),
            "no reading",
            re.compile("^provisional"),
            re.compile("^coarse"),
            re.compile("^at least"),
        ]
    )
    colours = [_colours(page, row) for row in range(5)]
    firm, few, rough, wide, never = colours
    assert len(firm) == 1
    assert all(len(each) > 2 and firm < each for each in (few, rough))
    assert len(wide) > 2
    assert len(never) == 1
    assert not never & firm
    plain = made_run(tmp_path / "plain", [0], lambda step: [made_reading("firm", dimension=5)])
    expect(shown(opening, plain).locator("#evolution .legend .key")).to_have_count(2)


def _colours(page: Page, row: int) -> set[str]:
    """The colours inside a row of the picture."""
    return set(
        page.evaluate(
            """(row) => {
                const canvas = document.querySelector("#evolution canvas[tabindex]");
                const pixels = canvas.getContext("2d")
                    .getImageData(canvas.width / 2, 7 + 18 * row + 4, 60, 10).data;
                return Array.from({ length: pixels.length / 4 },
                    (_, at) => pixels.slice(4 * at, 4 * at + 4).join());
            }""",
            row,
        )
    )


def test_what_was_not_read_at_an_earlier_step_is_told(opening: Opening, tmp_path: Path) -> None:
    def readings(step: int) -> list[Reading]:
        return [made_reading(name, dimension=5) for name in ("ab" if step >= 2 else "a")]

    missing = shown(opening, made_run(tmp_path / "late", range(4), readings)).locator("#missing")
    expect(missing.locator("li")).to_have_text("No reading before step 2 (eval): b.")
    whole = made_run(tmp_path / "whole", range(4), lambda step: readings(5))
    expect(shown(opening, whole).locator("#missing")).to_contain_text("Nothing: every layer")


def test_a_run_without_steps_was_never_updated(opening: Opening, tmp_path: Path) -> None:
    empty = made_run(tmp_path / "empty", [], lambda step: [])
    some = made_run(tmp_path / "some", [0], lambda step: [made_reading("a", dimension=5)])
    page = shown(opening, empty)
    expect(page.locator(".state")).to_contain_text("report of")
    expect(page.locator(".state")).not_to_contain_text("last update")
    expect(page.locator("#missing")).to_contain_text("Nothing is recorded yet.")
    expect(shown(opening, empty, some).locator(".state time").first).to_contain_text(
        datetime.now(UTC).astimezone().strftime("%Y-")
    )


def test_names_that_every_object_has_are_layers_and_metrics_as_others(
    opening: Opening, tmp_path: Path
) -> None:
    names = ("constructor", "__proto__", "toString")
    odd = made_run(
        tmp_path / "__proto__",
        range(2),
        lambda step: [made_reading(name, dimension=5) for name in names],
        metrics=lambda step: dict.fromkeys((*names, "Average saturation"), 1.0 + step),
    )
    plain = made_run(
        tmp_path / "constructor",
        range(2),
        lambda step: [made_reading("a", dimension=5)],
        metrics=lambda step: {"loss": 1.0},
    )
    page = shown(opening, odd, plain)
    figures = page.locator("#metrics figure")
    expect(figures).to_have_count(1 + len(names) + 2)
    for name in names:
        figure = figures.filter(has=page.get_by_text(name, exact=True))
        expect(figure.locator(".told")).to_have_text("Step 1: __proto__ 2")
        expect(page.locator("table.layers tbody th", has_text=name)).to_have_count(1)


def test_long_names_that_end_alike_are_told_apart(opening: Opening, tmp_path: Path) -> None:
    names = [f"encoder.{part}.output_projection" for part in ("attention", "adapter")]
    run = made_run(
        tmp_path / "run",
        range(2),
        lambda step: [made_reading(name, dimension=5) for name in names],
    )
    other = made_run(tmp_path / "other", range(2), lambda step: [made_reading("x", dimension=5)])
    for page in (shown(opening, run), shown(opening, run, other)):
        labels = page.locator(".bars .name").all_text_contents()
        assert len(set(labels)) == len(labels) >= 2
        expect(page.locator("#layers .legend")).to_contain_text("names without encoder.")


def test_a_lower_bound_sorts_among_the_dimensions(opening: Opening, tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "run",
        range(2),
        lambda step: [
            made_reading("never", dimension=0, rows=0),
            made_reading("small", dimension=5),
            sketched_reading("wide"),
            made_reading("larger", dimension=9),
        ],
    )
    page = shown(opening, run)
    page.get_by_role("columnheader", name="dimension").get_by_role("button").click()
    expect(page.locator("table.layers tbody th")).to_have_text(["wide", "larger", "small", "never"])


def test_fourteen_runs_are_told_apart_and_no_more_are_shown(
    opening: Opening, tmp_path: Path
) -> None:
    runs = [
        made_run(
            tmp_path / f"r{number:02}", range(3), lambda step: [made_reading("a", dimension=5)]
        )
        for number in range(17)
    ]
    page = shown(opening, *runs)
    expect(page.locator(".message")).to_contain_text("Of 17 runs the first 14 are shown")
    looks = page.evaluate(
        """() => [...document.querySelectorAll("#layers .legend .swatch")].map((each) => {
            const style = getComputedStyle(each);
            return style.backgroundColor + style.backgroundImage;
        })"""
    )
    assert len(looks) == len(set(looks)) == 14
    # One that is left out makes room for one that was not shown.
    page.get_by_role("link", name="Leave out r03").click()
    expect(page.locator(".controls .run")).to_have_count(13)
    page.get_by_label("Compare with").select_option("r16")
    expect(page.locator(".controls .run")).to_have_count(14)
    expect(page.get_by_label("Compare with")).to_be_hidden()
