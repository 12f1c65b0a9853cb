import numpy as np
import pytest

from fathom.views.sparkline import sparkline

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([0.0, 0.5, 1.0], "▁▅█"),
        ([1.0, 0.0], "█▁"),
        ([3.0, 3.0], "▁▁"),
        ([0.0, NAN, 1.0], "▁ █"),
        ([INF, 0.0, 1.0, -INF], " ▁█ "),
        ([NAN, NAN], "  "),
        ([-1.7e308, 1.7e308], "▁█"),
    ],
)
def test_the_lowest_is_low_and_the_highest_high_and_gaps_stay(
    values: list[float], drawn: str
) -> None:
    assert sparkline(np.array(values), 8) == drawn


def test_of_more_numbers_than_characters_neighbours_are_one() -> None:
    values = np.repeat([0.0, 1.0, NAN, 0.0], 250)
    values[1] = NAN
    assert sparkline(values, 4) == "▁█ ▁"
    assert len(sparkline(np.arange(10_000.0), 16)) == 16


def test_a_small_difference_is_not_drawn_as_a_large_one() -> None:
    assert sparkline(np.array([0.50, 0.51]), 8, least=0.1) == "▁▂"
