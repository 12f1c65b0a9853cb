"""JSON that every browser reads, and gzip."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

_GZIP = 16 + zlib.MAX_WBITS


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return JSON in ASCII.

    Args:
        document: Values that JSON can hold.

    Raises:
        ValueError: If a number is nan or infinite, which browsers do not read.
    """
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def compressed(body: bytes) -> bytes:
    """Compress with gzip, fast: over a loopback time counts, and over a tunnel most is gained."""
    packer = zlib.compressobj(level=3, wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def decompressed(body: bytes) -> bytes:
    """Return what `compressed` was given."""
    return zlib.decompress(body, wbits=_GZIP)
