"""The options of the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from processes import Processes
from regimes import SECTIONS, Page, section_of

pytest_plugins = ["browser"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=60,
        help="how many times the kill test ends a training with kill -9 (default: 60)",
    )
    parser.addoption(
        "--device",
        default="cpu",
        help="where the tests of ways of training run: cpu, or cuda where there is a GPU",
    )
    parser.addoption(
        "--regimes",
        type=Path,
        help="write the page of ways of training here, from the outcomes of the marked tests",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "regime(section): a way of training, told on the page")
    if path := config.getoption("--regimes"):
        config.pluginmanager.register(Page(path, config.getoption("--device")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        section = section_of(item)
        if section is not None and section not in SECTIONS:
            raise pytest.UsageError(f"{item.nodeid}: there is no section {section!r} of regimes")


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where a way of training is tested: its tensors are made there unless told otherwise."""
    chosen = torch.device(request.config.getoption("--device"))
    if chosen.type == "cpu" or request.node.get_closest_marker("regime") is None:
        yield chosen
        return
    before = torch.get_default_device()
    torch.set_default_device(chosen)
    yield chosen
    torch.set_default_device(before)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """For what is otherwise on one thread, which `make test` gives every test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    started.close()
