"""From rows of Hugging Face `datasets` to pictures in bytes."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import torch

from fathom.errors import ArgumentError
from fathom.experiments.data.dataset import Dataset, Images
from fathom.experiments.data.hub import quiet
from fathom.experiments.data.subset import held_out, taken
from fathom.extras import require

SIZE = 32
_HELD_OUT = 0.2
_PICTURE, _LABEL = ("img", "image"), ("label", "labels")


def assembled(parts: Mapping[str, Any], *, name: str, scaled: bool) -> Dataset:
    """Return rows as a data set.

    Args:
        parts: A `datasets.Dataset` as `train` and perhaps one as `test`; without, a fifth of the
            first is held out, always the same, each class by its share. Pictures are in a column
            `img` or `image`, labels in `label` or `labels`.
        name: That of the data set.
        scaled: Whether pictures are scaled and cropped around their centre to 32×32; otherwise they
            must have that size.

    Returns:
        The data set: RGB, of transparent pictures the colours alone, of grey ones three equal
        channels. Classes of which only numbers are known are named by these.

    Raises:
        ArgumentError: If columns, labels or pictures are not such, or the parts do not fit.
    """
    train, names = _part(parts["train"], where=f"{name}: train", scaled=scaled)
    if names is None:
        names = tuple(str(label) for label in range(int(train.labels.max()) + 1))
    if "test" in parts:
        test, others = _part(parts["test"], where=f"{name}: test", scaled=scaled)
        if others not in {None, names}:
            raise ArgumentError(
                f"{name}: test must have the classes of train, {', '.join(names)}, got "
                f"{', '.join(others or ())}."
            )
    else:
        kept, out = held_out(train.labels, round(_HELD_OUT * len(train)))
        train, test = taken(train, kept), taken(train, out)
    for part, images in (("train", train), ("test", test)):
        labels = set(images.labels.tolist())
        if labels != set(range(len(names))) or len(names) < 2:
            got = [each for label, each in enumerate(names) if label in labels]
            got += sorted(str(label) for label in labels if label >= len(names))
            raise ArgumentError(
                f"{name}: {part} must have pictures of each of 2 or more classes, "
                f"{', '.join(names)}, got those of {', '.join(got)}."
            )
    return Dataset(name, train, test, names)


def _part(rows: Any, *, where: str, scaled: bool) -> tuple[Images, tuple[str, ...] | None]:
    """Return the pictures of one part, and the names of its classes where rows know them."""
    picture, label = (_column(rows, names, where=where) for names in (_PICTURE, _LABEL))
    labels = list(rows[label])
    if not labels or not all(isinstance(each, int) and each >= 0 for each in labels):
        wrong = next((each for each in labels if not isinstance(each, int) or each < 0), "no row")
        raise ArgumentError(f"{where}: {label} must be whole numbers from 0, got {wrong!r}.")
    names = getattr(rows.features[label], "names", None)
    pixels = np.empty((len(labels), SIZE, SIZE, 3), dtype=np.uint8)
    require("PIL", extra="experiments")
    with quiet() as datasets:
        row, file = 0, None
        try:
            # Not decoded by `datasets`, which leaves files open that it cannot read.
            encoded = datasets.Image(decode=False)
            for row, each in enumerate(
                rows.select_columns([picture]).cast_column(picture, encoded)
            ):
                file = each[picture]
                pixels[row] = _decoded(file, scaled=scaled)
        # Pillow and Arrow have many classes for what is wrong with a file.
        except Exception as error:
            path = (file or {}).get("path")
            raise ArgumentError(
                f"{where}: picture {path or row} must be readable, with 8 bits a channel"
                f"{'' if scaled else f', of {SIZE}×{SIZE}'}, got {error}."
            ) from error
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Images(images, torch.tensor(labels)), None if names is None else tuple(names)


def _column(rows: Any, names: tuple[str, ...], *, where: str) -> str:
    for name in names:
        if name in rows.column_names:
            return name
    raise ArgumentError(
        f"{where}: a column must be {' or '.join(names)}, got {', '.join(rows.column_names)}."
    )


def _decoded(file: Mapping[str, Any] | None, *, scaled: bool) -> Any:
    if file is None:
        raise ValueError("none")
    images, operations = (
        require(f"PIL.{module}", extra="experiments") for module in ("Image", "ImageOps")
    )
    encoded = file["bytes"]
    with images.open(file["path"] if encoded is None else BytesIO(encoded)) as picture:
        if picture.mode[0] in "IF":
            raise ValueError(f"mode {picture.mode}")
        if not scaled and picture.size != (SIZE, SIZE):
            raise ValueError("×".join(map(str, picture.size)))
        # Cameras turn pictures by a note beside them.
        rgb = operations.exif_transpose(picture).convert("RGB")
    if not scaled:
        return np.asarray(rgb)
    return np.asarray(operations.fit(rgb, (SIZE, SIZE), method=images.Resampling.BILINEAR))
