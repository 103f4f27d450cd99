"""Which registers a core gets: what a choice of them costs in cycles, and what clock it may reach.

The estimate takes a path's time as a fixed part, for the flip-flop at either end and the wire to
it, and a part for each level of LUTs. Its constants are measured on routed designs; what place and
route then says of a design corrects them, block by block (`Delays.corrected`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from gate2hw.errors import InputError
from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.rtl import Manifest
from gate2hw.rtl.core import ScoreFormat
from gate2hw.rtl.popcount_cells import counter_of, popcount_modules

__all__ = [
    "CORE_BLOCKS",
    "Delays",
    "Shape",
    "Stages",
    "best_within",
    "cheapest_for",
    "parse_stages",
]


@dataclass(frozen=True, order=True)
class Stages:
    """Registers of a core: `gates` and `popcount` are ranks within those, the others say whether
    there are registers behind the gates (`outputs`), the popcounts (`scores`), the levels of the
    argmax (`tree`), its comparisons (`compare`) and all of it (`result`)."""

    gates: int = 0
    popcount: int = 0
    outputs: bool = True
    scores: bool = True
    tree: bool = True
    compare: bool = False
    result: bool = False

    @staticmethod
    def of(manifest: Manifest) -> Stages:
        """The registers of RTL that is there."""
        return Stages(
            len(manifest.gate_registers),
            manifest.popcount_registers,
            manifest.register_gates,
            manifest.register_scores,
            manifest.register_argmax,
            manifest.register_compare,
            manifest.register_class,
        )

    def options(self, net: Netlist) -> dict[str, Any]:
        """The fields of RtlOptions for these registers; InputError for more ranks than levels."""
        if self.gates > net.depth + 1:
            raise InputError(
                f"{self.gates} ranks of registers are more than {net.depth} levels of gates take; "
                f"give at most {net.depth + 1}"
            )
        ranks, depth = self.gates, net.depth
        levels = [(i + 1) * depth // (ranks + 1) for i in range(ranks)]
        if ranks >= depth:
            levels = list(range(depth + 1 - ranks, depth + 1))
        return {
            "gate_registers": tuple(levels),
            "popcount_registers": self.popcount,
            "register_gates": self.outputs,
            "register_scores": self.scores,
            "register_argmax": self.tree,
            "register_compare": self.compare,
            "register_class": self.result,
        }

    def cycles(self, n_classes: int) -> int:
        """Clock cycles of the core."""
        levels = (n_classes - 1).bit_length()
        tree = max(0, levels - 1) * self.tree + levels * self.compare
        return self.gates + self.popcount + self.outputs + self.scores + tree + self.result

    def has_all_of(self, other: Stages) -> bool:
        """Whether every register of `other` is here, too."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(here >= there for here, there in pairs)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        """As `parse_stages` reads it, what is as by default left out."""
        parts = [f"gates={self.gates}", f"popcount={self.popcount}"]
        for name in ("outputs", "scores", "tree", "compare", "result"):
            value = getattr(self, name)
            if value != getattr(Stages, name):
                parts.append(f"{name}={int(value)}")
        return ",".join(parts)


def parse_stages(text: str, start: Stages) -> Stages:
    """`start` changed by text such as ``gates=2,popcount=1,compare=1``; InputError for others."""
    values = start.to_json()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        is_count = name in ("gates", "popcount")
        if name not in values or not value.isdecimal() or (not is_count and int(value) > 1):
            raise InputError(
                f"stages: {part!r} is not understood; give {', '.join(values)} as NAME=NUMBER, "
                "with 0 or 1 for all but the first two"
            )
        values[name] = int(value) if is_count else value == "1"
    return Stages(**values)


@dataclass(frozen=True)
class Shape:
    """What the estimate knows of a core: LUT levels of its gates and of its deepest popcount, its
    classes and the bits of a score."""

    gate_levels: int
    popcount_levels: int
    n_classes: int
    score_bits: int
    luts: LutNetlist | None = field(default=None, compare=False)

    @staticmethod
    def of(net: Netlist, luts: LutNetlist | None, manifest: Manifest) -> Shape:
        """The shape of a compiled core; without LUTs of our own, levels of gates by the pair."""
        form = ScoreFormat.of(net, relative=manifest.output == "class")
        parts = popcount_modules(manifest.name, net.head, form.offset, form.width)
        deepest = max((counter_of(part).depth for part in parts), default=0)
        levels = -(-net.depth // 2) if luts is None else luts.depth
        return Shape(levels, deepest, net.n_classes, form.width, luts)

    def choices(self, *, fewer: bool) -> Iterator[Stages]:
        """All that differ in more than name; with `fewer`, also without registers between parts."""
        gates = {-(-self.gate_levels // slots) - 1 for slots in range(1, self.gate_levels + 1)}
        counts = {
            -(-self.popcount_levels // slots) - 1 for slots in range(1, self.popcount_levels + 1)
        }
        flags = (False, True)
        optional = flags if fewer else (True,)
        for choice in itertools.product(
            sorted(gates | {0}), sorted(counts | {0}), optional, optional, optional, flags, flags
        ):
            yield Stages(*choice)


CORE_BLOCKS: Final = ("gates", "popcount", "compare", "select", "stream")


@dataclass(frozen=True)
class Delays:
    """The estimate's constants, in ns: `fixed` of a path, `level` of a LUT and its wire within
    each block (`compare`, `select`, `stream`: of the whole piece of the path)."""

    fixed: float
    level: Mapping[str, float]
    scale: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def _of(self, block: str, levels: float = 1.0) -> float:
        return self.level[block] * levels * self.scale.get(block, 1.0)

    def pieces(self, stages: Stages, shape: Shape) -> list[dict[str, float]]:
        """The paths between registers: what each block adds to them, in ns."""
        slots = -(-shape.gate_levels // (stages.gates + 1))
        counted = -(-shape.popcount_levels // (stages.popcount + 1))
        compare = self._of("compare", 0.5 + 0.06 * shape.score_bits)
        # pieces in the order of the data, and whether a register stands behind each
        chain: list[tuple[str, float, bool]] = []
        chain += [("gates", self._of("gates", slots), True)] * stages.gates
        chain += [("gates", self._of("gates", slots), stages.outputs)]
        chain += [("popcount", self._of("popcount", counted), True)] * stages.popcount
        chain += [("popcount", self._of("popcount", counted), stages.scores)]
        levels = (shape.n_classes - 1).bit_length()
        for level in range(levels):
            is_last = level == levels - 1
            chain.append(("compare", compare, stages.compare))
            behind = stages.result if is_last else stages.tree
            chain.append(("select", self._of("select"), behind))
        chain.append(("stream", self._of("stream"), True))
        paths: list[dict[str, float]] = [{}]
        for block, time_ns, is_registered in chain:
            paths[-1][block] = paths[-1].get(block, 0.0) + time_ns
            if is_registered:
                paths.append({})
        return paths[:-1]

    def period_ns(self, stages: Stages, shape: Shape) -> float:
        """The slowest path between registers of the core."""
        return self.fixed + max(sum(path.values()) for path in self.pieces(stages, shape))

    def bounded(self, stages: Stages, shape: Shape, period_ns: float) -> Delays:
        """Constants by which no path takes longer than `period_ns`, which a design has reached."""
        scale = dict(self.scale)
        for path in self.pieces(stages, shape):
            known = sum(path.values())
            if known > period_ns - self.fixed:
                factor = max((period_ns - self.fixed) / known, 0.1)
                for block in path:
                    limit = self.scale.get(block, 1.0) * factor
                    scale[block] = min(scale.get(block, 1.0), limit)
        return replace(self, scale=scale)

    def corrected(
        self, stages: Stages, shape: Shape, blocks: Iterable[str], period_ns: float
    ) -> Delays:
        """The constants that give `period_ns` for the path that lies in `blocks` of the core."""
        wanted = {block for block in blocks if block in CORE_BLOCKS}
        if not wanted:
            return self
        paths = [path for path in self.pieces(stages, shape) if wanted & path.keys()]
        slowest = max(paths, key=lambda path: sum(path.values()), default={})
        known = sum(slowest.values())
        if known <= 0:
            return self
        factor = min(max((period_ns - self.fixed) / known, 0.25), 8.0)
        scale = {b: self.scale.get(b, 1.0) * factor for b in slowest}
        return replace(self, scale={**self.scale, **scale})


def cheapest_for(
    period_ns: float, shape: Shape, delays: Delays, tried: Iterable[Stages]
) -> Stages | None:
    """The fewest cycles that may reach `period_ns`; where nothing does, the fastest untried."""
    known = set(tried)
    rated = [
        (delays.period_ns(stages, shape), stages)
        for stages in shape.choices(fewer=False)
        if stages not in known
    ]
    if not rated:
        return None
    good = [(stages.cycles(shape.n_classes), time, stages) for time, stages in rated]
    enough = [entry for entry in good if entry[1] <= period_ns]
    if enough:
        return min(enough)[2]
    return min((time, stages.cycles(shape.n_classes), stages) for time, stages in rated)[2]


def best_within(
    n_cycles: int, shape: Shape, delays: Delays, tried: Iterable[Stages]
) -> Stages | None:
    """The fastest untried choice of at most `n_cycles` in the core, by the estimate."""
    known = set(tried)
    rated = [
        (delays.period_ns(stages, shape), stages.cycles(shape.n_classes), stages)
        for stages in shape.choices(fewer=True)
        if stages not in known and stages.cycles(shape.n_classes) <= n_cycles
    ]
    return min(rated)[2] if rated else None
