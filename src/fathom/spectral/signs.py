"""The fixed matrix that sketches multiply with: random signs, the same wherever they are made."""

import weakref

import torch
from torch import Tensor

# Any seed serves; another one is another sketch, which no sum or checkpoint can be mixed with.
_SEED = 0x4654484D

# On a CPU a part's products stay near the cache; a GPU takes few large parts sooner than many.
_PART_ON_CPU = 2**20
_PART_ELSEWHERE = 2**24


class Signs:
    """Ω, a matrix of random signs, shared by all that ask for the same one.

    Signs, as they are whole numbers: a generator gives the same on every processor, where normal
    numbers differ in their last bits, and they take a byte each. Their columns are independent
    with covariance I, which is all that the estimates of `nystrom` need.

    Attributes:
        values: (d, l) int8, +1 and -1.
    """

    __slots__ = ("__weakref__", "values")

    def __init__(self, values: Tensor):
        """Take over a matrix; use `Signs.of`.

        Args:
            values: (d, l) int8.
        """
        self.values = values

    @classmethod
    def of(cls, width: int, columns: int, device: torch.device) -> "Signs":
        """Return the matrix of a shape, made anew only where nobody has it any more.

        Args:
            width: d.
            columns: l.
            device: Where it is used.

        Returns:
            A matrix of d·l bytes; the global random state is as before.
        """
        key = width, columns, device
        found = _shared.get(key)
        if found is None:
            generator = torch.Generator(device="cpu").manual_seed(_SEED)
            with torch.inference_mode(False):
                values = torch.randint(
                    0, 2, (width, columns), generator=generator, dtype=torch.int8, device="cpu"
                )
                found = _shared[key] = cls(values.mul_(2).sub_(1).to(device))
        return found

    def parts(self) -> list[slice]:
        """Return the features in parts that bound the memory of products with them."""
        width, columns = self.values.shape
        numbers = _PART_ON_CPU if self.values.device.type == "cpu" else _PART_ELSEWHERE
        step = max(1, numbers // columns)
        return [slice(start, start + step) for start in range(0, width, step)]

    def project(self, rows: Tensor) -> Tensor:
        """Return the products of rows with all columns.

        Args:
            rows: (n, d), float32 or float64.

        Returns:
            (n, l), of the same type.
        """
        projected = rows.new_zeros(rows.shape[0], self.values.shape[1])
        for part in self.parts():
            projected.addmm_(rows[:, part], self.values[part].to(rows.dtype))
        return projected


_shared: weakref.WeakValueDictionary[tuple[int, int, torch.device], Signs] = (
    weakref.WeakValueDictionary()
)
