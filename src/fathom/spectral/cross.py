"""The cross-covariance of two sets of features of the same rows, a batch at a time."""

import torch
from torch import Tensor


class CrossScatter:
    """Sums of outer products about the means, in float64, by pairs of features.

    Merged as in Chan, Golub and LeVeque 1979: sums about zero lose the digits of features whose
    mean is far from it.
    """

    def __init__(self, width_a: int, width_b: int, *, device: torch.device):
        """Begin without rows.

        Args:
            width_a: da, the features of the first set.
            width_b: db, of the second.
            device: Where to keep the sums.
        """
        self.count = 0
        self.mean_a = torch.zeros(width_a, dtype=torch.float64, device=device)
        self.mean_b = torch.zeros(width_b, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(width_a, width_b, dtype=torch.float64, device=device)

    def update(self, a: Tensor, b: Tensor) -> None:
        """Add rows.

        Args:
            a: (n, da) float64.
            b: (n, db) float64, of the same rows.
        """
        rows = len(a)
        if rows == 0:
            return
        mean_a, mean_b = a.mean(0), b.mean(0)
        step_a, step_b = mean_a - self.mean_a, mean_b - self.mean_b
        total = self.count + rows
        self.scatter.addmm_((a - mean_a).T, b - mean_b)
        self.scatter.addr_(step_a, step_b, alpha=self.count * rows / total)
        self.mean_a += step_a * (rows / total)
        self.mean_b += step_b * (rows / total)
        self.count = total
