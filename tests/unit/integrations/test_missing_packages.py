import importlib
import sys

import pytest

import fathom


@pytest.mark.parametrize(
    ("trainer", "packages"),
    [
        ("accelerate", ["accelerate.tracking"]),
        ("ignite", ["ignite.engine"]),
        ("lightning", ["lightning.pytorch", "pytorch_lightning"]),
        ("transformers", ["transformers.trainer_callback"]),
    ],
)
def test_a_missing_trainer_is_named_with_its_extra(
    trainer: str, packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    name = f"fathom.integrations.{trainer}"
    monkeypatch.delitem(sys.modules, name, raising=False)

    def use() -> None:
        module = importlib.import_module(name)
        module.FathomCallback()

    with pytest.raises(fathom.MissingExtraError, match=f"Install the extra '{trainer}'"):
        use()
