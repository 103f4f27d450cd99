"""ABC scripts of the mapper: how gates are restructured, how they are covered by LUTs.

A script is a list of ABC commands between reading an AIG and writing a network; `k` is the number
of inputs of a LUT, `max_depth` the levels allowed: None where only area counts, SHALLOWEST for as
few as the structure allows; ABC refuses fewer. Commands: Mishchenko et al., ABC,
https://github.com/berkeley-abc/abc.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CHOICES",
    "SHALLOWEST",
    "care_script",
    "covers",
    "depth_only",
    "plain",
    "restructure",
]

# resyn scripts of ABC's own abc.rc, spelled out: the program is run without that file
_COMPRESS: Final = (
    "balance -l; resub -K 6 -l; rewrite -l; resub -K 6 -N 2 -l; refactor -l; resub -K 8 -l; "
    "balance -l; resub -K 8 -N 2 -l; rewrite -l; resub -K 10 -l; rewrite -z -l; "
    "resub -K 10 -N 2 -l; balance -l; resub -K 12 -l; refactor -z -l; resub -K 12 -N 2 -l; "
    "rewrite -z -l; balance -l"
)
"""compress2rs: balancing, resubstitution with growing cuts, rewriting, refactoring."""

_ROUNDS: Final = (
    [_COMPRESS],
    ["dc2", "dc2", "dch", "dc2", _COMPRESS],
    ["&get", "&syn3", "&syn4", "&put", _COMPRESS],
    ["if -K 6 -a", "strash", _COMPRESS],
)

_SNAPSHOTS: Final = (
    _COMPRESS,
    _COMPRESS,
    "dc2; dc2",
    "balance; rewrite; refactor; balance; rewrite; rewrite -z; balance; refactor -z; rewrite -z; "
    "balance",
    "&get; &syn4; &put",
    f"if -K 6 -a; strash; {_COMPRESS}",
    "if -K 4 -a; mfs2 -a -e -L 100; strash",
)
"""What is made of an AIG one after the other, each kept as a choice."""

CHOICES: Final = ("snapshots", "synch2")
SHALLOWEST: Final = 0


def _if(k: int, max_depth: int | None, effort: str = "") -> str:
    bound = "" if max_depth == SHALLOWEST else f" -D {max_depth}"
    return f"if -K {k}{' -a' if max_depth is None else bound}{effort}"


def plain(k: int, max_depth: int | None, *, is_fast: bool = False) -> list[str]:
    """The mapping that any other must beat: structural, area-oriented."""
    return [_if(k, max_depth, " -C 5" if is_fast else "")]


def depth_only(k: int) -> list[str]:
    """A fast depth-optimal mapping of the circuit read by ``&read``; prints its statistics."""
    return [f"&kf -K {k}", "&ps"]


def restructure(number: int) -> list[str]:
    """Round `number` of restructuring an AIG; ends in gates of two inputs, XOR among them.

    The last command resubstitutes with the don't-cares inside the circuit.
    """
    script = _ROUNDS[number % len(_ROUNDS)]
    return ["ifraig", *script, "if -K 2 -a", "mfs2 -a -e -L 100"]


def care_script(n_prefix: int) -> list[str]:
    """Resubstitute gates behind a prefix of `n_prefix` gates, which stay as they are.

    What the prefix cannot produce is a satisfiability don't-care: Mishchenko, Brayton, "SAT-based
    complete don't-care computation for network optimization", DATE 2005.
    """
    return [f"mfs2 -a -e -L 100 -M 1000 -Z {n_prefix}"]


def _cover(choices: str, k: int, max_depth: int) -> list[str]:
    if choices == "synch2":
        return ["&get", "&synch2", f"&{_if(k, max_depth)}", "&put"]
    script = ["ifraig"]
    for snapshot in _SNAPSHOTS:
        script += [snapshot, "fraig_store"]
    return [*script, "fraig_restore", _if(k, max_depth, " -C 32 -F 4 -A 6")]


def covers(choices: str, k: int, max_depth: int, optimal_depth: int) -> list[list[str]]:
    """Ways to cover an AIG by LUTs over structural choices, each shallower than the one before.

    The choices are "snapshots" of several syntheses, or those of "synch2". Windows of the cover
    are then improved by SAT; that may cost a level whatever its own bound, so it is left out next,
    and where a bound is missed even so, area counts last. Lossless synthesis: Chatterjee,
    Mishchenko, Brayton, Wang, Kam, "Reducing structural bias in technology mapping", ICCAD 2005.
    """
    ways = [_cover(choices, k, max_depth), _cover(choices, k, SHALLOWEST)]
    if max_depth > optimal_depth:
        exact = _cover(choices, k, max_depth - 1)
        ways.insert(0, [*exact, "&get -m", f"&satlut -C 500 -D {max_depth}", "&put"])
    return ways
