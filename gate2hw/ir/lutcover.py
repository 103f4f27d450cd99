"""Tables of up to six inputs as sums of cubes, the lines of a BLIF cover."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["cover_lines"]


def _isop(on: int, allowed: int, k: int) -> tuple[list[str], int]:
    """An irredundant cover between `on` and `allowed`, slot 0 the lowest bit, and what it covers.

    Minato, "Fast generation of prime-irredundant covers from binary decision diagrams", 1993.
    """
    if on == 0:
        return [], 0
    full = (1 << (1 << k)) - 1
    if allowed == full:
        return ["-" * k], full
    half = 1 << (k - 1)
    mask = (1 << half) - 1
    on0, on1, allowed0, allowed1 = on & mask, on >> half, allowed & mask, allowed >> half
    cubes0, covered0 = _isop(on0 & ~allowed1, allowed0, k - 1)
    cubes1, covered1 = _isop(on1 & ~allowed0, allowed1, k - 1)
    rest = (on0 & ~covered0) | (on1 & ~covered1)
    cubes, covered = _isop(rest, allowed0 & allowed1, k - 1)
    text = [f"{c}0" for c in cubes0] + [f"{c}1" for c in cubes1] + [f"{c}-" for c in cubes]
    return text, (covered0 | covered) | (covered1 | covered) << half


@lru_cache(maxsize=1 << 16)
def cover_lines(table: int, k: int) -> str:
    """Cover lines of a table whose slot 0 is the lowest address bit; the smaller of two phases."""
    full = (1 << (1 << k)) - 1
    if table in (0, full):
        return "" if table == 0 else f"{'-' * k} 1\n"
    on, _ = _isop(table, table, k)
    off, _ = _isop(full ^ table, full ^ table, k)
    cubes, value = (on, 1) if len(on) <= len(off) else (off, 0)
    return "".join(f"{cube} {value}\n" for cube in cubes)
