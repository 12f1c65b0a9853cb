"""The live page in a real browser, over a real server, while real trainings write."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect
from torch import nn

import fathom
from browser import Opened, Opening
from live import PATIENCE, Serving
from live_training import Training, recorded

HOSTILE = "<img src=x onerror=alert(1)>"

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("served") / "runs"
    recorded(root / "narrow", steps=4)
    recorded(root / "wide", steps=4, width=12)
    model = nn.Sequential()
    model.add_module(f"{HOSTILE}<script>alert(2)</script>", nn.Linear(6, 8))
    with fathom.watch(model, root / f"{HOSTILE} & 'x' \"y\"\n%2e") as monitor:
        model(torch.randn(100, 6))
        monitor.snapshot(step=0, **{f"{HOSTILE} loss": 1.0})
    (root / "broken").mkdir()
    (root / "broken" / "run.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with Serving(root) as running:
        yield running


def at_peace(opened: Opened, serving: Serving) -> None:
    """Nothing was complained of, and nothing was asked of another machine."""
    assert opened.complaints == []
    home = (str(serving.url), "data:")
    assert [url for url in opened.requests if not url.startswith(home)] == []


def runs(page: Page) -> list[str]:
    expect(page.locator("table.runs tbody tr").first).to_be_visible()
    return page.locator("table.runs tbody th a").all_inner_texts()


def step(page: Page) -> str:
    return page.locator(".controls output").inner_text()


def test_a_training_is_followed_from_the_list_to_its_end(tmp_path: Path, opening: Opening) -> None:
    root = tmp_path / "runs"
    with Serving(root) as serving:
        opened = opening(str(serving.url))
        page = opened.page
        expect(page.get_by_text("There is no run here yet")).to_be_visible()
        with Training(root / "now") as training:
            row = page.locator("table.runs tbody tr")
            expect(row).to_contain_text("now")
            expect(row).to_contain_text("live")
            page.get_by_role("link", name="now").click()
            expect(page.locator(".controls output")).to_have_text("step 0 (the last)")
            page.evaluate("() => { window.untouched = true; }")
            for _ in range(3):
                training.step()
                shown = f"step {training.steps - 1} (the last)"
                expect(page.locator(".controls output")).to_have_text(shown)
            expect(page.locator("header .live")).to_be_visible()
            training.end()
            expect(page.locator("header .live")).to_have_count(0)
            assert page.evaluate("() => window.untouched"), "the page was loaded anew"
        page.get_by_role("link", name="all runs").click()
        assert runs(page) == ["now"]
        expect(page.locator("table.runs .live")).to_have_count(0)
        at_peace(opened, serving)


def test_after_the_server_dies_the_page_catches_up(tmp_path: Path, opening: Opening) -> None:
    root = tmp_path / "runs"
    with Training(root / "now") as training, Serving(root) as serving:
        opened = opening(f"{serving.url}#run=now")
        page = opened.page
        expect(page.locator(".controls output")).to_have_text("step 0 (the last)")
        serving.kill()
        expect(page.get_by_text("Connection lost")).to_be_visible()
        training.step()
        serving.restart()
        expect(page.locator(".controls output")).to_have_text("step 1 (the last)")
        expect(page.get_by_text("Connection lost")).to_have_count(0)
        training.step()
        expect(page.locator(".controls output")).to_have_text("step 2 (the last)")
        lost = re.compile(
            r"net::ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE"
            r"|CONNECTION_RESET|CONTENT_LENGTH_MISMATCH)"
        )
        assert [each for each in opened.complaints if not lost.search(each)] == []


def test_a_run_that_is_opened_before_it_begins_and_goes_later(
    tmp_path: Path, opening: Opening
) -> None:
    with Serving(tmp_path) as serving:
        opened = opening(f"{serving.url}#run=later")
        page = opened.page
        expect(page.get_by_text("There is no run later now")).to_be_visible()
        recorded(tmp_path / "later")
        expect(page.locator(".controls output")).to_have_text("step 1 (the last)")
        shutil.rmtree(tmp_path / "later")
        expect(page.get_by_text("There is no run later now")).to_be_visible()
        # A browser's console has a line for every 404, whoever asked.
        assert all("404" in each for each in opened.complaints)


def test_two_runs_are_compared(serving: Serving, opening: Opening) -> None:
    opened = opening(str(serving.url))
    page = opened.page
    for name in ("narrow", "wide"):
        page.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()
    page.get_by_role("link", name="Compare 2 runs").click()
    expect(page.locator("h1")).to_have_text("narrow and wide")
    headings = page.locator("#evolution h3")
    expect(headings).to_have_count(2)
    assert headings.all_inner_texts() == ["narrow", "wide"]
    page.get_by_role("link", name="Leave out narrow").click()
    expect(page.locator("h1")).to_have_text("wide")
    page.go_back()
    expect(page.locator("h1")).to_have_text("narrow and wide")
    at_peace(opened, serving)


def test_a_link_opens_what_it_was_copied_from(serving: Serving, opening: Opening) -> None:
    first = opening(f"{serving.url}#run=narrow")
    page = first.page
    page.get_by_role("link", name="train", exact=True).click()
    page.locator("#table").get_by_role("link", name="2", exact=True).click()
    page.get_by_role("slider", name="Step").press("ArrowLeft")
    expect(page.locator(".controls output")).to_have_text("step 2")
    expect(page.locator("#spectrum")).to_contain_text("directions carry")
    second = opening(page.url)
    expect(second.page.locator(".controls output")).to_have_text("step 2")
    for part in ("#spectrum", "#layers", "#table", "#words", ".controls"):
        expect(second.page.locator(part)).to_have_text(
            page.locator(part).inner_text(), use_inner_text=True
        )
    assert "layer=2" in page.url
    assert "phase=train" in page.url
    assert "step=2" in page.url
    at_peace(first, serving)
    at_peace(second, serving)


def test_hostile_names_are_shown_as_text(serving: Serving, opening: Opening) -> None:
    opened = opening(str(serving.url))
    page = opened.page
    page.on("dialog", lambda dialog: opened.complaints.append(dialog.message))
    assert any(HOSTILE in name for name in runs(page))
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.locator("h1")).to_contain_text(f"{HOSTILE} & 'x' \"y\"")
    expect(page.locator("#table")).to_contain_text(f"{HOSTILE}<script>alert(2)</script>")
    expect(page.locator("#metrics")).to_contain_text(f"{HOSTILE} loss")
    assert page.locator("#fathom img, #fathom script").count() == 0
    at_peace(opened, serving)


def test_a_damaged_run_is_told(serving: Serving, opening: Opening) -> None:
    opened = opening(str(serving.url))
    row = opened.page.locator("table.runs tbody tr", has_text="broken")
    expect(row).to_contain_text("broken/run.sqlite must be readable")
    at_peace(opened, serving)
    opened.page.get_by_role("link", name="broken").click()
    expect(opened.page.get_by_text("broken/run.sqlite must be readable")).to_be_visible()
    assert all("422" in each for each in opened.complaints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_reader_can_use_the_list_and_a_run(
    serving: Serving, opening: Opening, scheme: str
) -> None:
    opened = opening(str(serving.url), scheme=scheme)
    assert runs(opened.page)
    assert opened.violations() == []
    opened.page.get_by_role("link", name="wide").click()
    expect(opened.page.locator("#spectrum")).to_contain_text("directions carry")
    assert opened.violations() == []
    at_peace(opened, serving)


def test_the_link_with_a_token_opens_the_page_and_no_other_does(
    tmp_path: Path, opening: Opening
) -> None:
    recorded(tmp_path / "a")
    with Serving(tmp_path, "--host", "0.0.0.0") as serving:
        token = serving.link.partition("?")[2]
        here = f"http://127.0.0.1:{serving.port}/"
        refused = opening(here)
        expect(refused.page.get_by_text("A token is needed")).to_be_visible()
        opened = opening(f"{here}?{token}#run=a")
        expect(opened.page.locator(".controls output")).to_have_text("step 1 (the last)")
        assert opened.page.url == f"{here}#run=a"
        assert opened.page.evaluate("() => document.cookie") == ""
        assert opened.complaints == []
