"""In a notebook a monitor, a snapshot and a run show themselves as tables with bars."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch import nn

import fathom
from fathom.markup import Bar, html_table


class Tables(HTMLParser):
    """Reads the cells of all tables, and the widths of their bars."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.bars: list[float] = []
        self.tags: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            style = dict(attrs).get("style") or ""
            if "gradient" in style:
                self.bars.append(float(style.split("45) ")[1].split("%")[0]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


def html(shown: object) -> Tables:
    return Tables(shown._repr_html_())  # type: ignore[attr-defined]


def test_a_snapshot_and_a_run_show_the_layers_with_their_bars(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)).eval()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(torch.randn(500, 4))
        snapshot = monitor.snapshot(step=3, accuracy=0.5)
    for shown in (snapshot, fathom.open_run(tmp_path / "run")):
        seen = html(shown)
        assert seen.rows[0][:5] == ["layer", "kind", "width", "dimension", "saturation"]
        assert seen.rows[1] == ["0", "linear", "8", "4", "0.500", "62", "settled"]
        assert seen.rows[2][:5] == ["1", "linear", "2", "2", "1.000"]
        assert seen.bars == [50.0, 100.0]
        assert "average saturation 0.500" in seen.text
        assert "step 3" in seen.text
        assert "accuracy 0.5" in seen.text


def test_a_monitor_shows_what_it_watches_and_the_last_snapshot() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    with fathom.watch(model, budget=None) as monitor:
        before = html(monitor)
        assert [row[0] for row in before.rows[1:]] == ["0", "1"]
        assert "no call" in before.rows[1][-1]
        model(torch.randn(80, 4))
        assert html(monitor).bars == [50.0, 100.0], "rows per width over the 20 that settle"
        monitor.snapshot(step=0).wait()
        after = html(monitor)
        assert [row[4] for row in after.rows[1:3]] == ["0.500", "1.000"]
        assert "no call" in after.rows[-1][-1]
    assert "closed" in html(monitor).text


def test_a_run_without_steps_and_a_snapshot_without_layers(tmp_path: Path) -> None:
    with fathom.watch(nn.Linear(2, 2), tmp_path / "run") as monitor:
        assert "nothing recorded yet" in html(fathom.open_run(tmp_path / "run")).text
        seen = html(monitor.snapshot(step=0))
    assert "table" not in seen.tags
    assert "not observed" in seen.text


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "</td><script>1</script>", "a&b\"'"]
)
def test_names_are_text(tmp_path: Path, name: str) -> None:
    model = nn.ModuleDict({"x": nn.Linear(2, 2)})
    model._modules[name] = model._modules.pop("x")
    with fathom.watch(model, tmp_path / name.replace("/", ""), budget=None) as monitor:
        model[name](torch.randn(30, 2))
        shown = [monitor._repr_html_(), monitor.snapshot(step=0)._repr_html_()]
    shown.append(fathom.open_run(tmp_path / name.replace("/", ""))._repr_html_())
    for each in shown:
        seen = Tables(each)
        assert seen.tags <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}
        assert seen.rows[1][0] == name


def test_a_bar_never_leaves_its_cell_and_draws_nothing_for_nan() -> None:
    bars = [Bar(-1, "a"), Bar(2, "b"), Bar(float("nan"), "-")]
    seen = Tables(html_table(["share"], [[each] for each in bars], title=""))
    assert seen.bars == [0, 100, 0]
