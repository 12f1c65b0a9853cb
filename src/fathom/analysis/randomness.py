"""Random states that are put back: what an analysis draws is nobody's loss."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def same_randomness(data: Any = None) -> Iterator[None]:
    """Leave the random states of Python, NumPy and torch as they were, and those of a data loader.

    A loader draws from torch's generator each time that it is gone through, shuffled or not.

    Args:
        data: What is gone through inside; of a `DataLoader` its generators count too.

    Yields:
        Nothing.
    """
    with ExitStack() as undo:
        undo.callback(random.setstate, random.getstate())
        undo.callback(np.random.set_state, np.random.get_state())
        undo.callback(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            undo.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
        for generator in _generators(data):
            undo.callback(generator.set_state, generator.get_state())
        yield


def _generators(data: Any) -> list[torch.Generator]:
    holders = [data, getattr(data, "sampler", None), getattr(data, "batch_sampler", None)]
    holders.append(getattr(holders[2], "sampler", None))
    found = {id(each): each for each in (getattr(h, "generator", None) for h in holders)}
    return [each for each in found.values() if isinstance(each, torch.Generator)]
