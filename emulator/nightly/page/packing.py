"""Maps as text that a script tag can load: rounded, differenced, deflated, base64.

A page opened from a file may fetch nothing, but it may add script tags, so every year
of maps is a script of its own. A field is rounded to a stated step; differences between
neighbouring cells are small, so that their upper bytes are nearly all zero and deflate
finds that. The browser undoes it with its own ``DecompressionStream``.
"""

import base64
import hashlib
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = -32768
"""Code of a missing value: the one 16-bit number that no rounded value becomes."""

_LARGEST = 32767
_STRATEGY = zlib.Z_RLE
"""Of deflate: nothing but runs repeats here, and to look for more takes six times as
long for files that are 5 % larger."""


def rounded(
    values: NDArray[np.floating[Any]], step: float
) -> tuple[NDArray[np.int16], float]:
    """Return values as whole numbers of steps, and the step that was used.

    Args:
        values: In any unit, NaN where missing; any shape.
        step: The step wished for, same unit; made ten times coarser as often as the
            largest value needs to fit into 16 bits.

    Returns:
        Codes, `MISSING` where a value is, and the step; value = code x step.
    """
    known = np.isfinite(values)
    largest = float(np.abs(values[known]).max(initial=0.0))
    while largest / step > _LARGEST:
        step *= 10.0
    codes = np.full(values.shape, MISSING, np.int16)
    codes[known] = np.rint(values[known] / step).astype(np.int16)
    return codes, step


def packed(codes: NDArray[np.int16]) -> str:
    """Return 16-bit codes as text; ``decode.js`` reads it.

    Args:
        codes: Neighbours last, where they differ least; any shape.
    """
    # Differences wrap around in 16 bits, and so do the sums that undo them.
    steps = np.diff(codes, axis=-1, prepend=np.int16(0))
    folded = ((steps << 1) ^ (steps >> 15)).astype(np.uint16).ravel()
    low, high = (folded & 0xFF).astype(np.uint8), (folded >> 8).astype(np.uint8)
    raw = low.tobytes() + high.tobytes()
    deflate = zlib.compressobj(strategy=_STRATEGY)
    return base64.b64encode(deflate.compress(raw) + deflate.flush()).decode("ascii")


def as_json(content: Any) -> str:
    """Return a value as JSON: ASCII, and the same text for the same value.

    Raises:
        ValueError: If a number is NaN or infinite: JSON has none.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(text: str) -> str:
    """Return a short hash: other content, other name for the browser's cache."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
