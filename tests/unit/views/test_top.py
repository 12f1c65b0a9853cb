import math
import os
import shutil
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

import fathom
from made_runs import made_reading, made_run
from screens import Driven, drive

HOSTILE = (
    "[red]x[/]",
    "\x1b[2J\x1b[H",
    "[link=a]b[/link]",
    "a\nb",
    ":smile:",
    "\u202eabc",
)


FC = ("fc0", "fc1", "fc2")


class Training:
    """A training that goes on by a step when it is told to."""

    def __init__(self, run: Path, widths: tuple[int, ...] = (6, 32, 16, 4), **more: object) -> None:
        torch.manual_seed(0)
        layers = {f"fc{n}": nn.Linear(*pair) for n, pair in enumerate(pairwise(widths))}
        self.model = nn.Sequential(OrderedDict(layers))
        self.monitor = fathom.watch(self.model, run, budget=None, **more)  # type: ignore[arg-type]
        self.step = 0

    def go_on(self, *phases: str, **metrics: float) -> None:
        for phase in phases or ("train", "eval"):
            self.model.train(phase == "train")(torch.randn(400, 6))
        self.monitor.snapshot(self.step, **metrics).wait()
        self.step += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "x"


@pytest.fixture
def training(path: Path) -> Iterator[Training]:
    training = Training(path)
    yield training
    training.monitor.close()


@pytest.mark.parametrize("size", [(80, 24), (40, 24), (120, 40)])
def test_a_run_is_seen_whole(path: Path, training: Training, size: tuple[int, int]) -> None:
    for step in range(3):
        training.go_on(loss=1 / (step + 1), accuracy=step / 2)
    with fathom.open_run(path) as run:
        snapshot = run.snapshot()

    async def scene(top: Driven) -> None:
        await top.sees("step 2", "eval", "live", "loss 0.3333", "accuracy 1")
        assert f"average saturation {snapshot.average_saturation():.3f}" in top.text
        for name, reading in snapshot.eval.items():
            words = next(line.split() for line in top.lines if line.split()[:1] == [name])
            assert f"{reading.saturation:.3f}" in words
            assert str(reading.intrinsic_dimension) in words
        assert "? help" in top.text
        assert "q quit" in top.text
        assert "…" not in "".join(top.lines[1:])
        assert len(top.lines) == size[1]

    drive(path, scene, size=size)


def test_it_waits_for_a_run_that_is_not_there_and_follows_it(path: Path) -> None:
    other = Training(path.parent / "other")
    other.monitor.close()

    async def scene(top: Driven) -> None:
        await top.sees("waiting for", path.name)
        assert "other" in " ".join(top.text.split())
        training = Training(path)
        await top.sees("has no snapshot yet", "live")
        training.go_on(loss=0.5)
        await top.sees("step 0", "loss 0.5")
        training.go_on(loss=0.25)
        await top.sees("step 1", "loss 0.25")
        training.monitor.close()
        await top.sees("not live, last step")

    drive(path, scene)


def test_it_notices_a_run_that_is_replaced_or_gone(path: Path, training: Training) -> None:
    training.go_on()
    training.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("step 1")
        await top.press("left")
        await top.sees("step 0 of 1")
        training.monitor.close()
        shutil.rmtree(path)
        await top.sees("waiting for")
        another = Training(path, (6, 5, 5))
        another.step = 70
        another.go_on()
        await top.sees("step 70", "another run since")
        another.monitor.close()

    drive(path, scene)


def test_a_run_that_cannot_be_read_says_why_and_is_tried_again(
    path: Path, training: Training
) -> None:
    training.go_on()
    training.monitor.close()
    whole = (path / "run.sqlite").read_bytes()
    (path / "run.sqlite").write_bytes(b"no database at all" * 100)

    async def scene(top: Driven) -> None:
        await top.sees("must be", "It is tried again.")
        (path / "new").write_bytes(whole)
        (path / "new").rename(path / "run.sqlite")
        await top.sees("step 0", "average saturation", without="tried again")

    drive(path, scene)


def test_a_damaged_record_is_told_and_the_rest_is_shown(path: Path, training: Training) -> None:
    training.go_on(loss=1.0)
    training.go_on(loss=2.0)
    training.monitor.close()
    with sqlite3.connect(path / "run.sqlite") as database:
        database.execute("UPDATE snapshots SET body = '{}' WHERE step = 0")

    async def scene(top: Driven) -> None:
        await top.sees("step 1", "loss 2", "snapshot 0")
        await top.press("f")
        await top.sees("What there is to know", "snapshot 0")

    drive(path, scene)


def test_layers_are_sorted_by_key_and_the_other_way_round(path: Path, training: Training) -> None:
    training.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        assert top.layers(*FC) == ["fc0", "fc1", "fc2"]
        await top.press("w")
        assert top.layers(*FC) == ["fc0", "fc1", "fc2"]
        assert "width↓" in top.text
        await top.press("w")
        assert top.layers(*FC) == ["fc2", "fc1", "fc0"]
        assert "width↑" in top.text
        await top.press("s")
        with fathom.open_run(path) as run:
            readings = run.snapshot().eval
        fallen = sorted(readings, key=lambda name: -readings[name].saturation)
        assert top.layers(*FC) == fallen
        await top.press("o")
        assert top.layers(*FC) == ["fc0", "fc1", "fc2"]

    drive(path, scene)


def test_typing_filters_and_escape_shows_all_again(path: Path, training: Training) -> None:
    training.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.press("slash", "1")
        await top.sees("1 of 3 layers")
        assert top.layers(*FC) == ["fc1"]
        await top.press("q")  # a letter here
        await top.sees("No layer has '1q'")
        await top.press("backspace", "enter")
        assert top.layers(*FC) == ["fc1"]
        await top.press("escape")
        assert top.layers(*FC) == ["fc0", "fc1", "fc2"]

    drive(path, scene)


def test_a_phase_without_readings_says_which_has_some(path: Path, training: Training) -> None:
    training.go_on("train")

    async def scene(top: Driven) -> None:
        await top.sees("step 0", "train")
        await top.press("p")
        await top.sees("No layer was read in eval at step 0.", "readings of train: press p")
        await top.press("p")
        assert top.layers(*FC) == ["fc0", "fc1", "fc2"]

    drive(path, scene)


def test_steps_are_gone_through_and_the_newest_followed_again(
    path: Path, training: Training
) -> None:
    for step in range(3):
        training.go_on(loss=float(step))

    async def scene(top: Driven) -> None:
        await top.sees("step 2", "loss 2")
        await top.press("left", "left", "left")
        await top.sees("step 0 of 2", "loss 0")
        training.go_on(loss=3.0)
        await top.sees("step 0 of 3", "loss 0")
        await top.press("l")
        await top.sees("step 3", "loss 3")

    drive(path, scene)


def test_the_cursor_and_what_is_seen_stay_on_the_layer(path: Path) -> None:
    names = [f"fc{number}" for number in range(60)]
    training = Training(path, (6,) * 61)
    training.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.press(*["pagedown"] * 3)
        chosen, before = top.reversed, top.layers(*names)
        assert chosen in before
        assert "fc0" not in before
        training.go_on()
        await top.sees("step 1")
        await top.points(chosen)
        # One less, where what is to be known takes another line above.
        assert top.layers(*names) in (before, before[1:])
        await top.press("n")
        await top.points(chosen)
        await top.press("slash", *chosen, "enter")
        await top.points(chosen)
        await top.press("escape", "o")
        await top.points(chosen)
        await top.press("end")
        assert top.layers(*names)[-1] == "fc59"
        await top.press("home")
        assert top.layers(*names)[0] == "fc0"

    drive(path, scene)
    training.monitor.close()


def test_the_cursor_stays_in_sight_where_there_is_less_room(path: Path) -> None:
    names = [f"fc{number}" for number in range(40)]
    made_run(path, [0], lambda step: [made_reading(name, dimension=3) for name in names])

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.press("pagedown", "pagedown")
        chosen = top.reversed
        assert chosen == top.layers(*names)[-1]
        await top.pilot.resize_terminal(80, 20)
        await top.points(chosen)
        assert top.layers(*names)[-1] == chosen

    drive(path, scene)


def test_a_layer_has_a_page_of_its_own(path: Path, training: Training) -> None:
    training.go_on()
    with fathom.open_run(path) as run:
        spectrum = run.spectrum("fc1")

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.press("down", "enter")
        await top.sees("linear (Linear)", "16 eigenvalues", f"{float(spectrum.eigenvalues[0]):.4g}")
        training.go_on()
        await top.sees("eval, step 1")
        await top.press("end")
        await top.sees("effective rank")
        await top.press("escape")
        await top.sees("average saturation")

    drive(path, scene)


def test_there_is_help_and_words_about_the_run(path: Path, training: Training) -> None:
    training.go_on(loss=math.nan, other=math.inf, third=1.0)

    async def scene(top: Driven) -> None:
        await top.sees("loss nan", "other inf")
        await top.press("question_mark")
        await top.sees("the newest step", "provisional")
        await top.press("escape", "f")
        await top.sees("What there is to know", "On average the data uses")
        await top.press("escape", "m")
        await top.sees("third 1")

    drive(path, scene)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_name_is_text_wherever_it_stands(path: Path, columns: int) -> None:
    model = nn.Sequential()
    for name in HOSTILE:
        model.add_module(name, nn.Linear(6, 6))
    with fathom.watch(model, path) as monitor:
        model.eval()(torch.randn(500, 6))
        monitor.snapshot(0, **{"[b]\x1b[31mloss": 1.0})

    async def scene(top: Driven) -> None:
        await top.sees("[red]x[/]", "\\x1b[2J\\x1b[H", "a\\nb", ":smile:", "\\u202eabc")
        await top.sees("[b]\\x1b[31mloss 1")
        assert "\x1b" not in "".join(top.lines)
        await top.press("end", "enter")
        await top.sees("\\u202eabc", "eigenvalues")
        await top.press("escape", "f")
        await top.sees("What there is to know")
        assert "\x1b" not in "".join(top.lines)
        assert "\u202e" not in "".join(top.lines)

    drive(path, scene, size=(columns, 30))


def test_a_layer_too_wide_for_its_dimension_has_a_bound(path: Path) -> None:
    model = nn.Linear(600, 600)
    with fathom.watch(model, path, max_width=512, budget=None) as monitor:
        model.eval()(torch.randn(3000, 600))
        snapshot = monitor.snapshot(0)
    assert math.isnan(snapshot.eval[""].intrinsic_dimension)

    async def scene(top: Driven) -> None:
        await top.sees("(model)", f"> {snapshot.eval[''].at_least - 1}")
        await top.press("enter")
        await top.sees("sketched")

    drive(path, scene)


def test_light_and_dark_are_a_key_apart(path: Path, training: Training) -> None:
    training.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        assert top.app.look.background == "#ffffff"
        await top.press("t")
        assert top.app.look.background == "#0f1419"

    drive(path, scene, light=True)


def test_the_mouse_chooses_and_opens(path: Path, training: Training) -> None:
    training.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("step 0")
        await top.pilot.click("LayerTable", offset=(3, 1))
        await top.sees("linear")
        assert top.reversed == "fc1"
        await top.pilot.click("LayerTable", offset=(3, 1))
        await top.sees("eigenvalues")

    drive(path, scene)


def test_a_terminal_that_changes_its_size_is_used_whole(path: Path, training: Training) -> None:
    training.go_on()

    async def scene(top: Driven) -> None:
        await top.sees("status")
        await top.pilot.resize_terminal(40, 20)
        await top.sees("sat.", without="status")
        await top.pilot.resize_terminal(120, 30)
        await top.sees("rows/width")

    drive(path, scene)


def test_without_colours_all_is_said_in_words(
    path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.go_on()
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")

    async def scene(top: Driven) -> None:
        await top.sees("step 0", "settl")
        assert top.reversed == "fc0"
        assert top.app.no_color

    drive(path, scene)
