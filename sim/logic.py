"""Four-valued signal values as text."""

from __future__ import annotations

from typing import Any

__all__ = ["as_bits", "is_known"]


def as_bits(handle: Any) -> str:
    """The value of a signal as characters 0, 1, X, Z; the most significant bit first."""
    return str(handle.value)


def is_known(bits: str) -> bool:
    """True where every character is 0 or 1."""
    return not bits.strip("01")
