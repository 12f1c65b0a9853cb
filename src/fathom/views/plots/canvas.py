"""What is drawn on: axes that were given, or a figure of its own that no global state knows."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from fathom.errors import ArgumentError, choose
from fathom.views.look import DARK, LIGHT, THEMES, Look
from fathom.views.plots.names import plain

FONT = 8.5
"""Points, of labels and legends; titles are larger."""


def png(figure: Figure) -> bytes:
    """Return a figure as notebooks show it."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100)
    return target.getvalue()


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes are drawn on."""
    return axes.get_figure(root=True)  # type: ignore[return-value]


class ShownFigure(Figure):
    """A figure that notebooks show without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)


class ShownAxes(Axes):
    """Axes that notebooks show, with all of their figure, without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(figure_of(self))


class Panels(tuple[Axes, ...]):
    """Several axes of one figure, which notebooks show once."""

    __slots__ = ()

    def _repr_png_(self) -> bytes:
        return png(figure_of(self[0]))


@dataclass(frozen=True, slots=True)
class Canvas:
    """Axes to draw on.

    Attributes:
        look: Their colours.
        axes: In reading order.
        own: Whether the figure was made for them.
    """

    look: Look
    axes: tuple[Axes, ...]
    own: bool

    @property
    def beside(self) -> dict[str, Any]:
        """Where a legend stands: to the right, where the figure makes room for it."""
        engine = figure_of(self.axes[0]).get_layout_engine()
        if self.own or isinstance(engine, ConstrainedLayoutEngine):
            return {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
        return {"loc": "best"}

    def settle(self) -> None:
        """Give the axes of an own figure the size that its legends leave them."""
        figure = figure_of(self.axes[0])
        if self.own and (engine := figure.get_layout_engine()):
            engine.execute(figure)

    def title(self, *parts: str, above: int = 0) -> None:
        """Write a title over the first axes, to the left.

        Args:
            parts: What is not empty is joined.
            above: Lines of a legend that stand between the axes and the title.
        """
        text = plain(" · ".join(part for part in parts if part))
        self.axes[0].set_title(
            text,
            loc="left",
            fontsize=FONT + 1.5,
            color=self.look.text,
            pad=6 + 1.75 * FONT * above,
        )


def canvas(
    given: Axes | Sequence[Axes] | None,
    *,
    theme: str | None,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    where: str,
) -> Canvas:
    """Dress the given axes, or make a figure.

    Args:
        given: Axes, as many as rows times columns; None for a figure of their own.
        theme: `light` or `dark`; None for light, or what fits the figure of given axes.
        size: Width and height of an own figure, in inches.
        rows: Axes above each other, which share the x axis.
        columns: Axes beside each other.
        where: The function, for messages.

    Returns:
        The axes, empty and in the colours of the theme. Of given ones the figure is left as it is.

    Raises:
        ArgumentError: If the theme is none, or what was given are not so many axes.
    """
    if theme is not None:
        choose(theme, tuple(THEMES), where=f"{where}: theme")
    if given is None:
        look = THEMES[theme or "light"]
        figure = ShownFigure(figsize=size, layout="constrained", facecolor=look.background)
        axes: list[Axes] = []
        for place in range(rows * columns):
            above = axes[0] if rows > 1 and axes else None
            axes.append(
                figure.add_subplot(rows, columns, place + 1, axes_class=ShownAxes, sharex=above)
            )
    else:
        axes = [given] if isinstance(given, Axes) else list(given)
        if len(axes) != rows * columns or not all(isinstance(each, Axes) for each in axes):
            raise ArgumentError(
                f"{where}: ax must be {_counted(rows * columns)} of matplotlib, got {given!r}."
            )
        look = THEMES[theme] if theme else _fitting(axes[0])
    for each in axes:
        _dress(each, look)
    return Canvas(look, tuple(axes), given is None)


def legend(
    axes: Axes | Figure, look: Look, entries: Sequence[tuple[Any, str]], **place: Any
) -> None:
    """Add a legend, of which no word is markup.

    Args:
        axes: To which it belongs; a figure where it is of all axes.
        look: Its colours.
        entries: Artists and what they mean.
        place: As their `legend` takes it.
    """
    if not entries:
        return
    # matplotlib leaves out what begins with an underscore, as a run's name may.
    box = axes.legend(
        [artist for artist, _ in entries],
        [str(number) for number in range(len(entries))],
        fontsize=FONT,
        labelcolor=look.text,
        facecolor=look.background,
        edgecolor="none",
        framealpha=0.8,
        **place,
    )
    for text, (_, words) in zip(box.get_texts(), entries, strict=True):
        text.set_text(plain(words))


def message(axes: Axes, look: Look, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.text(
        0.5,
        0.5,
        plain(text),
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=look.faint,
        fontsize=FONT + 1.5,
    )


def _counted(count: int) -> str:
    return "one Axes" if count == 1 else f"{count} Axes"


def _fitting(axes: Axes) -> Look:
    red, green, blue = to_rgb(figure_of(axes).get_facecolor())
    return LIGHT if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else DARK


def _dress(axes: Axes, look: Look) -> None:
    axes.set_facecolor(look.background)
    for name, spine in axes.spines.items():
        spine.set_visible(name in {"left", "bottom"})
        spine.set_color(look.line)
    axes.tick_params(which="both", color=look.line, labelcolor=look.text, labelsize=FONT)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(look.text)
        axis.label.set_fontsize(FONT + 0.5)
        axis.get_offset_text().set_color(look.text)
        axis.get_offset_text().set_fontsize(FONT)
    axes.grid(visible=True, axis="y", color=look.line, linewidth=0.5, alpha=0.6)
    axes.grid(visible=False, axis="x")
    axes.set_axisbelow(True)
