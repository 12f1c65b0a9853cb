"""How much arithmetic a layer's own training takes, from shapes alone."""

from math import prod

from torch import nn


def training_arithmetic(module: nn.Module, numbers: int, *, width: int) -> float:
    """Return the operations of a forward and a backward pass of one call.

    Each weight is multiplied and added in once for each position of the output, and twice as often
    in the backward pass, for the gradients of inputs and of weights.

    Args:
        module: The layer; its own account of its size counts, as its parameters may be spread over
            ranks or packed into fewer bits.
        numbers: How many numbers it returned.
        width: d, how many of them are a row.

    Returns:
        6 operations for each weight at each position. What attention multiplies beside its weights
        is not counted.
    """
    return 6.0 * numbers * _weights_of_a_number(module, width)


def _weights_of_a_number(module: nn.Module, width: int) -> float:
    """Return how many weights each number of an output is made with."""
    inputs = getattr(module, "in_features", None) or getattr(module, "nx", None)
    if isinstance(inputs, int):
        return inputs
    channels, kernel = getattr(module, "in_channels", None), getattr(module, "kernel_size", None)
    if isinstance(channels, int) and isinstance(kernel, tuple):
        taps = prod(kernel) * channels / getattr(module, "groups", 1)
        strides = getattr(module, "stride", (1,)) if getattr(module, "transposed", False) else (1,)
        return taps / prod(strides)
    weights = sum(each.numel() for each in module.parameters() if each.ndim > 1)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        weights = 0
    return max(1.0, weights / width)
