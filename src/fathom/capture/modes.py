"""In what mode PyTorch runs just now, and whether there are numbers to look at."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

# Every hook asks at every call, and the names alone would take a third of what a skipped call may.
_graph_task = torch._C._current_graph_task_id
_functorch_level = torch._C._functorch.maybe_current_level
_dispatch_mode = torch._C._get_dispatch_mode
_is_tracing = torch._C._is_tracing
_FAKE = torch._C._TorchDispatchModeKey.FAKE
_PROXY = torch._C._TorchDispatchModeKey.PROXY


def is_recomputing() -> bool:
    """Tell whether a backward pass runs: activation checkpointing then calls layers once more."""
    return bool(_graph_task() != -1)


def is_transformed() -> bool:
    """Tell whether tensors are no numbers now: in `torch.func`, a fake mode, or a trace."""
    return (
        _functorch_level() is not None
        or _dispatch_mode(_FAKE) is not None
        or _dispatch_mode(_PROXY) is not None
        or _is_tracing()
    )


def is_real(output: object) -> bool:
    """Tell whether an output has numbers that may be looked at now."""
    if isinstance(output, torch.fx.Proxy):
        return False
    on_gpu = isinstance(output, Tensor) and output.is_cuda
    # What is computed while a CUDA graph is captured would be part of the user's graph.
    return not (on_gpu and torch.cuda.is_current_stream_capturing())


def unseen_by_modes() -> AbstractContextManager[object]:
    """Return a context whose operations no dispatch mode sees: no counter, no checkpointing."""
    if torch._C._len_torch_dispatch_stack() == 0:
        return nullcontext()
    return _disable_current_modes()
