"""How alike a layer is to itself at other steps of the training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fathom.errors import ArgumentError, DamagedRecordError, near
from fathom.extras import require
from fathom.markup import Bar, html_table
from fathom.text import columns, visible
from fathom.views.similarity import METHODS, count_of, misfit, numbers, text_of, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KIND = "similarity_over_steps"
"""Under which runs keep it."""


@dataclass(frozen=True, slots=True, eq=False)
class SimilarityOverSteps:
    """How alike each layer is to itself between the steps of a training.

    Attributes:
        method: `cka`, `svcca` or `pwcca`, on data; or `eigenspaces`, from covariances alone: the
            share of the variance at the second step that the leading directions of the first carry.
        model: The class of the model.
        layers: In execution order.
        steps: Ascending.
        values: (layers, steps, steps) float64; of `eigenspaces` not symmetric.
        samples: How many samples they were compared on; 0 of `eigenspaces`, which take none.
        left_out: Samples in batches that were too small for CKA, and did not count.
        constant: Layers and steps at which the outputs do not vary; values with them are 0.
    """

    method: str
    model: str
    layers: tuple[str, ...]
    steps: tuple[int, ...]
    values: NDArray[np.float64]
    samples: int = 0
    left_out: int = 0
    constant: tuple[tuple[str, int], ...] = ()

    def __getitem__(self, layer: str) -> NDArray[np.float64]:
        """Return (steps, steps) of a layer.

        Raises:
            ArgumentError: If there is no such layer.
        """
        if layer not in self.layers:
            raise ArgumentError(
                f"similarity: layer must be one of {len(self.layers)}, got {layer!r}. "
                f"{near(layer, self.layers)}"
            )
        found: NDArray[np.float64] = self.values[self.layers.index(layer)]
        return found

    @property
    def to_last(self) -> NDArray[np.float64]:
        """(layers, steps): each step with the last, how far a layer is on its way."""
        found: NDArray[np.float64] = self.values[:, :, -1]
        return found

    def plot(
        self, layer: str | None = None, *, ax: "Axes | None" = None, theme: str | None = None
    ) -> "Axes":
        """Draw a heat map: all layers by steps, each with the last step, or one layer's steps.

        Args:
            layer: Its steps with each other; None for all layers.
            ax: Where to draw; None for a figure of its own.
            theme: `light` or `dark`.

        Returns:
            The axes.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        require("matplotlib", extra="plots")
        from fathom.views.plots.similarity import draw_layer_over_steps, draw_over_steps

        if layer is None:
            return draw_over_steps(self, ax=ax, theme=theme)
        return draw_layer_over_steps(self, layer, ax=ax, theme=theme)

    def title(self) -> str:
        """Return in a line what was compared."""
        samples = f", {self.samples:,} samples" if self.samples else ""
        return f"{METHODS[self.method]}, {self.model}{samples}"

    def notes(self) -> list[str]:
        """Return what is to be known beside the values."""
        names = ", ".join(f"{layer or '(model)'} at {step}" for layer, step in self.constant)
        found = [f"constant, so without a similarity: {names}"] if names else []
        if self.left_out:
            found.append(f"{self.left_out} samples left out, in batches of fewer than 4")
        return found

    def __str__(self) -> str:
        """Return a table for the terminal: each step with the last."""
        head = ["", *map(str, self.steps)]
        rows = [
            [name or "(model)", *(f"{value:.3f}" for value in line)]
            for name, line in zip(self.layers, self.to_last, strict=True)
        ]
        text = columns([head, *rows], right=frozenset(range(1, len(head))))
        title = f"{self.title()}: each step with the last"
        return "\n".join([visible(title), text, *map(visible, self.notes())])

    def __repr__(self) -> str:
        """Say in a line what is inside."""
        return (
            f"SimilarityOverSteps({self.title()}: {len(self.layers)} layers, "
            f"{len(self.steps)} steps)"
        )

    def _repr_html_(self) -> str:
        return html_table(
            ["", *map(str, self.steps)],
            [
                [name or "(model)", *(Bar(float(each), f"{each:.3f}") for each in line)]
                for name, line in zip(self.layers, self.to_last, strict=True)
            ],
            title=f"{self.title()}: each step with the last",
            notes=self.notes(),
        )

    def to_body(self) -> dict[str, Any]:
        """Return what JSON can hold, for the store."""
        return {
            "method": self.method,
            "model": self.model,
            "layers": list(self.layers),
            "steps": list(self.steps),
            "values": self.values.tolist(),
            "samples": self.samples,
            "left_out": self.left_out,
            "constant_layers": [layer for layer, _ in self.constant],
            "constant_steps": [step for _, step in self.constant],
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Return what was stored.

        Args:
            body: As `to_body` made it; anybody can make a file.

        Returns:
            The same.

        Raises:
            DamagedRecordError: If it is not of the types that fathom writes.
        """
        layers, steps = texts(body, "layers"), _steps(body, "steps")
        method = text_of(body, "method")
        if method not in METHODS or not steps:
            raise DamagedRecordError(misfit("method", method))
        constant = texts(body, "constant_layers"), _steps(body, "constant_steps")
        if len(constant[0]) != len(constant[1]):
            raise DamagedRecordError(misfit("constant_steps", constant[1]))
        return cls(
            method=method,
            model=text_of(body, "model"),
            layers=layers,
            steps=steps,
            values=numbers(body, "values", (len(layers), len(steps), len(steps))),
            samples=count_of(body, "samples"),
            left_out=count_of(body, "left_out"),
            constant=tuple(zip(*constant, strict=True)),
        )


def _steps(body: Mapping[str, Any], key: str) -> tuple[int, ...]:
    value = body.get(key)
    if not isinstance(value, list) or not all(
        isinstance(each, int) and not isinstance(each, bool) and abs(each) < 2**63 for each in value
    ):
        raise DamagedRecordError(misfit(key, value))
    return tuple(value)
