"""resynth: logic restructured by ABC, in parts of bounded size, counted in two-input gates.

ABC's own measure is AND gates, three of which make an XOR. So every script ends with a mapping
into tables of two inputs (`if -K 2 -a`): gates of any function, inverters inside. On these,
`mfs2` (Mishchenko, Brayton, Jiang, Jang, "Scalable Don't-Care-Based Logic Optimization and
Resynthesis", TRETS 2011) resubstitutes with don't-cares, to which the encoder's care set adds: ABC
sees the part behind the prefix of `ir.care.legalised`, whose unreachable codes are satisfiability
don't-cares. A legal code is its own prefix input, so the prefix drops away afterwards.

Every script's result is counted here, in gates and then levels, and the best of those within the
bound on the levels is taken; where that is the part as it was, the part stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from gate2hw.errors import InputError
from gate2hw.ir.care import CareSet, check_care, legalised
from gate2hw.ir.lutblif import read_lut_blif, write_lut_blif
from gate2hw.ir.lutnetlist import to_netlist
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.normalise import better, normalise
from gate2hw.passes.local.origins import restore_origins
from gate2hw.passes.partition import OrderBy, map_parts
from gate2hw.tools.abc import run_script

__all__ = ["EFFORTS", "Effort", "resynth"]

TIMEOUT_S: Final = 600.0
"""For one part: a guard against a hanging tool, far above what a part of the sizes below takes."""

_MAP: Final = "if -K 2 -a"
_RESUB: Final = "mfs2 -a"
_SHARE: Final = ("strash", "&get -n", "&syn4", "&put")
_BALANCE: Final = ("strash", "&get -n", "&b -s", "&put")
_RESHAPE: Final = ("strash", "&get -n", "&synch2", "&put")
_CHOICES: Final = ("dch", _MAP, _RESUB)
_FLAT: Final = ("dch", "if -K 2", _RESUB)
"""Over structural choices, in as few levels as they allow: hardly more gates, often fewer."""

Steps: TypeAlias = tuple[tuple[str, ...], ...]
# Each step works on what the step before left and is counted; "start" goes back to the part.
_SHARING: Final[Steps] = ((*_SHARE, _MAP), ("&put", "if -K 2"))
_RESUBBING: Final[Steps] = ((_RESUB,), (*_SHARE, _MAP, _RESUB))
_FLATTENING: Final[Steps] = (("start", *_SHARE, *_FLAT),)
_DEEP: Final[Steps] = (
    (_RESUB,),
    ("start", *_BALANCE, *_CHOICES),
    (*_RESHAPE, _MAP, _RESUB),
    ("strash", *_CHOICES),
    ("start", *_SHARE, *_CHOICES),
)


@dataclass(frozen=True)
class Effort:
    """What one effort does in a round: steps for each part, without and with the care set.

    A round is done once for each entry of `orders`, as long as it saves something. `more` steps
    are done without the care set only: they take long, and the prefix would make them deep.
    """

    steps: Steps
    part_gates: int
    max_gates: int
    orders: tuple[OrderBy, ...] = ("inputs",)
    more: Steps = ()


EFFORTS: Final[dict[int, Effort]] = {
    1: Effort(_SHARING, 50_000, 2_000_000),
    2: Effort(_RESUBBING, 25_000, 1_000_000, ("inputs", "inputs", "inputs"), _FLATTENING),
    3: Effort(_DEEP, 25_000, 60_000, ("inputs", "outputs"), _FLATTENING),
}


FULL_GATES: Final = 200_000
EXTRA_LEVELS: Final = 1
"""Levels that fewer gates may cost, in each part."""


def _variants(net: Netlist, steps: Sequence[Sequence[str]], folder: Path) -> list[Netlist]:
    """What each step of one ABC run leaves, as gates."""
    source = folder / "start.blif"
    write_lut_blif(net, source)
    start = "read_blif start.blif"
    commands, outputs = [start], {}
    for number, step in enumerate(steps):
        commands += [start if command == "start" else command for command in step]
        name = f"step{number}.blif"
        commands.append(f"write_blif {name}")
        outputs[name] = folder / name
    run_script(commands, inputs={"start.blif": source}, outputs=outputs, timeout_s=TIMEOUT_S)
    return [to_netlist(read_lut_blif(path, like=net, k=2)) for path in outputs.values()]


def _resynth_part(net: Netlist, *, steps: Steps, is_prefixed: bool, extra: int) -> Netlist:
    """The best of `net` and of what the steps make of it, which has no origins.

    It is at most `extra` levels deeper.
    """
    if net.n_gates < 2:
        return net
    with TemporaryDirectory(prefix="gate2hw-resynth-") as folder:
        variants = _variants(legalised(net) if is_prefixed else net, steps, Path(folder))
    care: CareSet = "thermometer" if is_prefixed else "none"
    best = net
    for variant in variants:
        candidate = normalise(variant.with_(encoder=net.encoder), care=care)
        if better(candidate, best) and candidate.depth <= net.depth + extra:
            best = candidate
    return best


def _round(
    net: Netlist,
    change: Callable[..., Netlist],
    plan: Effort,
    care: CareSet,
    order_by: OrderBy,
    max_depth: int | None,
) -> Netlist:
    """`net` with all parts changed, in normal form; the same object if that is too deep."""
    extras = {EXTRA_LEVELS} if max_depth is None else {max(0, max_depth - net.depth), 0}
    for extra in sorted(extras, reverse=True):
        new = map_parts(
            net, partial(change, extra=extra), max_gates=plan.part_gates, order_by=order_by
        )
        new = normalise(new, care=care)
        # the levels of parts add up where one reads another
        if max_depth is None or new.depth <= max(max_depth, net.depth):
            return new
    return net


def resynth(
    net: Netlist,
    *,
    care: CareSet = "thermometer",
    effort: int | None = None,
    max_depth: int | None = None,
) -> Netlist:
    """Return `net` restructured by ABC: fewer gates, or as many and fewer levels.

    The same object where neither is reached in normal form, or where `net` has more gates than the
    effort's ``max_gates``. Where gates are saved, each part (all of `net`, up to ``part_gates``)
    may get EXTRA_LEVELS deeper, where there are several in each round; with `max_depth` the whole
    gets no deeper than that, or than it is. `effort`: 1 shares (about 7 s of one core for 10^5
    gates), 2 adds don't-cares and structural choices (20 s a round, up to three), 3 tries more (up
    to a minute for 10^4); None is 2 up to ``FULL_GATES`` gates, else 1. The result is in normal
    form; with care "thermometer" it is equal on legal codes only. Raises InputError for an unknown
    effort, ToolError where ABC is missing or fails.
    """
    check_care(care)
    if effort is None:
        effort = 2 if net.n_gates <= FULL_GATES else 1
    if effort not in EFFORTS:
        allowed = ", ".join(map(str, EFFORTS))
        raise InputError(f"resynthesis effort {effort!r} is unknown. Allowed: {allowed}")
    plan = EFFORTS[effort]
    if net.n_gates > plan.max_gates:
        return net
    start = best = normalise(net, care=care)
    if max_depth is None and net.n_gates <= plan.part_gates:
        max_depth = start.depth + EXTRA_LEVELS
    # sharing is found more easily without the prefix in the way
    prefixes = (False, True) if care == "thermometer" and net.encoder is not None else (False,)
    for order_by in plan.orders:
        at_start = best
        for is_prefixed in prefixes:
            steps = plan.steps if is_prefixed else plan.steps + plan.more
            change = partial(_resynth_part, steps=steps, is_prefixed=is_prefixed)
            new = _round(best, change, plan, care, order_by, max_depth)
            best = new if better(new, best) else best
        if best is at_start:
            break
    return start if best is start else restore_origins(net, best)
