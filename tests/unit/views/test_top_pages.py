"""A page over the layers says what is so now, and is left by nothing but being left."""

from pathlib import Path

import pytest

import fathom
from fathom.reading import Phase, Readings
from fathom.settings import Settings
from fathom.snapshot import Snapshot
from fathom.spectral.spectrum import PROVISIONAL_BELOW, SETTLED_FROM, Spectrum
from fathom.store.writer import Writer
from fathom.views.findings import findings
from fathom.views.top.page import Page
from fathom.views.top.pages import help_page
from fathom.views.top.watcher import Watcher
from made_runs import made_reading, made_run
from screens import Driven, drive


class Growing:
    """A run that grows by a step when it is told to; dimension tells its steps apart."""

    def __init__(self, path: Path) -> None:
        self.writer = Writer.open(path, facts={"model": "x"}, settings=Settings(), layers=[])
        self.steps = 0

    def go_on(self) -> None:
        def readings(phase: Phase) -> Readings:
            dimension = 1 + self.steps + 10 * (phase == "train")
            made = (made_reading(f"fc{n}", dimension=dimension, phase=phase) for n in range(2))
            return Readings((each.layer.name, each) for each in made)

        snapshot = Snapshot(
            step=self.steps,
            metrics={"loss": float(self.steps)},
            train=readings("train"),
            eval=readings("eval"),
        )
        self.writer.append(snapshot, layers=[each.layer for each in snapshot.eval.values()])
        self.steps += 1


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    growing = Growing(tmp_path / "run")
    growing.go_on()
    return growing


def test_a_page_that_was_left_is_read_no_more(
    growing: Growing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Watcher.spectrum

    def spectrum(self: Watcher, layer: str, *, step: int, phase: str) -> Spectrum | None:
        read.append(layer)
        return original(self, layer, step=step, phase=phase)

    monkeypatch.setattr(Watcher, "spectrum", spectrum)

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.press("enter")
        await top.sees("eigenvalues")
        await top.press("escape")
        await top.sees("average saturation")
        assert read
        read.clear()
        growing.go_on()
        await top.sees("step 1")
        assert not read

    drive(tmp_path / "run", scene)
    growing.writer.close()


def test_a_page_takes_the_place_of_another_and_stays_through_a_snapshot(
    growing: Growing, tmp_path: Path
) -> None:
    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        for _ in range(3):
            await top.press("question_mark")
            await top.sees("the newest step")
            await top.press("m")
            await top.sees("Metrics at step 0")
        assert len(top.app.screen_stack) == 2
        growing.go_on()
        await top.sees("Metrics at step 1", "loss 1")
        await top.press("escape")
        await top.sees("average saturation")
        assert len(top.app.screen_stack) == 1

    drive(tmp_path / "run", scene)
    growing.writer.close()


def test_keys_change_what_an_open_page_says(growing: Growing, tmp_path: Path) -> None:
    growing.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("step 1")
        await top.press("enter")
        await top.sees("eval, step 1", "intrinsic dimension 2 ", "2 directions")
        await top.press("p")
        await top.sees("train, step 1", "12 directions")
        await top.press("left")
        await top.sees("train, step 0", "11 directions")
        await top.press("l")
        await top.sees("train, step 1", "12 directions")
        await top.press("t")
        await top.sees("train, step 1")

    drive(tmp_path / "run", scene)
    growing.writer.close()


def test_under_a_page_the_layers_keep_their_order_and_filter(
    growing: Growing, tmp_path: Path
) -> None:
    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.press("m")
        await top.sees("Metrics at step 0")
        await top.press("slash", "n", "n", "x")
        assert isinstance(top.app.screen, Page)
        await top.press("escape")
        await top.sees("average saturation")
        assert top.layers("fc0", "fc1") == ["fc0", "fc1"]
        assert "↑" not in top.text
        await top.press("down")
        await top.points("fc1")

    drive(tmp_path / "run", scene)
    growing.writer.close()


def test_an_open_page_bears_that_its_run_is_replaced(growing: Growing, tmp_path: Path) -> None:
    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.press("f")
        await top.sees("What there is to know")
        growing.writer.close()
        (tmp_path / "run").rename(tmp_path / "old")
        await top.sees("waiting for")
        made_run(tmp_path / "run", [7], lambda step: [made_reading("fc9", dimension=3)])
        await top.sees("What there is to know, eval, step 7")

    drive(tmp_path / "run", scene)


def test_help_says_the_rules_that_hold() -> None:
    text = " ".join(help_page().plain.split())
    assert f"provisional: fewer than {PROVISIONAL_BELOW} rows per width" in text
    assert f"settling: fewer than {SETTLED_FROM}" in text
    assert (
        Spectrum(made_reading("a", dimension=3).eigenvalues, 20 * SETTLED_FROM).status == "settled"
    )


def test_words_about_a_run_say_the_rule_that_holds(tmp_path: Path) -> None:

    readings = [made_reading("a", dimension=3, rows=20 * PROVISIONAL_BELOW - 1)]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    rule = f"fewer than {PROVISIONAL_BELOW} rows per width"
    assert any(rule in each.text for each in findings(run.timeline(), phase="eval"))
    assert any(rule in note for note in run.snapshot().notes())
