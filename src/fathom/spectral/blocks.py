"""Rows in blocks of bounded size, checked before any of them counts."""

from collections.abc import Iterator

import torch
from torch import Tensor

from fathom.errors import ShapeError


def check_rows(rows: Tensor, keep: Tensor | None, width: int, *, where: str) -> None:
    """Refuse rows of another width, and a choice of rows that does not fit them.

    Args:
        rows: (n, d), or (..., d) with a row at every position.
        keep: (n,) or (...) bool, the rows that count; None for all.
        width: d.
        where: The function, for the message.

    Raises:
        ShapeError: If `rows` is not (n, d) or holds complex numbers, or `keep` is not (n,).
    """
    if rows.ndim < 2 or rows.shape[-1] != width or rows.is_complex():
        raise ShapeError(
            f"{where}: rows must be real of shape (n, {width}), got "
            f"{rows.dtype} of shape {tuple(rows.shape)}. Put the features last: "
            f"rows.reshape(-1, {width})."
        )
    if keep is not None and (keep.shape != rows.shape[:-1] or keep.dtype != torch.bool):
        raise ShapeError(
            f"{where}: keep must be bool of shape {tuple(rows.shape[:-1])}, got "
            f"{keep.dtype} of shape {tuple(keep.shape)}. Pass one truth value a row."
        )


def blocks_of(
    rows: Tensor, keep: Tensor | None, most: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Cut rows into blocks.

    Args:
        rows: (n, d) or (..., d).
        keep: (n,) or (...) bool; None for all.
        most: Rows of a block.

    Yields:
        Blocks with what is kept of them: views, but of samples with more positions than a block
        has rows, which are brought into rows one by one.
    """
    each = rows.shape[1:-1].numel()
    if each > most:
        for place, sample in enumerate(rows):
            kept = None if keep is None else keep[place].reshape(-1)
            yield from blocks_of(sample.reshape(-1, rows.shape[-1]), kept, most)
        return
    step = most // max(each, 1)
    for start in range(0, rows.shape[0], step):
        part = slice(start, start + step)
        yield rows[part], None if keep is None else keep[part]
