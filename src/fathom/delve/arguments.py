"""Delve's arguments, as `fathom.watch` takes them, and what is to be said of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import Any

from fathom.delve.writers import STATMAP, WRITERS
from fathom.errors import ArgumentError, choose, warn
from fathom.spectral.vectors import check_threshold

_WHERE = "SaturationTracker"
_CONV = {
    "channelwise": "positions",
    "mean": "mean",
    "max": "max",
    "median": "median",
    "flatten": "flatten",
}
_TIMESERIES = {"last_timestep": "last", "timestepwise": "all"}
_INTERPOLATIONS = (
    "nearest",
    "nearest-exact",
    "linear",
    "bilinear",
    "bicubic",
    "trilinear",
    "area",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the tracker was asked for, checked.

    Attributes:
        stats: Delve's names of the statistics that are written.
        watch: Arguments of `fathom.watch`.
        notes: Sentences that say where fathom differs here.
    """

    stats: tuple[str, ...]
    watch: dict[str, Any]
    notes: list[str]


def asked(
    *,
    stats: Iterable[str],
    log_interval: int,
    max_samples: int | None,
    conv_method: str,
    timeseries_method: str,
    sat_threshold: float,
    reset_covariance: bool,
    interpolation_strategy: str | None,
    interpolation_downsampling: int,
) -> Asked:
    """Check Delve's arguments, and translate them.

    Args:
        stats: Names of statistics.
        log_interval: Every k-th call is observed.
        max_samples: Samples of a layer and epoch.
        conv_method: What is a row of a convolution.
        timeseries_method: What is a row of an LSTM.
        sat_threshold: Fraction of the variance, in (0, 1].
        reset_covariance: Whether every epoch begins anew.
        interpolation_strategy: How large maps are reduced; None for not at all.
        interpolation_downsampling: To so many positions a side.

    Returns:
        The arguments of `fathom.watch`, with what is to be said.

    Raises:
        ArgumentError: If one is outside its rule.
    """
    choose(conv_method, tuple(_CONV), where=f"{_WHERE}: conv_method")
    choose(timeseries_method, tuple(_TIMESERIES), where=f"{_WHERE}: timeseries_method")
    check_threshold(sat_threshold, where=f"{_WHERE}: sat_threshold")
    _count("log_interval", log_interval)
    if max_samples is not None:
        _count("max_samples", max_samples)
    notes = [_ALWAYS]
    if timeseries_method == "timestepwise":
        notes.append("Every time step is a row, where Delve joins those of a sequence to one row.")
    if not reset_covariance:
        notes.append("reset_covariance=False is not followed: every epoch begins anew.")
    downsample = None
    if interpolation_strategy is not None:
        choose(interpolation_strategy, _INTERPOLATIONS, where=f"{_WHERE}: interpolation_strategy")
        _count("interpolation_downsampling", interpolation_downsampling)
        downsample = interpolation_downsampling
        if interpolation_strategy != "bilinear":
            notes.append(f"Maps are reduced by bilinear, not {interpolation_strategy}, steps.")
    wanted = _checked(stats)
    if "embed" in wanted:
        notes.append(
            "'embed' is left out: no table has a column of it, and Delve's picture is of rows of "
            "the covariance, which are no eigendirections. The page says how to get a true one."
        )
    return Asked(
        stats=tuple(name for name in wanted if name != "embed"),
        watch={
            "conv": _CONV[conv_method],
            "timesteps": _TIMESERIES[timeseries_method],
            "downsample": downsample,
            "threshold": sat_threshold,
            "every": log_interval,
            "max_samples": max_samples,
            # Delve reads every row, too.
            "budget": None,
        },
        notes=notes,
    )


_ALWAYS = (
    "A number is that of all batches since the last add_saturations(), where the Delve package has "
    "the last batch alone, and intrinsic dimension is the smallest k that reaches sat_threshold, "
    "where it has k - 1. docs/coming-from-delve.md has the rest."
)


def _checked(stats: Iterable[str]) -> tuple[str, ...]:
    names = [stats] if isinstance(stats, str) else list(stats)
    # Delve takes lsat_train and the like beside lsat, and makes nothing of them.
    short = tuple(dict.fromkeys(f"{name}".partition("_")[0] for name in names))
    for name in short:
        choose(name, tuple(STATMAP), where=f"{_WHERE}: stats")
    return short


def writers_of(save_to: Any, options: dict[str, Any]) -> list[Any]:
    """Return the writers that `save_to` names.

    Args:
        save_to: A name, an object with a writer's methods, or a list of these.
        options: For writers that are made here.

    Returns:
        The writers.

    Raises:
        ArgumentError: If one is none, or is one of Delve's own that reads a pickle.
    """
    if isinstance(save_to, list | tuple):
        return [writer for each in save_to for writer in writers_of(each, options)]
    if isinstance(save_to, str):
        choose(save_to, tuple(WRITERS), where=f"{_WHERE}: save_to")
        return [WRITERS[save_to](**options)]
    methods = ("add_scalar", "add_scalars", "save", "close", "resume_from_saved_state")
    if isinstance(save_to, type) or not all(hasattr(save_to, method) for method in methods):
        raise ArgumentError(
            f"{_WHERE}: save_to must be of {', '.join(WRITERS)}, a writer, or a list of these, got "
            f"{save_to!r}. A writer has {', '.join(methods)}."
        )
    for kind in type(save_to).__mro__:
        if kind.__module__ == "delve.writers" and kind.__name__ in ("NPYWriter", "CompositWriter"):
            raise ArgumentError(
                f"{_WHERE}: save_to must be a writer that reads no pickle, got {save_to!r} of the "
                "Delve package. Import the writers from fathom.delve.writers."
            )
    return [save_to]


def tell(notes: Sequence[str]) -> None:
    """Warn of what differs, each once in a process.

    Args:
        notes: Sentences.
    """
    before = _told()
    if new := [note for note in notes if note not in before]:
        before.update(new)
        warn(f"fathom.delve: {' '.join(new)}")


@cache
def _told() -> set[str]:
    return set()


def _count(name: str, value: object) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ArgumentError(
            f"{_WHERE}: {name} must be a whole number >= 1, got {value!r}. Pass such a number."
        )
