"""Whose rows the state of a monitor holds."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fathom.distributed.merging import Ranks
from fathom.errors import ArgumentError

_RANK, _SIZE = "ranks/rank", "ranks/size"


def with_place(state: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Return a state that says whose it is.

    Args:
        state: Of this rank.
        ranks: All of them.

    Returns:
        The state, with the rank and how many there are.
    """
    place = {_RANK: ranks.rank, _SIZE: ranks.size}
    return {**state, **{key: torch.tensor(number, device="cpu") for key, number in place.items()}}


def of_this_place(state: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Return the part of a state that is the capture's, if it is this rank's own.

    Args:
        state: What `with_place` returned; one without a place is of a process alone.
        ranks: All of them.

    Returns:
        The rest of it.

    Raises:
        ArgumentError: If it holds rows of another rank: on each rank they would count again; or if
            it is no state at all.
    """
    if not isinstance(state, Mapping):
        raise ArgumentError(
            "load_state_dict: state must be what Monitor.state_dict() returned, got "
            f"{type(state).__name__}. Pass that part of the checkpoint."
        )
    rank, size = (int(state.get(key, default)) for key, default in ((_RANK, 0), (_SIZE, 1)))
    holds_rows = any(key.startswith("windows/") for key in state)
    if holds_rows and (rank, size) != (ranks.rank, ranks.size):
        raise ArgumentError(
            f"load_state_dict: state must be of rank {ranks.rank} of {ranks.size}, got that of "
            f"rank {rank} of {size}, whose rows would be lost or count twice. Save it on every "
            "rank and load each its own; or save right after a snapshot, when it has no rows."
        )
    return {key: each for key, each in state.items() if key not in (_RANK, _SIZE)}
