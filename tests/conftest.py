"""The options of the tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=100,
        help="how many times the kill test ends a training with kill -9 (default: 100)",
    )
