"""Full float32 products, whatever the training has allowed for its own."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

_FULL = ("ieee", "none")

# The setting is the process's own: two threads must not restore over each other.
_SETTING = threading.RLock()


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Run float32 products in float32: no autocast, no TF32, no bf16 inside.

    A user's `torch.autocast` and `torch.set_float32_matmul_precision("medium")` cut products to
    8 bits of mantissa, on CPUs too; both are as before when the block ends.

    Args:
        device_type: `cpu`, `cuda`, ... of the tensors that are multiplied.

    Yields:
        Nothing.
    """
    with ExitStack() as restore:
        if torch.is_autocast_enabled(device_type):
            restore.enter_context(torch.autocast(device_type, enabled=False))
        backend = torch.backends.cuda if device_type == "cuda" else torch.backends.mkldnn
        matmul: Any = getattr(backend, "matmul", None)
        if hasattr(matmul, "fp32_precision"):
            if matmul.fp32_precision not in _FULL:
                restore.enter_context(_SETTING)
                _raise_precision(matmul, restore)
        elif torch.get_float32_matmul_precision() != "highest":  # torch before 2.9
            restore.enter_context(_SETTING)
            restore.callback(
                torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()
            )
            torch.set_float32_matmul_precision("highest")
        yield


def _raise_precision(matmul: Any, restore: ExitStack) -> None:
    allowed = matmul.fp32_precision
    # What was inherited from the setting for all backends is to be so afterwards.
    matmul.fp32_precision = "none"
    own = "none" if matmul.fp32_precision == allowed else allowed
    restore.callback(setattr, matmul, "fp32_precision", own)
    matmul.fp32_precision = "ieee"
