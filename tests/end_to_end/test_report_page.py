"""The report in a real browser: opened from a file, as whoever gets one does."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

import fathom
from browser import Opening
from fathom.views.findings import findings
from fathom.views.report import write_report
from recorded import HOSTILE, deep, hostile, small

STEPS = (0, 10, 20, 30)


class Files:
    """Runs and their reports, made once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.run = small(folder / "small")
        self.other = small(folder / "other", threshold=0.9, steps=3)

    def report(self, name: str, *runs: Path) -> str:
        path = self.folder / f"{name}.html"
        if not path.exists():
            opened = [fathom.open_run(run) for run in runs or (self.run,)]
            write_report(opened, path)
            for each in opened:
                each.close()
        return path.as_uri()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("reports"))


@pytest.fixture
def calm(opening: Opening) -> Iterator[Opening]:
    """Open pages that must complain of nothing, and reach nothing but their own file."""
    yield opening
    for each in opening.opened:
        assert each.complaints == []
        assert [url for url in each.requests if not url.startswith(("file:", "data:"))] == []
        assert len({url for url in each.requests if url.startswith("file:")}) <= 1


def test_it_says_in_words_what_there_is_to_know(calm: Opening, files: Files) -> None:
    page = calm(files.report("small")).page
    expect(page.get_by_role("heading", level=1)).to_have_text("small")
    expect(page).to_have_title("small · fathom")
    with fathom.open_run(files.run) as run:
        said = [each.text for each in findings(run.timeline(), phase="eval")]
    assert len(said) >= 2
    expect(page.locator(".findings li")).to_have_text(said)


def test_the_chart_and_the_table_show_every_layer_in_order(calm: Opening, files: Files) -> None:
    page = calm(files.report("small")).page
    with fathom.open_run(files.run) as run:
        readings = run.snapshot().eval
    expect(page.get_by_role("option")).to_have_count(len(readings))
    labels = [each.get_attribute("aria-label") for each in page.get_by_role("option").all()]
    rows = page.locator("table.layers tbody tr").all_inner_texts()
    heights = [
        float(each.get_attribute("height") or 0) for each in page.locator(".bars .bar").all()
    ]
    for (name, reading), label, row, height in zip(
        readings.items(), labels, rows, heights, strict=True
    ):
        numbers = (f"{reading.saturation:.3f}", str(reading.intrinsic_dimension), reading.status)
        assert label is not None
        assert label.startswith(f"{name}: saturation")
        assert all(number in label and number in row for number in numbers)
        assert height == pytest.approx(230 * reading.saturation, abs=0.1)
    assert page.locator(".bar.output").count() == 1 + 1  # and in the legend
    expect(page.locator(".legend").first).to_contain_text("average saturation")


def test_a_click_on_a_layer_shows_its_spectrum_and_back_goes_back(
    calm: Opening, files: Files
) -> None:
    page = calm(files.report("small")).page
    words = page.locator("#spectrum .words")
    expect(words).to_contain_text("of 12 directions")
    page.get_by_role("option").nth(1).click()
    with fathom.open_run(files.run) as run:
        dimension = run.snapshot().eval["wide"].intrinsic_dimension
    expect(words).to_contain_text(f"wide{dimension} of 48 directions carry 99% of the variance")
    assert "layer=wide" in page.url
    expect(page.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(words).to_contain_text("of 12 directions")
    page.locator("table.layers").get_by_role("link", name="narrow").click()
    expect(words).to_contain_text("of 8 directions")


def test_a_link_leads_to_phase_step_and_layer(calm: Opening, files: Files) -> None:
    page = calm(files.report("small") + "#run=small&phase=train&step=10&layer=narrow").page
    expect(page.locator("output")).to_have_text("step 10")
    expect(page.locator(".choice[aria-current]")).to_have_text("train")
    expect(page.locator(".findings").locator("..")).to_contain_text("Of the last step, 30")
    with fathom.open_run(files.run) as run:
        reading = run.snapshot(10).train["narrow"]
    row = page.locator("tr[aria-current]")
    expect(row).to_contain_text(f"{reading.saturation:.3f}")
    expect(row).to_contain_text("narrow")
    words = page.locator("#spectrum .words")
    # Of the steps between, the report holds no spectra, and says so.
    expect(words).to_contain_text("the nearest that this report holds")
    words.get_by_role("link", name="20").click()
    expect(page.locator("output")).to_have_text("step 20")
    expect(words).not_to_contain_text("nearest")
    page.get_by_role("link", name="to the last").click()
    expect(page.locator("output")).to_have_text("step 30 (the last)")


def test_a_link_to_what_is_not_there_still_shows_the_run(calm: Opening, files: Files) -> None:
    page = calm(files.report("small") + "#phase=none&step=17&layer=none").page
    expect(page.locator("output")).to_have_text("step 10")
    expect(page.get_by_role("option")).to_have_count(4)
    gone = calm(files.report("small") + "#run=gone").page
    expect(gone.get_by_text("There is no run gone in this report.")).to_be_visible()


def test_the_keyboard_reaches_and_moves_everything(calm: Opening, files: Files) -> None:
    page = calm(files.report("small")).page
    expect(page.get_by_role("option")).to_have_count(4)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.key ?? ''"))
    for key in ("phase-train", "step", "layer-chart", "evolution-small", "sort-5", "row-head"):
        assert key in reached
    chart = page.get_by_role("listbox")
    chart.focus()
    page.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-activedescendant", "layer-1")
    page.keyboard.press("End")
    expect(page.locator(".details")).to_contain_text("head")
    page.keyboard.press("Enter")
    expect(page.locator("#spectrum h3")).to_have_text("head")
    expect(chart).to_be_focused()
    page.get_by_label("Step", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("output")).to_have_text("step 20")
    page.locator("#evolution canvas[tabindex]").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#evolution .told")).to_contain_text("narrow, step 0: saturation")
    page.keyboard.press("Enter")
    expect(page.locator("output")).to_have_text("step 0")
    expect(page.locator("#spectrum h3")).to_have_text("narrow")


def test_the_table_sorts_by_each_column(calm: Opening, files: Files) -> None:
    page = calm(files.report("small")).page
    with fathom.open_run(files.run) as run:
        readings = run.snapshot().eval
    falling = sorted(readings, key=lambda name: -readings[name].saturation)
    names = page.locator("table.layers tbody th")
    expect(names).to_have_text(list(readings))
    head = page.get_by_role("columnheader", name="saturation")
    head.get_by_role("button").click()
    expect(names).to_have_text(falling)
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(head.get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    assert [names.nth(place).inner_text() for place in (0, -1)] == [falling[-1], falling[0]]


def test_two_runs_stand_beside_each_other_and_say_where_they_differ(
    calm: Opening, files: Files
) -> None:
    opened = calm(files.report("both", files.run, files.other))
    page = opened.page
    expect(page.get_by_role("heading", level=1)).to_have_text("small and other")
    expect(page.locator(".findings")).to_have_count(2)
    expect(page.locator(".bars .bar")).to_have_count(8)
    expect(page.locator("#evolution canvas[tabindex]")).to_have_count(2)
    differs = page.locator("table.settings tr.differs").filter(has_text="threshold")
    expect(differs).to_contain_text("0.99")
    expect(differs).to_contain_text("0.9")
    expect(page.locator("#spectrum .words p")).to_contain_text(["small: ", "other: "])
    assert opened.violations() == []
    page.get_by_role("link", name="Leave out small").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("other")
    page.get_by_label("Compare with").select_option("small")
    expect(page.get_by_role("heading", level=1)).to_have_text("other and small")


def test_names_are_only_ever_text(calm: Opening, files: Files) -> None:
    opened = calm(files.report("hostile", hostile(files.folder / "hostile"), files.run))
    page = opened.page
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{HOSTILE[0]} and small")
    for name in HOSTILE:
        expect(page.locator("table.layers tbody th", has_text=f"model.{name}")).to_have_count(1)
        page.locator("table.layers tbody a", has_text=f"model.{name}").click()
        expect(page.locator("#spectrum h3")).to_have_text(f"model.{name}", use_inner_text=False)
    page.reload()
    expect(page.locator("#spectrum h3")).to_have_text(f"model.{HOSTILE[-1]}")
    expect(page.locator("#metrics figcaption", has_text=HOSTILE[0])).to_have_count(1)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert dialogs == []


def test_odd_numbers_are_told_as_what_they_are(calm: Opening, files: Files) -> None:
    page = calm(files.report("odd", hostile(files.folder / "odd"))).page
    row = page.locator("table.layers tbody tr").first
    expect(row).to_contain_text("> ")
    expect(page.locator(".bars .bar.bound")).to_have_count(1)
    expect(page.locator("#spectrum .words")).to_contain_text("More than")
    expect(page.locator("output")).to_have_text(f"step {2**60} (the last)")
    expect(page.locator("#spectrum .words")).not_to_contain_text("nearest")
    endless = page.locator("#metrics figure").filter(has_text="endless")
    expect(endless).to_contain_text("No finite number")
    expect(page.locator("#missing")).to_contain_text("never")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(calm: Opening, files: Files, scheme: str) -> None:
    opened = calm(files.report("small"), scheme=scheme)
    expect(opened.page.locator("#spectrum canvas")).to_have_count(2)
    assert opened.violations() == []


def test_the_theme_can_be_chosen(calm: Opening, files: Files) -> None:
    page = calm(files.report("small")).page
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="theme: auto").click()
    page.get_by_role("button", name="theme: light").click()
    expect(page.get_by_role("button", name="theme: dark")).to_be_visible()
    assert page.evaluate(colour) == "rgb(15, 20, 25)"


def test_five_hundred_layers_scroll_and_stay_apart(calm: Opening, files: Files) -> None:
    opened = calm(files.report("deep", deep(files.folder / "deep")))
    page = opened.page
    expect(page.get_by_role("option")).to_have_count(500)
    boxes = [each.bounding_box() for each in page.locator(".bars .name").all()]
    lefts = sorted(box["x"] for box in boxes if box)
    assert len(lefts) > 50
    assert min(b - a for a, b in pairwise(lefts)) >= 11
    labels = page.locator(".bars .name").all_text_contents()
    assert len(set(labels)) == len(labels)
    page.get_by_role("listbox").focus()
    page.keyboard.press("End")
    expect(page.locator(".details")).to_contain_text("transformer_block_499")
    assert page.evaluate("document.querySelector('.chart .scroll').scrollLeft") > 500
    assert_no_sideways(page)


@pytest.mark.parametrize("width", [360, 700, 1600])
def test_it_fits_windows_of_every_width(calm: Opening, files: Files, width: int) -> None:
    opened = calm(files.report("both", files.run, files.other), width=width)
    expect(opened.page.get_by_role("option")).to_have_count(4)
    assert_no_sideways(opened.page)


def assert_no_sideways(page: Page) -> None:
    wide = page.evaluate("[document.body.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]


def test_one_step_nothing_read_and_nothing_recorded(calm: Opening, files: Files) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3))
    for name, steps in (("nothing", 0), ("unread", 2)):
        with fathom.watch(model, files.folder / name) as monitor:
            for step in range(steps):
                monitor.snapshot(step=step, loss=0.5 + step)
    nothing = calm(files.report("nothing", files.folder / "nothing")).page
    expect(nothing.locator(".findings")).to_have_text("Nothing is recorded yet.")
    expect(nothing.locator("#settings")).to_contain_text("threshold")
    expect(nothing.locator("#layers")).to_be_hidden()
    unread = calm(files.report("unread", files.folder / "unread")).page
    expect(unread.locator(".findings")).to_have_text("No layer has a reading.")
    expect(unread.locator("#metrics")).to_contain_text("Step 1: 1.5")
    expect(unread.locator("#missing")).to_contain_text("Asked for, but not observed")
    one = calm(files.report("one", small(files.folder / "one", steps=1))).page
    expect(one.locator("output")).to_have_text("step 0 (the last)")
    expect(one.get_by_role("option")).to_have_count(4)


def test_it_prints_light_without_controls_and_all_on_the_sheet(calm: Opening, files: Files) -> None:
    page = calm(files.report("small"), scheme="dark").page
    expect(page.locator("#spectrum canvas")).to_have_count(2)
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(page.locator(".controls")).to_be_hidden()
    rights = (
        "[...document.querySelectorAll('canvas, svg')].map((e) => e.getBoundingClientRect().right)"
    )
    assert max(page.evaluate(rights)) <= 1200
    charts = page.evaluate("document.querySelector('.bars').getBoundingClientRect().width")
    assert charts <= 690
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    expect(page.locator(".controls")).to_be_visible()
    assert page.evaluate("document.querySelector('.bars').getBoundingClientRect().width") <= 1200


def test_the_pictures_of_two_runs_are_drawn_for_half_a_sheet(calm: Opening, files: Files) -> None:
    page = calm(files.report("both", files.run, files.other)).page
    expect(page.locator("#evolution canvas[tabindex]")).to_have_count(2)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    wide = "[...document.querySelectorAll('#evolution canvas[tabindex]')].map((e) => e.width)"
    assert page.evaluate(wide) == [335, 335]
