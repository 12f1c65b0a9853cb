import math

import pytest
import torch

import fathom
from fathom.errors import ArgumentError
from fathom.spectral.table import (
    SPECTRAL_STATISTICS,
    STATISTICS,
    Statistics,
    check_statistic,
)

EIGENVALUES = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5], dtype=torch.float64)


def test_every_public_statistic_is_in_the_table_under_its_own_name() -> None:
    for name in STATISTICS:
        assert getattr(fathom, name).__name__ == name
    for name, function in SPECTRAL_STATISTICS.items():
        assert function is getattr(fathom, name)
    assert (*SPECTRAL_STATISTICS, "idle_features", "rankme") == STATISTICS
    assert fathom.STATISTICS is STATISTICS


@pytest.mark.parametrize("name", SPECTRAL_STATISTICS)
def test_a_statistic_is_what_its_function_returns(name: str) -> None:
    assert Statistics(EIGENVALUES, 0.99, {})[name] == SPECTRAL_STATISTICS[name](EIGENVALUES)


def test_the_threshold_reaches_those_that_take_one() -> None:
    half = Statistics(EIGENVALUES, 0.5, {})
    assert half["intrinsic_dimension"] == 1
    assert half["saturation"] == 0.2
    assert Statistics(EIGENVALUES, 0.9, {})["intrinsic_dimension"] == 3


def test_it_is_a_mapping_in_the_order_of_the_table() -> None:
    table = Statistics(EIGENVALUES, 0.99, {"rankme": 3.5, "idle_features": 0.25})
    assert tuple(table) == STATISTICS
    assert len(table) == len(STATISTICS)
    assert dict(table)["rankme"] == 3.5
    assert table["idle_features"] == 0.25
    assert repr(table) == repr(dict(table))


def test_what_was_not_measured_is_not_there() -> None:
    table = Statistics(EIGENVALUES, 0.99, {"idle_features": 0.0})
    assert "rankme" not in table
    assert "rankme" not in list(table)
    assert table.get("rankme") is None
    assert len(table) == len(STATISTICS) - 1


def test_what_was_measured_is_not_computed_again() -> None:
    assert math.isnan(Statistics(EIGENVALUES, 0.99, {"saturation": math.nan})["saturation"])


def test_an_unknown_statistic_is_refused_with_the_choices() -> None:
    table = Statistics(EIGENVALUES, 0.99, {})
    with pytest.raises(KeyError, match=r"saturation, .*got 'saturatoin'") as error:
        table["saturatoin"]
    for name in SPECTRAL_STATISTICS:
        assert name in str(error.value)
    assert "rankme" not in str(error.value)


def test_check_statistic_passes_every_name_there_is() -> None:
    for name in STATISTICS:
        check_statistic(name, where="here")


def test_check_statistic_refuses_others_with_the_choices() -> None:
    with pytest.raises(ArgumentError, match=r"^watch: statistics must be one of .*got 'rank'\."):
        check_statistic("rank", where="watch: statistics")
    with pytest.raises(ArgumentError) as caught:
        check_statistic("rank", where="here")
    assert all(name in str(caught.value) for name in STATISTICS)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SPECTRAL_STATISTICS["mine"] = fathom.saturation  # type: ignore[index]
