"""What the convolutional classifiers have in common: how wide they are, and how they begin."""

from torch import nn


def channels(own: int, *, share: float) -> int:
    """Return how many channels a layer has.

    Args:
        own: In the architecture as it was published.
        share: Of it, > 0.

    Returns:
        The nearest whole number, at least 1.

    Example:
        >>> channels(64, share=1 / 16)
        4
    """
    return max(1, round(own * share))


def begin(model: nn.Module) -> None:
    """Draw the weights of all convolutions from torch's global generator, and zero their biases.

    Normal, with a variance of 2 / (k² c) for k×k kernels and c output channels: gradients then keep
    their size on the way back through ReLUs.

    Args:
        model: Whose other layers stay as they are.

    References:
        He et al. 2015, "Delving Deep into Rectifiers", equation 14.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
