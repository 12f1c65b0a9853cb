"""Hugging Face `datasets`, quietly: a set from its hub, refused soon where it is out of reach."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from fathom.errors import DataNotFoundError, words_of
from fathom.extras import require

_PATIENCE = 5.0  # seconds
_LOGGERS = ("datasets", "huggingface_hub")

FORMATS = (
    "a folder that `save_to_disk` of a DatasetDict wrote, one of train-*.parquet and "
    "test-*.parquet, or one of train/CLASS/*.png and test/CLASS/*.png"
)
"""What a folder of data can hold, for messages."""


@contextmanager
def quiet() -> Iterator[Any]:
    """Import `datasets`, and keep it from writing to the terminal.

    Yields:
        The package.

    Raises:
        MissingExtraError: If it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = require("datasets", extra="experiments")
        hub = require("huggingface_hub", extra="experiments")
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        levels = [logger.level for logger in loggers]
        bars = [
            package
            for package in (datasets.utils, hub.utils)
            if not package.are_progress_bars_disabled()
        ]
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            for package in bars:
                package.disable_progress_bars()
            yield datasets
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for package in bars:
                package.enable_progress_bars()


def from_hub(repository: str) -> Mapping[str, Any]:
    """Return the parts of a data set of the hub, or of the cache that `datasets` keeps of it.

    Args:
        repository: Such as `uoft-cs/cifar10`.

    Returns:
        A `datasets.Dataset` for each part.

    Raises:
        DataNotFoundError: If neither has it, after some 5 seconds.
        MissingExtraError: If `datasets` is not installed.
    """
    with quiet() as datasets:
        obstacle = _obstacle(repository)
        try:
            with _offline(datasets) if obstacle else nullcontext():
                parts: Mapping[str, Any] = datasets.load_dataset(repository)
        # Whatever the network, the hub or the cache does wrong, the set cannot be had.
        except Exception as error:
            reason = " ".join((obstacle or words_of(error)).split())
            raise DataNotFoundError(
                f"data: {repository} must be on the Hugging Face Hub or in its cache here, got "
                f"{reason[:200]}. Pass --data-folder PATH, {FORMATS}, or --data digits, which "
                "needs no network."
            ) from error
        return parts


def _obstacle(repository: str) -> str:
    """Ask the hub once, where `load_dataset` asks 6 times: 23 seconds without a network."""
    hub = require("huggingface_hub", extra="experiments")
    try:
        hub.HfApi().dataset_info(repository, timeout=_PATIENCE)
    except Exception as error:  # noqa: BLE001 - the classes differ by version
        return words_of(error)
    return ""


@contextmanager
def _offline(datasets: Any) -> Iterator[None]:
    """Let `datasets` look into its cache alone."""
    hub = require("huggingface_hub", extra="experiments")
    settings = (datasets.config, hub.constants)
    before = [each.HF_HUB_OFFLINE for each in settings]
    try:
        for each in settings:
            each.HF_HUB_OFFLINE = True
        yield
    finally:
        for each, value in zip(settings, before, strict=True):
            each.HF_HUB_OFFLINE = value
