"""What a streaming design is made of: stages, their geometry, what they store; plain arithmetic.

A map flows in raster order as groups of `lanes` columns; group g of a row holds columns
``g*lanes .. g*lanes + lanes - 1``. A stage that needs padding scans a virtual map: after its real
groups each row has groups of zeros, after the last row come rows of zeros. What stands at the end
of a row is the right padding of this row and the left padding of the next; what stands at the end
of a frame pads this frame below and the next above. So windows need no masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Netlist

__all__ = [
    "InputSpec",
    "LanePool",
    "PoolSpec",
    "Stage",
    "StreamSpec",
    "TailKind",
    "WindowGeometry",
    "WindowSpec",
    "check_stride",
    "is_lane_pool",
    "is_memory",
    "lanes_after",
    "stages_of",
]

TailKind: TypeAlias = str
MEMORY_BITS: Final = 64
"""A delay of fewer bits is made of flip-flops,"""
MEMORY_DEPTH: Final = 3
"""and so is a shorter one."""


@dataclass(frozen=True)
class InputSpec:
    """The pixels: `shape` (C, H, W), values of `bytes_per_feature` bytes up to `max_value`.

    `bits` are the (channel, threshold) of the thermometer bits that the first stage reads, in the
    order in which they flow; the channel is the colour's.
    """

    shape: tuple[int, int, int]
    bytes_per_feature: int
    max_value: int
    bits: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class WindowSpec:
    """Trees over windows of a map: a convolution, or an OR pool as one.

    Input i of `net` reads tap (channel, row, column) ``taps[i]``, (T, 3), of the field; channels
    are numbered as they flow in. Output c of `net` is channel c of the map that flows out, of
    `positions` (rows, columns). `kind` is ``"conv"`` or ``"pool"``.
    """

    name: str
    net: Netlist
    taps: npt.NDArray[np.int32]
    n_channels: int
    input_size: tuple[int, int]
    positions: tuple[int, int]
    field: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    kind: str = "conv"

    @property
    def n_outputs(self) -> int:
        """Channels that flow out."""
        return self.net.n_outputs


@dataclass(frozen=True)
class PoolSpec:
    """An OR pool. Channel c that flows out pools channel ``sources[c]``; -1 is 1, -2 is 0.

    `layer` and `channels` say where the channels that flow in stand in the model.
    """

    name: str
    sources: tuple[int, ...]
    n_channels: int
    input_size: tuple[int, int]
    positions: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    layer: str
    channels: tuple[int, ...]

    @property
    def n_outputs(self) -> int:
        """Channels that flow out."""
        return len(self.sources)

    @property
    def pooled(self) -> tuple[int, ...]:
        """The channels that flow in and are pooled, rising."""
        return tuple(sorted({source for source in self.sources if source >= 0}))


Stage: TypeAlias = WindowSpec | PoolSpec


@dataclass(frozen=True)
class StreamSpec:
    """A whole design: input, stages in order, and what follows the last map.

    `tail` is the netlist of the dense layers: its inputs are the bits of the last map, channel
    ``channels[c]`` of `map_shape` (K, rows, columns) being the c-th that flows; None where the
    scores are sums over the map itself, `group_ptr` cutting it in C order as in `GroupSum`.
    """

    input: InputSpec
    stages: tuple[Stage, ...]
    channels: tuple[int, ...]
    map_shape: tuple[int, int, int]
    group_ptr: tuple[int, ...]
    tail: Netlist | None
    lanes: int = 1


def is_memory(width: int, length: int) -> bool:
    """Whether a delay of `length` ticks of `width` bits is made of a memory."""
    return length >= MEMORY_DEPTH and width * length > MEMORY_BITS


def lanes_after(lanes: int, stride: int) -> int:
    """Columns a clock behind a stage that takes `lanes` and steps `stride` columns."""
    return max(1, lanes // stride)


def check_stride(name: str, lanes: int, stride: int) -> None:
    """InputError where a layer's steps along a row do not go with the columns that come."""
    if lanes % stride and stride % lanes:
        raise InputError(
            f"layer {name!r} steps {stride} columns, {lanes} columns come a clock: one must divide "
            "the other; give fewer --positions-per-clock"
        )


@dataclass(frozen=True)
class WindowGeometry:
    """When a window stage takes, shifts and gives; `lanes` columns flow in a clock.

    A tick moves the scan on by one group: `n_groups` a row, `n_rows` rows a frame. Input is taken
    in rows ``lead_rows ..`` and groups ``lead_groups ..`` (`size` of them), zeros come elsewhere.
    The map flows out in groups of `out_lanes` columns: after the tick of scan row
    ``first_row + i * row_step`` and group ``first_group + k * group_step``.
    """

    lanes: int
    out_lanes: int
    lead_rows: int
    lead_groups: int
    size: tuple[int, int]
    n_rows: int
    n_groups: int
    first_row: int
    row_step: int
    out_rows: int
    first_group: int
    group_step: int
    out_groups: int

    @staticmethod
    def of(spec: WindowSpec, lanes: int) -> WindowGeometry:
        """The geometry of `spec`; InputError where the stride does not go with the lanes."""
        (height, width), (rows, columns) = spec.input_size, spec.positions
        (fh, fw), (sh, sw), (ph, pw) = spec.field, spec.stride, spec.padding
        check_stride(spec.name, lanes, sw)
        out_lanes = lanes_after(lanes, sw)
        groups = -(-width // lanes)
        lead_rows = max(0, ph - fh + 1)
        lead_groups = -(-max(0, pw - fw + 1) // lanes)
        right = lead_groups * lanes + fw - 1 - pw
        first_group = (right + (out_lanes - 1) * sw) // lanes
        group_step = max(1, sw // lanes)
        out_groups = -(-columns // out_lanes)
        first_row = lead_rows + fh - 1 - ph
        zero_groups = -(-max(0, pw - lead_groups * lanes) // lanes)
        return WindowGeometry(
            lanes=lanes,
            out_lanes=out_lanes,
            lead_rows=lead_rows,
            lead_groups=lead_groups,
            size=(height, groups),
            n_rows=max(height + max(ph, lead_rows), first_row + (rows - 1) * sh + 1),
            n_groups=max(
                lead_groups + groups + zero_groups, first_group + (out_groups - 1) * group_step + 1
            ),
            first_row=first_row,
            row_step=sh,
            out_rows=rows,
            first_group=first_group,
            group_step=group_step,
            out_groups=out_groups,
        )

    @property
    def is_padded(self) -> bool:
        """Whether the scan holds zeros that no input brings."""
        return (self.n_rows, self.n_groups) != self.size

    @property
    def start(self) -> tuple[int, int]:
        """(row, group) of the scan after reset: behind the last real group, so that the zeros
        which a frame leaves behind are there before the first; (0, 0) where there are none."""
        after = self.lead_groups + self.size[1]
        last = self.lead_rows + self.size[0]
        if after < self.n_groups:
            return last - 1, after
        return (last, 0) if last < self.n_rows else (0, 0)

    @property
    def is_cold(self) -> bool:
        """Whether the scan starts with zeros that stand for the end of a frame before."""
        return self.start != (0, 0)

    def takes(self, row: int, group: int) -> bool:
        """Whether the tick at this place of the scan takes input."""
        return (
            0 <= row - self.lead_rows < self.size[0]
            and 0 <= group - self.lead_groups < self.size[1]
        )

    def waits(self, row: int, group: int) -> bool:
        """Whether the tick at this place waits for input: where it takes some, and where a frame
        begins. A window that lies in the padding would else be given out before its frame comes,
        and could stand in the way of the frame before."""
        return self.takes(row, group) or (row, group) == (0, 0)

    def gives(self, row: int, group: int) -> bool:
        """Whether a group of the output map stands after the tick at this place."""
        i, k = row - self.first_row, group - self.first_group
        return (
            i >= 0
            and k >= 0
            and i % self.row_step == 0
            and k % self.group_step == 0
            and i // self.row_step < self.out_rows
            and k // self.group_step < self.out_groups
        )

    def tap(self, spec: WindowSpec, number: int, lane: int) -> tuple[int, int, int, int]:
        """(channel, line, lane, ticks) of tap `number` for output lane `lane`.

        Line j is j rows old; `ticks` how many ticks ago the column came in, 0 the newest.
        """
        channel, row, column = (int(v) for v in spec.taps[number])
        place = self.lead_groups * self.lanes - spec.padding[1] + column + lane * spec.stride[1]
        age = self.first_group * self.lanes + self.lanes - 1 - place
        ticks, back = divmod(age, self.lanes)
        return channel, spec.field[0] - 1 - row, self.lanes - 1 - back, ticks

    def chains(self, spec: WindowSpec) -> dict[tuple[int, int, int], int]:
        """(channel, line, lane) to the length of its shift register, memory inputs included."""
        need: dict[tuple[int, int, int], int] = {}
        for number in spec.net.used_inputs().tolist():
            for out in range(self.out_lanes):
                channel, line, lane, ticks = self.tap(spec, number, out)
                key = (channel, line, lane)
                need[key] = max(need.get(key, 0), ticks + 1)
        for channel, line, lane in list(need):
            for above in range(line):
                need.setdefault((channel, above, lane), 1)
        return dict(sorted(need.items()))


@dataclass(frozen=True)
class LanePool:
    """Counters of a pool whose windows do not overlap."""

    spec: PoolSpec
    lanes: int

    @property
    def out_lanes(self) -> int:
        """Columns that flow out a clock."""
        return lanes_after(self.lanes, self.spec.stride[1])

    @property
    def n_groups(self) -> int:
        """Groups of a row that flows in."""
        return -(-self.spec.input_size[1] // self.lanes)

    @property
    def out_groups(self) -> int:
        """Groups of a row that flows out."""
        return -(-self.spec.positions[1] // self.out_lanes)

    def last(self, axis: int) -> int:
        """The last row or column that some window reads."""
        spec = self.spec
        last = (spec.positions[axis] - 1) * spec.stride[axis] - spec.padding[axis]
        return min(spec.input_size[axis] - 1, last + spec.window[axis] - 1)

    def phase(self, axis: int, place: int) -> int:
        """Row or column `place` within its window (and the gap behind it)."""
        return (place + self.spec.padding[axis]) % self.spec.stride[axis]

    def is_first(self, axis: int, place: int) -> bool:
        """Whether a window begins at this row or column."""
        return place == 0 or self.phase(axis, place) == 0

    def ends(self, axis: int, place: int) -> bool:
        """Whether a window ends at this row or column."""
        return (
            self.phase(axis, place) == self.spec.window[axis] - 1 and place <= self.last(axis)
        ) or place == self.last(axis)

    def event(self, group: int) -> bool:
        """Whether a group of the row's partial results is complete after input group `group`."""
        return group < self.out_groups if self.lanes > 1 else self.ends(1, group)

    def gives(self, row: int, group: int) -> bool:
        """Whether a group flows out as the input group at this place flows in."""
        return self.event(group) and self.ends(0, row)


def is_lane_pool(spec: PoolSpec, lanes: int) -> bool:
    """Whether `LanePool` holds: windows do not overlap, and with lanes fill them exactly."""
    if any(step < span for step, span in zip(spec.stride, spec.window, strict=True)):
        return False
    if lanes == 1:
        return True
    span, step = spec.window[1], spec.stride[1]
    return span == step and spec.padding[1] == 0 and lanes % step == 0


def stages_of(spec: StreamSpec) -> Sequence[tuple[Stage, WindowGeometry | LanePool]]:
    """Each stage with its geometry at the lanes that reach it."""
    found: list[tuple[Stage, WindowGeometry | LanePool]] = []
    lanes = spec.lanes
    for stage in spec.stages:
        geometry: WindowGeometry | LanePool
        if isinstance(stage, WindowSpec):
            geometry = WindowGeometry.of(stage, lanes)
        else:
            geometry = LanePool(stage, lanes)
        found.append((stage, geometry))
        lanes = geometry.out_lanes
    return found
