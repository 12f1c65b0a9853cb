import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from fathom.views.server import runs
from fathom.views.server.root import Root
from fathom.views.server.runs import OpenRuns
from live import PATIENCE
from live_training import recorded

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="it asks the system which files are open"
)


def opened(root: Path) -> set[str]:
    """The runs whose file this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            path = link.readlink()
            if path.name == "run.sqlite" and path.is_relative_to(root):
                found.add(path.parent.name)
    return found


async def until(root: Path, expected: set[str]) -> None:
    async with asyncio.timeout(PATIENCE):
        while opened(root) != expected:
            await asyncio.sleep(0.01)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abc":
        recorded(tmp_path / name, steps=1)
    return tmp_path


def test_all_that_use_a_run_share_it(root: Path) -> None:
    async def use() -> None:
        open_runs = OpenRuns(Root(root))
        with open_runs.use("a") as first, open_runs.use("a") as second:
            assert first is second
            assert first.look() is not None
        with open_runs.use("a") as third:
            assert third is first

    asyncio.run(use())


def test_a_run_that_nobody_uses_is_closed_after_a_while(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "REST", 0.05)

    async def use() -> None:
        open_runs = OpenRuns(Root(root))
        with open_runs.use("a") as kept:
            kept.look()
            with open_runs.use("b") as other:
                other.look()
                assert opened(root) == {"a", "b"}
            await until(root, {"a"})
            assert kept.look() is not None
        await until(root, set())

    asyncio.run(use())


def test_only_so_many_are_kept_and_never_one_in_use_is_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_KEPT", 1)

    async def use() -> None:
        open_runs = OpenRuns(Root(root))
        with ExitStack() as stack:
            for name in "abc":
                stack.enter_context(open_runs.use(name)).look()
            assert opened(root) == {"a", "b", "c"}
        await until(root, {"a"})

    asyncio.run(use())
