"""What the tests of several files begin with."""

import importlib
import sys
from typing import Any

import pytest

from lightning_training import PACKAGES


@pytest.fixture(params=PACKAGES)
def pl(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One of the packages, as if the other had not been imported."""
    package = importlib.import_module(request.param)
    for other in PACKAGES:
        if other != request.param:
            monkeypatch.delitem(sys.modules, other, raising=False)
    return package
