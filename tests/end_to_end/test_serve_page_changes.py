"""The live page while what it shows becomes another: layers and runs that come, go and move."""

import re
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
def writing(folder: Path, *, model: str = "made.Up") -> Iterator[Writer]:
    """Write a run by hand."""
    writer = Writer.open(folder, facts={"model": model}, settings=Settings(), layers=[])
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


def test_a_run_that_begins_later_is_offered_to_compare_with(
    serving: Serving, opening: Opening
) -> None:
    run(serving.folder / "one", steps=1, names="a")
    opened = opening(f"{serving.url}#run=one")
    page = opened.page
    others = page.get_by_label("Compare with")
    expect(page.locator("table.layers tbody tr")).to_have_count(1)
    expect(others).to_be_hidden()
    run(serving.folder / "two", steps=1, names="a")
    expect(others).to_be_visible()
    # A list that cannot be had now is no reason to forget the one there was.
    page.route("**/api/runs", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        run(serving.folder / "three", steps=1, names="a")
    expect(others).to_be_visible()


def test_a_cursor_in_the_evolution_survives_a_run_that_is_begun_anew(
    serving: Serving, opening: Opening, tmp_path: Path
) -> None:
    def begin_anew(steps: int, names: str) -> None:
        run(tmp_path / "new", steps=steps, names=names)
        (serving.folder / "one").rename(tmp_path / f"before {names}")
        (tmp_path / "new").rename(serving.folder / "one")

    run(serving.folder / "one", steps=6, names="abc")
    opened = opening(f"{serving.url}#run=one")
    page = opened.page
    told = page.locator("#evolution .told")
    picture = page.locator("#evolution canvas[tabindex]")
    picture.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(told).to_contain_text("b, step 4: ")
    begin_anew(5, "cb")
    expect(page.locator(".controls output")).to_have_text("step 4 (the last)")
    expect(told).to_contain_text("b, step 4: ")
    begin_anew(2, "a")
    expect(page.locator(".controls output")).to_have_text("step 1 (the last)")
    expect(page.locator("table.layers tbody tr")).to_have_count(1)
    expect(told).to_be_empty()
    assert [each for each in opened.complaints if "404" not in each] == []


def test_the_picture_of_another_run_takes_the_place_of_the_one_before(
    serving: Serving, opening: Opening
) -> None:
    run(serving.folder / "A", steps=2, names="a")
    opened = opening(f"{serving.url}#run=A&run=B")
    page = opened.page
    pictures = page.locator("#evolution canvas[tabindex]")
    expect(pictures).to_have_count(1)
    (serving.folder / "A").rename(serving.folder / "B")
    # For a moment there may be both.
    expect(pictures.and_(page.locator("[data-key=evolution-A]"))).to_have_count(0)
    expect(pictures).to_have_count(1)
    expect(pictures).to_have_attribute("aria-label", re.compile("steps of B"))
    expect(page.locator(".message")).to_have_text(re.compile("There is no run A now"))
    assert [each for each in opened.complaints if "404" not in each] == []


def test_no_more_runs_are_compared_than_are_told_apart(serving: Serving, opening: Opening) -> None:
    names = [f"r{number:02}" for number in range(17)]
    for name in names:
        run(serving.folder / name, steps=1, names="a")
    opened = opening(str(serving.url))
    page = opened.page
    for name in names[:14]:
        page.get_by_role("checkbox", name=f"Compare {name}").check()
    expect(page.get_by_role("link", name="Compare 14 runs")).to_be_visible()
    page.get_by_role("checkbox", name="Compare r14").check()
    expect(page.locator(".compare")).to_have_text(
        "15 runs are chosen; 14 can be told apart on a page."
    )
    page.goto(f"{serving.url}#{'&'.join(f'run={name}' for name in names)}")
    expect(page.locator(".message")).to_contain_text("Of 17 runs the first 14 are shown")
    expect(page.locator(".lost")).to_be_empty()
    assert opened.complaints == []


def test_the_list_keeps_words_whole_and_offers_no_run_that_cannot_be_read(
    serving: Serving, opening: Opening
) -> None:
    name = "vgg16-narrow-and-long-enough-to-need-all-of-its-column"
    with writing(serving.folder / name, model="torchvision.models.vgg.VGG") as writer:
        append(writer, 0, "a")
        (serving.folder / "broken").mkdir()
        (serving.folder / "broken" / "run.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 99)
        page = opening(str(serving.url), width=1100).page
        row = page.locator("table.runs tbody tr", has_text=name)
        high = "(node) => node.getBoundingClientRect().height"
        assert row.locator(".live").evaluate(high) < 30
        lines = row.locator(".free").evaluate(
            """(node) => {
                return [...node.childNodes].filter((child) => child.data).map((child) => {
                    const range = document.createRange();
                    range.selectNodeContents(child);
                    return [child.data, range.getClientRects().length];
                });
            }"""
        )
        assert lines == [[part, 1] for part in ("torchvision.", "models.", "vgg.", "VGG")]
        table = page.locator("table.runs").evaluate("(node) => node.getBoundingClientRect().right")
        assert table <= 1100
    expect(page.get_by_role("checkbox", name="Compare broken")).to_have_count(0)
