"""fathom in trainers: one trainer a file, which is imported by those who have it."""

from importlib import import_module
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Import a trainer's file once it is used, such as `fathom.integrations.lightning`.

    Args:
        name: Of the trainer.

    Returns:
        The module.

    Raises:
        AttributeError: If there is no such trainer.
    """
    if name in {"accelerate", "ignite", "lightning", "transformers"}:
        return import_module(f"fathom.integrations.{name}")
    raise AttributeError(f"module 'fathom.integrations' has no attribute {name!r}")
