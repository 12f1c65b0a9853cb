"""A linear classifier from moments and class sums: no pass over the rows is needed to fit it.

Linear discriminant analysis (Fisher 1936): classes are taken to be Gaussian, each about its own
mean, with one covariance for all, which is the total scatter less that between the classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.spectral.classes import ClassSums, SampleSums
from fathom.spectral.moments import Moments

# The total scatter is good to so much where rows are float32, and what is left of it after the
# scatter between classes is taken away cannot be better.
_RESOLUTION = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """A linear classifier of samples by the sums of their rows.

    Attributes:
        centre: (d,) float64, about which rows are added up.
        weights: (k, d) float64, one over activation units.
        offsets: (k,) float64, what is added for each row; -inf of classes without rows.
        priors: (k,) float64, logarithms of the classes' shares, added once a sample.
        shrinkage: In (0, 1]: how far the covariance was drawn to a multiple of the identity.
    """

    centre: Tensor
    weights: Tensor
    offsets: Tensor
    priors: Tensor
    shrinkage: float

    def classes_of(self, rows: SampleSums) -> Tensor:
        """Return the likeliest class of each sample, whose rows are taken as independent.

        That is the class of the sum of the rows' log-likelihoods and, once, the logarithm of the
        class's share: so for one row, what discriminant analysis says.

        Args:
            rows: Of m samples, about the centre.

        Returns:
            (m,) int64.
        """
        scores = rows.sums @ self.weights.T + rows.counts[:, None] * self.offsets + self.priors
        return scores.argmax(1)


def discriminant(sums: ClassSums, moments: Moments) -> Discriminant | str:
    """Fit a classifier to rows that were added up by class and altogether.

    The covariance within classes is W = (S - B) / n, with S the scatter of all n rows and B that of
    the class means; rows of no class count as one more class here. It is regularised as
    (1 - s)·W + s·tr(W)/d·I, with s of the oracle approximating shrinkage estimator, at least so
    large that s·tr(W) is a millionth of the total variance, which is how exact S is.

    Args:
        sums: Of k classes.
        moments: Of the same rows, and maybe others. Not changed, but merged as far as it is.

    Returns:
        The classifier, on the device of the sums; or why there is none. It takes d³/3
        multiplications.

    References:
        Chen, Wiesel, Eldar and Hero 2010, "Shrinkage algorithms for MMSE covariance estimation",
        equation 23.
    """
    counts = sums.counts
    there = counts > 0
    if int(there.sum()) < 2:
        return "fewer than two classes among the labels in train"
    total = moments.count.double()
    apart = sums.centre - moments.mean
    # Of each class the mean, about that of all rows.
    means = (sums.sums / counts.clamp(min=1)[:, None] + apart).where(there[:, None], 0)
    rest = (total - counts.sum()).clamp(min=0)
    others = -(counts[:, None] * means).sum(0)
    roots = means * counts.sqrt()[:, None]
    within = moments.scatter - roots.T @ roots
    if float(rest) > 0:
        within.addr_(others, others, alpha=-1 / float(rest))
    within = (within + within.T) / (2 * total)
    width = len(within)
    whole = float(moments.scatter.diagonal().sum() / total)
    if not whole > 0:
        return "its rows in train are all the same"
    trace = max(float(within.diagonal().sum()), _RESOLUTION * whole)
    share = _shrinkage(float(within.square().sum()), trace, width, rows=int(moments.read))
    share = min(1.0, max(share, _RESOLUTION * whole / trace))
    while True:
        shrunk = within * (1 - share)
        shrunk.diagonal().add_(share * trace / width)
        factor, failed = torch.linalg.cholesky_ex(shrunk)
        if not int(failed) or share == 1:
            break
        # By rounding only: within classes nothing can vary by less than 0.
        share = min(1.0, 10 * share)
    weights = torch.cholesky_solve(means.T, factor).T
    constants = -(weights * means).sum(1) / 2
    # A row r about the centre is r + apart about the mean of all.
    offsets = (weights @ apart + constants).where(there, -torch.inf)
    priors = (counts / counts.sum()).log().where(there, -torch.inf)
    return Discriminant(sums.centre, weights, offsets, priors, share)


def _shrinkage(squares: float, trace: float, width: int, *, rows: int) -> float:
    """Return the share of the identity by OAS.

    Args:
        squares: tr(W²).
        trace: tr(W).
        width: d.
        rows: n.
    """
    above = (1 - 2 / width) * squares + trace**2
    below = (rows + 1 - 2 / width) * (squares - trace**2 / width)
    return 1.0 if below <= above else above / below
