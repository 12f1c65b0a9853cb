"""Probes, projections and similarities on the page of a run: in a report, and live."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import fathom
from analysed_runs import add_curve, add_probes, add_similarity, analysed, unanalysed
from browser import Opening
from fathom.views.report import write_report
from live import Serving

HOSTILE = "<img src=x onerror=alert(1)>"


def report(folder: Path, run: Path) -> str:
    with fathom.open_run(run) as opened:
        write_report([opened], folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_shows_what_analyses_found(tmp_path: Path, opening: Opening, scheme: str) -> None:
    run = analysed(tmp_path / "run", hidden=HOSTILE)
    opened = opening(report(tmp_path, run), scheme=scheme)
    page = opened.page
    legend = page.locator("#layers .legend")
    expect(legend).to_contain_text("probe, eval accuracy (step 10)")
    expect(legend).to_contain_text("accuracy of the model itself (step 10)0.600")
    expect(page.locator(".bars path.probe")).to_have_count(3)
    y = float(page.locator(".bars rect.probe.eval").last.get_attribute("y") or 0) + 3
    assert y == pytest.approx(36 + 230 * (1 - 0.6), abs=0.1)
    said = page.get_by_role("option").last.get_attribute("aria-label") or ""
    assert said.endswith("; probe (step 10): eval 0.600, train 0.700; live probe 0.650")
    assert page.locator("table.layers tbody tr").last.inner_text().endswith("0.600\t0.650")
    page.get_by_role("link", name="hide probes").click()
    expect(page.locator(".bars .probe")).to_have_count(0)
    assert "probes=off" in page.url
    page.get_by_role("link", name="show probes").click()
    expect(page.locator(".bars path.probe")).to_have_count(3)
    projections_and_similarities(page)
    assert opened.violations() == []
    assert opened.complaints == []


def projections_and_similarities(page: Page) -> None:
    """Look at both sections, by mouse and by keyboard."""
    section = page.locator("#projection")
    expect(section.locator(".choice[aria-current]")).to_have_text("step 10")
    row = section.locator("tr", has_text=f"{HOSTILE}.1")
    assert row.inner_text().split("\t")[1:4] == ["15", "20", "0.320"]
    row.hover()
    expect(section.locator(".told")).to_contain_text(
        f"{HOSTILE}.1 alone 0.900, 20 of 20 directions"
    )
    section.get_by_role("link", name="now").click()
    expect(section).to_contain_text("Measured at a moment that is no step of the run")
    section = page.locator("#similarity")
    section.get_by_role("img").focus()
    page.keyboard.press("End")
    expect(section.locator(".told")).to_have_text(f"{HOSTILE}.0 and head: linear CKA −0.018")
    section.get_by_text("All values").click()
    expect(section.locator("tbody tr").first).to_contain_text("−0.018")
    expect(section.locator("tbody tr").nth(1)).to_contain_text("–")
    section.get_by_role("link", name="growth").click()
    expect(section).to_contain_text("SVCCA, made.Up, 50 samples: each step with the last")
    expect(section.locator("tbody tr").first.locator("td")).to_have_text(["0.750"] * 3)


def test_analyses_come_to_the_live_page_by_themselves(tmp_path: Path, opening: Opening) -> None:
    names = unanalysed(tmp_path / "runs" / "one", live=False)
    run = tmp_path / "runs" / "one"
    with Serving(tmp_path / "runs") as serving:
        opened = opening(f"{serving.url}#run=one")
        page = opened.page
        expect(page.get_by_role("option")).to_have_count(6)
        for part in ("#projection", "#similarity"):
            expect(page.locator(part)).to_be_hidden()
        expect(page.locator("#layers")).not_to_contain_text("probe")
        expect(page.locator("table.layers thead")).not_to_contain_text("probe")
        page.evaluate("() => { window.untouched = true; }")
        add_probes(run, names, step=20)
        expect(page.locator(".bars path.probe")).to_have_count(2)
        expect(page.locator(".findings .probes")).to_contain_text("From block.2 on")
        add_curve(run, names, step=20)
        expect(page.locator("#projection .panel canvas")).to_be_visible()
        add_similarity(run, names)
        expect(page.locator("#similarity canvas[tabindex]")).to_be_visible()
        (run / "analyses" / "probes" / "torn.json").write_text("{")
        expect(page.locator("#missing")).to_contain_text("left out: probes/torn")
        assert page.evaluate("() => window.untouched"), "the page was loaded anew"
        page.keyboard.press("Tab")
        assert opened.violations() == []
        assert opened.complaints == []
