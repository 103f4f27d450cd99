"""Numbers on the command line, refused in one sentence where they are none or out of range."""

from __future__ import annotations

import argparse

__all__ = ["fraction", "mhz", "seconds"]


def _number(
    text: str, low: float, high: float, complaint: str, *, with_ends: bool = False
) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if low < value < high or (with_ends and value in (low, high)):
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is no {complaint}")


def fraction(text: str) -> float:
    """A number from 0 to 1, both allowed."""
    return _number(text, 0, 1, "fraction: outside 0..1", with_ends=True)


def mhz(text: str) -> float:
    """A clock in MHz."""
    return _number(text, 0, 10_000, "clock in MHz: outside 0..10000")


def seconds(text: str) -> float:
    """A time in seconds."""
    return _number(text, 0, 1e7, "time in seconds")
