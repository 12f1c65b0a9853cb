"""How answers are packed: JSON that loses nothing in a browser, and gzip."""

import zlib
from collections.abc import Mapping
from typing import Any

from fathom.views.document import json_text

_GZIP = 16 + zlib.MAX_WBITS


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return JSON in ASCII.

    Args:
        document: Values that JSON can hold; what is not finite becomes null.

    Returns:
        The bytes.
    """
    return json_text(document).encode()


def compressed(body: bytes) -> bytes:
    """Compress with gzip, fast: over a loopback time counts, and over a tunnel most is gained."""
    packer = zlib.compressobj(level=3, wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def decompressed(body: bytes) -> bytes:
    """Return what `compressed` was given."""
    return zlib.decompress(body, wbits=_GZIP)
