"""The colours of all views, as textual takes them."""

from textual.theme import Theme

from fathom.views.look import DARK, LIGHT, Look

LOOKS = {"fathom-dark": DARK, "fathom-light": LIGHT}
"""By the names of their themes."""


def theme_of(name: str, look: Look) -> Theme:
    """Return a look as a theme.

    Args:
        name: Of `LOOKS`.
        look: The colours.

    Returns:
        The theme.
    """
    return Theme(
        name=name,
        primary=look.series[0],
        foreground=look.text,
        background=look.background,
        surface=look.background,
        panel=look.line,
        warning=look.status["provisional"],
        error=look.status["coarse"],
        success=look.status["settled"],
        dark=look is DARK,
    )
