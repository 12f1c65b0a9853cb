"""One training of an experiment: everything that decides its numbers, and nothing else."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fathom.errors import ArgumentError, choose
from fathom.settings import CONV_METHODS

_LONGEST = 60
"""Letters of a path in a folder's name, which may have 255 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: How often it goes through the data.
        batch: Pictures in a step; a step of one would leave batch normalisation no variance.
        learning_rate: Of Adam.
        augment: Whether pictures are cropped at random from a frame of 4 pixels, and mirrored where
            their class allows it.
    """

    epochs: int = 20
    batch: int = 128
    learning_rate: float = 1e-3
    augment: bool = True

    def __post_init__(self) -> None:
        """Refuse what is outside its rule.

        Raises:
            ArgumentError: If a number is too small, or is none.
        """
        for name, least in (("epochs", 1), ("batch", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ArgumentError(
                    f"training: {name} must be a whole number of at least {least}, got {value!r}."
                )
        rate = self.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6:
            raise ArgumentError(f"training: learning_rate must be above 0, got {rate!r}. Try 0.001")
        if not isinstance(self.augment, bool):
            raise ArgumentError(f"training: augment must be true or false, got {self.augment!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is recorded of a training, besides the spectra of every epoch in both phases.

    Attributes:
        conv: What is a row of a convolution's output, as of `fathom.watch`.
        probes: Whether every layer is probed after the last epoch.
    """

    conv: str = "positions"
    probes: bool = False

    def __post_init__(self) -> None:
        """Refuse what is outside its rule.

        Raises:
            ArgumentError: If `conv` is none of `fathom.watch`'s, or `probes` is no flag.
        """
        choose(self.conv, CONV_METHODS, where="record: conv")
        if not isinstance(self.probes, bool):
            raise ArgumentError(f"record: probes must be true or false, got {self.probes!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One training.

    Attributes:
        data: The name of a data set.
        classes: How many of its classes are used; None for all.
        clutter: How much of a photograph lies behind the digits, in [0, 1].
        model: The name of an architecture.
        width: A share of the architecture's own width; of `dense` and the autoencoders the units
            of the layer that is varied.
        repetition: From 0; the seed depends on it, and which imbalance and photographs are drawn.
        training: How it is trained.
        record: What is recorded.
    """

    data: str
    model: str
    width: float
    classes: int | None = None
    clutter: float = 0.0
    repetition: int = 0
    training: Training = field(default_factory=Training)
    record: Recording = field(default_factory=Recording)

    @property
    def name(self) -> str:
        """Its name among the tasks of an experiment, which can be a folder's."""
        data = "".join(each if each.isalnum() or each in "-_." else "_" for each in self.data)
        if data != self.data or len(data) > _LONGEST:
            # Two paths may differ in a sign alone that no folder's name has, or at their ends.
            data = data[-_LONGEST:] + "-" + hashlib.sha256(self.data.encode()).hexdigest()[:6]
        parts = [
            data.lstrip("."),
            "" if self.classes is None else f"{self.classes}-classes",
            f"clutter{self.clutter:g}" if self.clutter else "",
            self.model,
            f"w{self.width:g}",
            f"r{self.repetition}",
        ]
        return "_".join(part for part in parts if part)

    @property
    def cell(self) -> tuple[str, int | None, float, str, float]:
        """What its repetitions have in common."""
        return self.data, self.classes, self.clutter, self.model, self.width

    def seed(self, epoch: int = 0) -> int:
        """Return the seed of an epoch, of 32 bits: torch's generators take no more.

        Args:
            epoch: From 1; 0 for the weights.
        """
        return int.from_bytes(hashlib.sha256(f"{self.name} {epoch}".encode()).digest()[:4], "big")

    def to_body(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Return the task that `to_body` wrote.

        Args:
            body: As read from JSON.

        Returns:
            The same task.
        """
        return cls(
            **{
                **body,
                "training": Training(**body["training"]),
                "record": Recording(**body["record"]),
            }
        )
