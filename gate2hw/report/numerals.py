"""How the page and the terminal write numbers."""

from __future__ import annotations

__all__ = ["count", "number", "percent", "si"]


def count(value: float) -> str:
    """A whole number with thousands separators: ``12,345``."""
    return f"{value:,.0f}"


def number(value: float) -> str:
    """Three significant digits or more: ``0.12``, ``3.46``, ``62.3``, ``1,204``."""
    magnitude = abs(value)
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 0.1 else 4
    return f"{value:,.{digits}f}"


def percent(value: float, digits: int = 2) -> str:
    """A fraction as per cent, with a space that does not break."""
    return f"{value * 100:.{digits}f}\u00a0%"


def si(value: float) -> str:
    """A large number in thousands, millions or billions: ``1.62 M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.3g}\u00a0{unit}" if scaled < 1000 else f"{scaled:,.0f}\u00a0{unit}"
    return count(value)
