"""What all views have in common: their colours and their words."""

from dataclasses import dataclass

# Okabe and Ito's colours, told apart by readers of every colour vision. The light set is darkened
# where the original has less contrast than 3:1 on white, the dark one lightened on near black.
SERIES_LIGHT = ("#0072b2", "#c04e01", "#00795a", "#a8568a", "#8a6d00", "#2f7fa8", "#555555")
SERIES_DARK = ("#56b4e9", "#e69f00", "#2fc79b", "#d89bc0", "#f0e442", "#8fd0f5", "#bbbbbb")


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of a theme.

    Attributes:
        background: Of the page.
        text: On it.
        faint: Text of less weight, still at 4.5:1.
        line: Axes and rules.
        series: Runs, steps and metrics, in this order.
        status: By the status of a reading.
    """

    background: str
    text: str
    faint: str
    line: str
    series: tuple[str, ...]
    status: dict[str, str]


LIGHT = Look(
    background="#ffffff",
    text="#1b1f24",
    faint="#59636e",
    line="#c9d1d9",
    series=SERIES_LIGHT,
    status={
        "provisional": "#8a6100",
        "settling": "#0b6f8f",
        "settled": "#1a7044",
        "coarse": "#b3261e",
    },
)
DARK = Look(
    background="#0f1419",
    text="#e6edf3",
    faint="#9aa7b4",
    line="#3a444f",
    series=SERIES_DARK,
    status={
        "provisional": "#e3b341",
        "settling": "#6cc7e6",
        "settled": "#5fcf8f",
        "coarse": "#ff8f87",
    },
)

THEMES = {"light": LIGHT, "dark": DARK}

COLORMAP = "cividis"
"""Of saturation in [0, 1]: even to the eye, in grey and to every colour vision."""

WORDS = {
    "saturation": "saturation",
    "intrinsic_dimension": "intrinsic dimension",
    "average": "average saturation",
    "step": "step",
    "layer": "layer, in execution order",
    "eigenvalue": "eigenvalue (squared activation units)",
    "share": "cumulative share of the variance",
}
"""How quantities are called on axes and in heads."""
