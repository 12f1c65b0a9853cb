"""The report in a real browser, of runs at the edge of what a run may be."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import fathom
from browser import Opening
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
