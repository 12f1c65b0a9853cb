"""The live page while what it shows becomes another: layers and runs that come, go and move."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser import Opening
from fathom.reading import Readings
from fathom.settings import Settings
from fathom.snapshot import Snapshot
from fathom.store.writer import Writer
from live import PATIENCE, Serving
from made_runs import made_reading

expect.set_options(timeout=PATIENCE * 1000)


def append(writer: Writer, step: int, names: Sequence[str]) -> None:
    """Record a step at which these layers were read."""
    readings = [made_reading(name, dimension=4) for name in names]
    snapshot = Snapshot(
        step=step,
        metrics={},
        train=Readings(),
        eval=Readings({each.layer.name: each for each in readings}),
    )
    writer.append(snapshot, layers=[each.layer for each in readings])


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Write a run by hand."""
    writer = Writer.open(folder, facts={"model": "made.Up"}, settings=Settings(), layers=[])
    yield writer
    writer.close()


def run(folder: Path, *, steps: int, names: Sequence[str]) -> None:
    with writing(folder) as writer:
        for step in range(steps):
            append(writer, step, names)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    (tmp_path / "runs").mkdir()
    with Serving(tmp_path / "runs") as running:
        yield running


def test_a_layer_that_is_pointed_at_may_go_and_come_back(
    serving: Serving, opening: Opening
) -> None:
    with writing(serving.folder / "one") as writer:
        append(writer, 0, "abc")
        opened = opening(f"{serving.url}#run=one")
        page = opened.page
        chart = page.get_by_role("listbox")
        chart.focus()
        page.keyboard.press("End")
        expect(page.locator(".details b")).to_have_text("c")
        append(writer, 1, "bc")
        expect(page.locator("table.layers tbody tr")).to_have_count(2)
        expect(chart).to_have_attribute("aria-activedescendant", "layer-1")
        expect(page.locator(".details b")).to_have_text("c")
        append(writer, 2, "b")
        expect(page.locator("table.layers tbody tr")).to_have_count(1)
        expect(page.locator(".details b")).to_have_text("b")
        append(writer, 3, "abc")
        expect(page.locator(".controls output")).to_have_text("step 3 (the last)")
        expect(page.locator("#metrics")).to_contain_text("Step 3")
    assert opened.complaints == []


def turn(page: Page, *, hidden: bool) -> None:
    """Let a window behave as one that is hidden, which a headless one never is."""
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_more_windows_than_a_browser_has_connections(serving: Serving, opening: Opening) -> None:
    with writing(serving.folder / "one") as writer:
        append(writer, 0, "ab")
        first = opening(f"{serving.url}#run=one").page
        pages = [first]
        for _ in range(8):
            expect(pages[-1].locator("table.layers tbody tr")).to_have_count(2)
            turn(pages[-1], hidden=True)
            pages.append(first.context.new_page())
            pages[-1].goto(f"{serving.url}#run=one")
        expect(pages[-1].locator("table.layers tbody tr")).to_have_count(2)
        append(writer, 1, "ab")
        expect(pages[-1].locator(".controls output")).to_have_text("step 1 (the last)")
        # What was missed meanwhile comes with the next look.
        assert first.locator(".controls output").inner_text() == "step 0 (the last)"
        turn(first, hidden=False)
        expect(first.locator(".controls output")).to_have_text("step 1 (the last)")
        expect(first.locator(".lost")).to_be_empty()


def test_a_token_of_an_earlier_start_is_told(tmp_path: Path, opening: Opening) -> None:
    run(tmp_path / "one", steps=1, names="a")
    with Serving(tmp_path, "--host", "0.0.0.0") as serving:
        token = serving.link.partition("?")[2]
        page = opening(f"http://127.0.0.1:{serving.port}/?{token}#run=one").page
        expect(page.locator(".controls output")).to_have_text("step 0 (the last)")
        serving.kill()
        expect(page.locator(".lost")).to_have_text("Connection lost, trying again.")
        serving.restart()
        expect(page.locator(".lost")).to_contain_text("open the new link")
