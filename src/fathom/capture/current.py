"""The present call of the model, in one thread."""

import threading

from fathom.capture.masks import Masks


class Current(threading.local):
    """The present call of the root, in one thread.

    Attributes:
        masks: Among its arguments.
        observing: Whether it is observed; None outside of one.
        missed: Where layers that are called put their names, if nothing of this call is read.
        inside: As in `Call`.
        part: As in `Call`.
    """

    masks = Masks()
    observing: bool | None = None
    missed: dict[str, None] | None = None
    inside = False
    part: int | None = None
