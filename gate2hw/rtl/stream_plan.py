"""What a streaming design will take: memory, registers, latency and interval, before synthesis.

Latency and interval are those of `stream_timing`; the benches measure the same numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from gate2hw.rtl.stream_spec import (
    StreamSpec,
    WindowGeometry,
    WindowSpec,
    is_memory,
    stages_of,
)
from gate2hw.rtl.stream_timing import FeedPlan, timing

__all__ = [
    "MAP_SUM_STAGES",
    "MapLayout",
    "StagePlan",
    "StreamPlan",
    "SumTerm",
    "plan_of",
]

MAP_SUM_STAGES: Final = 3
"""Clock cycles from a group of the last map to its place in the sums."""


class SumTerm(NamedTuple):
    """One bit that a class adds: the wire of a group, and when: groups first .. last, lane."""

    wire: int
    span: tuple[int, int, int]


@dataclass(frozen=True)
class MapLayout:
    """How the last map flows: `shape` (K, rows, columns) in groups of `lanes` columns, channel
    ``channels[c]`` as the c-th wire of a lane."""

    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    lanes: int

    @property
    def n_channels(self) -> int:
        """Channels that flow."""
        return len(self.channels)

    @property
    def row_groups(self) -> int:
        """Groups of a row."""
        return -(-self.shape[2] // self.lanes)

    @property
    def n_groups(self) -> int:
        """Groups of a frame."""
        return self.shape[1] * self.row_groups

    @property
    def over(self) -> int:
        """Lanes of a row's last group that lie in the map; 0: all."""
        return self.shape[2] % self.lanes

    def place(self, bit: int) -> tuple[int, int]:
        """(wire of a group, number of the group) of a bit of the map in C order."""
        channel, rest = divmod(bit, self.shape[1] * self.shape[2])
        row, column = divmod(rest, self.shape[2])
        group, lane = divmod(column, self.lanes)
        wire = lane * self.n_channels + self.channels.index(channel)
        return wire, row * self.row_groups + group

    def terms(self, start: int, stop: int) -> list[SumTerm]:
        """What the sum over bits start .. stop - 1 of the map adds."""
        size = self.shape[1] * self.shape[2]
        found = []
        for wire, channel in enumerate(self.channels):
            low, high = max(start - channel * size, 0), min(stop - channel * size, size)
            if low >= high:
                continue
            for lane in range(self.lanes):
                span = self._span(low, high, lane)
                if span is not None:
                    found.append(SumTerm(lane * self.n_channels + wire, (*span, lane)))
        return found

    def _span(self, low: int, high: int, lane: int) -> tuple[int, int] | None:
        """First and last group whose `lane` is a place low .. high - 1 of a channel."""
        if (low, high) == (0, self.shape[1] * self.shape[2]):
            return 0, self.n_groups - 1
        inside = []
        for group in range(self.n_groups):
            row, along = divmod(group, self.row_groups)
            column = along * self.lanes + lane
            if column < self.shape[2] and low <= row * self.shape[2] + column < high:
                inside.append(group)
        return (inside[0], inside[-1]) if inside else None


@dataclass(frozen=True)
class StagePlan:
    """One stage: groups of `lanes` columns in, what it stores, ticks (clocks at least) a frame."""

    name: str
    kind: str
    lanes: int
    positions: tuple[int, int]
    channels: int
    gates: int
    tap_bits: int
    delay_width: int
    delay_length: int
    memory_bits: int
    ticks: int


@dataclass(frozen=True)
class StreamPlan:
    """The whole design; `memory_bits` of all line and colour buffers that are memories,
    `register_bits` of those that are flip-flops, taps and map collector included."""

    lanes: int
    stages: tuple[StagePlan, ...]
    input_bits: int
    memory_bits: int
    register_bits: int
    latency_cycles: int
    interval_cycles: int

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON-like data."""
        return asdict(self)


def in_memory(width: int, length: int) -> int:
    """Bits of a delay that stand in a memory; the others are flip-flops."""
    return width * length if is_memory(width, length) else 0


def _stage_plans(spec: StreamSpec) -> list[StagePlan]:
    plans = []
    for stage, geometry in stages_of(spec):
        if isinstance(geometry, WindowGeometry):
            assert isinstance(stage, WindowSpec)
            chains = geometry.chains(stage)
            width = sum(line > 0 for _, line, _ in chains)
            length, taps = geometry.n_groups - 1, sum(chains.values())
            ticks, kind = geometry.n_rows * geometry.n_groups, stage.kind
            gates = stage.net.n_gates
        else:
            pool = geometry.spec
            ends = sum(geometry.event(group) for group in range(geometry.n_groups))
            width = len(pool.pooled) * geometry.out_lanes
            length = ends if pool.window[0] > 1 else 0
            taps = width if geometry.lanes == 1 and pool.window[1] > 1 else 0
            ticks, kind, gates = pool.input_size[0] * geometry.n_groups, "pool", 0
        plans.append(
            StagePlan(
                name=stage.name,
                kind=kind,
                lanes=geometry.lanes,
                positions=stage.positions,
                channels=stage.n_outputs,
                gates=gates,
                tap_bits=taps,
                delay_width=width if length else 0,
                delay_length=length if width else 0,
                memory_bits=in_memory(width, length),
                ticks=ticks,
            )
        )
    return plans


def plan_of(
    spec: StreamSpec,
    feed: FeedPlan,
    layout: MapLayout,
    *,
    collector_bits: int,
    tail_cycles: int,
    result_beats: int,
) -> StreamPlan:
    """The plan of `spec`; `tail_cycles` lie between a whole map and its result."""
    plans = _stage_plans(spec)
    latency, interval = timing(
        feed,
        [geometry for _, geometry in stages_of(spec)],
        layout.n_groups,
        head_stages=0 if spec.tail is not None else MAP_SUM_STAGES,
        tail_cycles=tail_cycles,
        result_beats=result_beats,
    )
    planes = (feed.n_planes - 1) * in_memory(feed.plane_bits, feed.plane_groups)
    delays = sum(plan.delay_width * plan.delay_length for plan in plans)
    memory = planes + sum(plan.memory_bits for plan in plans)
    stored = delays + (feed.n_planes - 1) * feed.plane_bits * feed.plane_groups
    taps = sum(plan.tap_bits for plan in plans)
    return StreamPlan(
        lanes=spec.lanes,
        stages=tuple(plans),
        input_bits=(feed.n_planes - 1) * feed.plane_bits * feed.plane_groups,
        memory_bits=memory,
        register_bits=stored - memory + taps + collector_bits,
        latency_cycles=latency,
        interval_cycles=interval,
    )
