"""The global random states, as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def same_randomness() -> Iterator[None]:
    """Have the random states of torch, NumPy and Python afterwards as before.

    A DataLoader draws from torch's at the start of every pass, shuffled or not.

    Yields:
        Nothing.
    """
    python, numbers = random.getstate(), np.random.get_state()
    # What no GPU has been used for yet is not to be begun by asking.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)
