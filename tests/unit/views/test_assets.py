import re
from html.parser import HTMLParser
from itertools import takewhile

import pytest

from fathom.views.assets import ASSETS, INDEX, MODULES, PAGE, asset
from fathom.views.look import DARK, LIGHT, WORDS


def test_every_file_of_the_page_is_listed() -> None:
    there = {str(path.relative_to(PAGE)) for path in PAGE.rglob("*") if path.is_file()}
    assert there - set(ASSETS) == {INDEX, "vendor/README.md", "vendor/uPlot-LICENSE"}
    assert set(ASSETS) <= there


def test_the_licence_and_the_version_of_what_is_not_ours_lie_beside_it() -> None:
    version = re.search(r"uPlot \(v([\d.]+)\)", asset("vendor/uPlot.iife.min.js"))
    assert version is not None
    assert f"uPlot {version[1]}" in (PAGE / "vendor" / "README.md").read_text()
    assert "MIT License" in (PAGE / "vendor" / "uPlot-LICENSE").read_text()


def test_the_index_asks_only_for_what_is_listed() -> None:
    wanted = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found = dict(attrs)
            wanted.append(found.get("src" if tag == "script" else "href"))
            assert not any(name.startswith("on") or name == "style" for name in found)

    Links().feed(asset(INDEX))
    files = [each for each in wanted if each and not each.startswith("data:")]
    assert sorted(files) == sorted(f"page/{name}" for name in ASSETS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_stands_behind_those_that_it_imports(module: str) -> None:
    before = set(takewhile(lambda each: each != module, MODULES))
    imported = re.findall(r'^import [^;]+ from "\./([^"]+)";', asset(module), re.MULTILINE)
    assert set(imported) <= before


def test_no_text_is_ever_read_as_markup() -> None:
    for module in MODULES:
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", asset(module)
        )
        assert found is None, (module, found)


def test_the_colours_are_those_of_every_view() -> None:
    css = asset("page.css")
    pairs = dict(
        (name, (light, dark))
        for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\);", css)
    )
    expected = {
        name: (getattr(LIGHT, name), getattr(DARK, name))
        for name in ("background", "text", "faint", "line")
    }
    for place, both in enumerate(zip(LIGHT.series, DARK.series, strict=True)):
        expected[f"series-{place}"] = both
    for status, light in LIGHT.status.items():
        expected[status] = (light, DARK.status[status])
    assert pairs == expected


def test_the_words_are_those_of_every_view() -> None:
    found = re.search(r"export const WORDS = \{(.*?)\n\};", asset("words.js"), re.DOTALL)
    assert found is not None
    assert dict(re.findall(r'^  (\w+): "([^"]+)",$', found[1], re.MULTILINE)) == WORDS
