"""One number each from the eigenvalues of a layer's covariance.

Each function takes a tensor or an array of eigenvalues, in any order, and returns a Python number.
Read off with λ1 ≥ λ2 ≥ ... ≥ λd ≥ 0 the eigenvalues, p = λ/Σλ their shares.
"""

import numpy as np

from fathom.errors import ArgumentError, ShapeError
from fathom.spectral.vectors import (
    FLOAT32_EPS,
    FLOAT64_EPS,
    Numbers,
    Vector,
    as_array,
    check_threshold,
    descending,
    vector,
)


def intrinsic_dimension(eigenvalues: Numbers, *, threshold: float = 0.99) -> int:
    """Return how many directions carry `threshold` of the variance.

    The smallest k with λ1 + ... + λk ≥ threshold · (λ1 + ... + λd). A spectrum of zeros gives 0.

    Args:
        eigenvalues: (d,), in squared activation units.
        threshold: Fraction of the total variance, in (0, 1].

    Returns:
        k, a count of directions, in 0..d.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite, or `threshold` is outside (0, 1].

    References:
        Shenk et al. 2019, "Spectral Analysis of Latent Representations", equation 1.

    Example:
        >>> intrinsic_dimension([3.0, 1.0, 0.0, 0.0], threshold=0.9)
        2
    """
    values = descending(eigenvalues, where="intrinsic_dimension")
    check_threshold(threshold, where="intrinsic_dimension")
    if values[0] == 0:
        return 0
    # Over the largest, so that sums of numbers near the end of the range stay finite.
    cumulative = np.cumsum(values / values[0])
    # A sum that equals the threshold but for the rounding of its d additions has reached it: nine
    # of ten equal eigenvalues are 90 percent, whatever their scale.
    reached = threshold * cumulative[-1] * (1 - values.size * FLOAT64_EPS)
    return int(np.searchsorted(cumulative, reached)) + 1


def saturation(eigenvalues: Numbers, *, threshold: float = 0.99) -> float:
    """Return the share of a layer's width that carries `threshold` of the variance.

    k / d, with k the intrinsic dimension. A spectrum of zeros gives 0.0.

    Args:
        eigenvalues: (d,), in squared activation units.
        threshold: Fraction of the total variance, in (0, 1].

    Returns:
        Dimensionless, in [0, 1].

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite, or `threshold` is outside (0, 1].

    References:
        Shenk et al. 2019, "Spectral Analysis of Latent Representations", equation 1.

    Example:
        >>> saturation([5.0, 4.0, 1.0, 0.0], threshold=0.9)
        0.5
    """
    values = descending(eigenvalues, where="saturation")
    check_threshold(threshold, where="saturation")
    return intrinsic_dimension(values, threshold=threshold) / values.size


def effective_rank(eigenvalues: Numbers) -> float:
    """Return the exponential of the entropy of the shares: exp(−Σ p ln p).

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        A count of directions, in [1, d]; 0.0 for a spectrum of zeros.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Roy and Vetterli 2007, "The effective rank", on the eigenvalues of a covariance.

    Example:
        >>> round(effective_rank([1.0, 1.0, 0.0]), 6)
        2.0
    """
    return _entropy_rank(descending(eigenvalues, where="effective_rank"))


def rankme(second_moment_eigenvalues: Numbers) -> float:
    """Return the effective rank of the rows themselves, means included: exp(−Σ q ln q), q = σ/Σσ.

    Args:
        second_moment_eigenvalues: (d,), of the *uncentred* second moment, covariance +
            mean meanᵀ, whose square roots σ are in proportion to the singular values of the rows.

    Returns:
        A count of directions, in [1, d]; 0.0 for a spectrum of zeros.

    Raises:
        ShapeError: If the eigenvalues are empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Garrido et al. 2023, "RankMe".

    Example:
        >>> round(rankme([4.0, 4.0, 4.0, 0.0]), 6)
        3.0
    """
    return _entropy_rank(np.sqrt(descending(second_moment_eigenvalues, where="rankme")))


def participation_ratio(eigenvalues: Numbers) -> float:
    """Return (Σλ)² / Σλ².

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        A count of directions, in [1, d]; 0.0 for a spectrum of zeros.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement".

    Example:
        >>> participation_ratio([1.0, 1.0, 0.0])
        2.0
    """
    shares = _shares(descending(eigenvalues, where="participation_ratio"))
    return float(1 / np.square(shares).sum()) if shares.size else 0.0


def stable_rank(eigenvalues: Numbers) -> float:
    """Return Σλ / λ1.

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        A count of directions, in [1, d]; 0.0 for a spectrum of zeros.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Rudelson and Vershynin 2007, "Sampling from large matrices".

    Example:
        >>> stable_rank([2.0, 1.0, 1.0])
        2.0
    """
    shares = _shares(descending(eigenvalues, where="stable_rank"))
    return float(1 / shares[0]) if shares.size else 0.0


def total_variance(eigenvalues: Numbers) -> float:
    """Return Σλ, the trace of the covariance.

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        In squared activation units.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Shenk, Richter and Byttner 2022, "Delve", covariance trace.

    Example:
        >>> total_variance([3.0, 1.0])
        4.0
    """
    return float(descending(eigenvalues, where="total_variance").sum())


def diagonal_trace(eigenvalues: Numbers) -> float:
    """Return the trace of the diagonal matrix of eigenvalues: the total variance once more.

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        In squared activation units.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Shenk, Richter and Byttner 2022, "Delve", trace of the diagonal matrix.

    Example:
        >>> diagonal_trace([3.0, 1.0])
        4.0
    """
    return total_variance(eigenvalues)


def log_determinant(eigenvalues: Numbers) -> float:
    """Return Σ ln λ, the logarithm of the generalised variance.

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        Dimensionless; −inf where the covariance is singular.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Shenk, Richter and Byttner 2022, "Delve", covariance determinant.

    Example:
        >>> log_determinant([1.0, 1.0]), log_determinant([1.0, 0.0])
        (0.0, -inf)
    """
    values = descending(eigenvalues, where="log_determinant")
    return float(np.log(values).sum()) if values[-1] > 0 else float("-inf")


def determinant(eigenvalues: Numbers) -> float:
    """Return the generalised variance, exp(Σ ln λ), which easily leaves the range of a float.

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        In activation units to the power 2d; 0.0 or inf where it under- or overflows.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    References:
        Shenk, Richter and Byttner 2022, "Delve", covariance determinant.

    Example:
        >>> round(determinant([2.0, 3.0]), 6)
        6.0
    """
    with np.errstate(over="ignore"):
        return float(np.exp(log_determinant(eigenvalues)))


def power_law_exponent(eigenvalues: Numbers, *, first: int = 3, last: int | None = 100) -> float:
    """Return α of λi ∝ i^(−α), by least squares of ln λ on ln i over a range of ranks.

    Args:
        eigenvalues: (d,), in squared activation units.
        first: The first rank of the fit, from 1. The default leaves out the two largest, which
            seldom lie on the line, and with `last` is the range of the source's own experiments.
        last: The last rank of the fit, or None for the last. Eigenvalues of 0 are left out.

    Returns:
        Dimensionless; nan where fewer than two positive eigenvalues lie in the range.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite, or the range is empty.

    References:
        Agrawal et al. 2022, "α-ReQ: assessing representation quality".

    Example:
        >>> round(power_law_exponent([1.0, 1 / 4, 1 / 9, 1 / 16], first=1), 6)
        2.0
    """
    values = descending(eigenvalues, where="power_law_exponent")
    if first < 1 or (last is not None and last <= first):
        raise ArgumentError(
            "power_law_exponent: first and last must be ranks with 1 <= first < last, got "
            f"{first} and {last}. Pass first=1, last=None for all."
        )
    values = values[first - 1 : last]
    values = values[values > 0]
    if values.size < 2:
        return float("nan")
    slope = np.polyfit(np.log(np.arange(first, first + values.size)), np.log(values), 1)[0]
    return float(-slope)


def condition_number(eigenvalues: Numbers) -> float:
    """Return λ1 / λd.

    Args:
        eigenvalues: (d,), in squared activation units.

    Returns:
        Dimensionless, at least 1; inf where the covariance is singular, nan where it is 0.

    Raises:
        ShapeError: If `eigenvalues` is empty or not one-dimensional.
        ArgumentError: If an eigenvalue is negative or not finite.

    Example:
        >>> condition_number([8.0, 2.0])
        4.0
    """
    values = descending(eigenvalues, where="condition_number")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return float(values[0] / values[-1])


def idle_features(variances: Numbers, *, mean: Numbers | None = None) -> float:
    """Return the share of features whose variance is 0 up to rounding.

    Args:
        variances: (d,), one a feature (the diagonal of the covariance), in squared activation
            units. They are not eigenvalues.
        mean: (d,), in activation units. Where it is given, a spread below the resolution of
            float32 at that mean counts as 0 too.

    Returns:
        Dimensionless, in [0, 1].

    Raises:
        ShapeError: If `variances` is empty or not one-dimensional, or `mean` has another shape.
        ArgumentError: If a variance is negative or not finite.

    Example:
        >>> idle_features([2.0, 0.0, 1.0, 0.0])
        0.5
    """
    values = vector(variances, where="idle_features", argument="variances")
    rounding = np.zeros_like(values)
    if mean is not None:
        centre = as_array(mean)
        if centre.shape != values.shape:
            raise ShapeError(
                f"idle_features: mean must have shape {values.shape}, got {centre.shape}. "
                "Pass the mean of the same rows."
            )
        rounding = np.square(FLOAT32_EPS * centre)
    return float(np.mean(values <= rounding))


def _entropy_rank(weights: Vector) -> float:
    shares = _shares(weights)
    return float(np.exp(-(shares * np.log(shares)).sum())) if shares.size else 0.0


def _shares(values: Vector) -> Vector:
    """Return the positive values over their sum; none for a spectrum of zeros."""
    # Over the largest first, so that sums of numbers near the end of the range stay finite.
    relative = values / values[0] if values[0] > 0 else values
    relative = relative[relative > 0]
    shares: Vector = relative / relative.sum()
    return shares
