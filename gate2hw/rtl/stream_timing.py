"""Latency and interval of a streaming design: its handshakes stepped clock by clock.

Control depends on no data, so frames without a stall say all: they are let in until the control
state at a frame's first beat is one that was seen before. The benches measure the same numbers in
hardware.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from gate2hw.rtl.stream_spec import LanePool, WindowGeometry

__all__ = ["VERDICTS", "FeedPlan", "timing"]

VERDICTS: Final = 4
"""Frames that may be on their way between the last pixel and the scores."""
_SLACK: Final = 64
"""More clocks than registers in a row, from the pixels to the result."""
_State: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class FeedPlan:
    """The input as the timing sees it; see `stream_input.Feed`."""

    n_beats: int
    beats_per_slot: int
    n_slots: int
    groups_per_slot: int
    groups_of_last: int
    n_planes: int
    plane_groups: int
    plane_bits: int


class _Scan:
    """Control of a window stage."""

    def __init__(self, geometry: WindowGeometry) -> None:
        self.geo = geometry
        self.row, self.group = geometry.start
        self.cold = geometry.is_cold
        self.full = self.given = self.below = False

    def valid(self, above: bool) -> bool:
        self.given = above
        return self.full

    def ready(self, below: bool) -> bool:
        self.below = below
        waits = self.geo.waits(self.row, self.group)
        takes = self.geo.takes(self.row, self.group)
        return below and (takes or (waits and not self.given))

    def step(self) -> None:
        if not self.below:
            return
        go = self.given or not self.geo.waits(self.row, self.group)
        self.full = go and not self.cold and self.geo.gives(self.row, self.group)
        if go:
            self.group += 1
            if self.group == self.geo.n_groups:
                self.group, self.row = 0, self.row + 1
                if self.row == self.geo.n_rows:
                    self.row, self.cold = 0, False

    def state(self) -> _State:
        return self.row, self.group, self.cold, self.full


class _Pool:
    """Control of a pool whose windows do not overlap."""

    def __init__(self, pool: LanePool) -> None:
        self.pool = pool
        self.row = self.group = 0
        self.given = self.below = False

    def valid(self, above: bool) -> bool:
        self.given = above
        return above and self.pool.gives(self.row, self.group)

    def ready(self, below: bool) -> bool:
        self.below = below
        return below

    def step(self) -> None:
        if self.given and self.below:
            self.group += 1
            if self.group == self.pool.n_groups:
                self.group, self.row = 0, (self.row + 1) % self.pool.spec.input_size[0]

    def state(self) -> _State:
        return self.row, self.group


class _Head:
    """Collector (`stages` 0) or sums over the map."""

    def __init__(self, n_groups: int, stages: int) -> None:
        self.n_groups, self.number = n_groups, 0
        self.whole = False
        self.flow = [False] * max(0, stages - 1)

    def step(self, valid: bool, take: bool) -> None:
        move = not self.whole or take
        if not move:
            return
        last = False
        if valid:
            last = self.number == self.n_groups - 1
            self.number = 0 if last else self.number + 1
        ends = [last, *self.flow]
        self.whole = ends.pop()
        self.flow = ends

    def state(self) -> _State:
        return self.number, self.whole, *self.flow


class _Feed:
    """Control of the pixels, beats always offered until `n_frames` (None: no end) are in."""

    def __init__(self, plan: FeedPlan, n_frames: int | None) -> None:
        self.plan = plan
        self.left = -1 if n_frames is None else n_frames * plan.n_beats
        self.count = self.groups = self.plane = self.place = 0
        self.taken: list[int] = []

    def valid(self) -> bool:
        return self.groups > 0 and self.plane == self.plan.n_planes - 1

    def step(self, now: int, ready: bool, room: bool) -> bool:
        """Returns whether a frame's last beat went in."""
        plan = self.plan
        step = self.groups > 0 and (ready or self.plane < plan.n_planes - 1)
        free = self.groups == 0 or (step and self.groups == 1)
        at_end = self.count == plan.n_beats - 1
        whole = plan.beats_per_slot == 1 or self.count % 2 == 1
        beat = self.left != 0 and (free or not whole) and (room or not at_end)
        if step:
            self.groups -= 1
            self.place += 1
            if self.place == plan.plane_groups:
                self.place, self.plane = 0, (self.plane + 1) % plan.n_planes
        if not beat:
            return False
        self.taken.append(now)
        self.left -= 1
        if whole:
            self.groups = plan.groups_of_last if at_end else plan.groups_per_slot
        self.count = 0 if at_end else self.count + 1
        return at_end

    def state(self) -> _State:
        return self.count, self.groups, self.plane, self.place


class _Sender:
    """Control of the result frames, always taken."""

    def __init__(self, n_beats: int) -> None:
        self.n_beats, self.left, self.waiting = n_beats, 0, False

    def step(self, given: bool) -> bool:
        """Returns whether a result frame starts in the next cycle."""
        can_load = self.left <= 1
        load = can_load and (self.waiting or given)
        self.waiting = (self.waiting or given) and not can_load
        self.left = self.n_beats if load else max(0, self.left - 1)
        return load

    def state(self) -> _State:
        return self.left, self.waiting


def _ticks(geometry: WindowGeometry | LanePool) -> int:
    """Clocks that a stage takes for a frame, if nothing holds it up."""
    if isinstance(geometry, WindowGeometry):
        return geometry.n_rows * geometry.n_groups
    return geometry.spec.input_size[0] * geometry.n_groups


class _Machine:
    """The whole design, fed with `n_frames` without a gap; results are always taken.

    `taken` are the cycles of the beats in, `shown` those in which a result was first offered.
    """

    def __init__(
        self,
        feed: FeedPlan,
        geometries: Sequence[WindowGeometry | LanePool],
        n_groups: int,
        *,
        head_stages: int,
        tail_cycles: int,
        result_beats: int,
        n_frames: int | None,
    ) -> None:
        self.feed = _Feed(feed, n_frames)
        self.stages = [_Scan(g) if isinstance(g, WindowGeometry) else _Pool(g) for g in geometries]
        self.head = _Head(n_groups, head_stages)
        self.sender = _Sender(result_beats)
        self.tail = [False] * tail_cycles
        self.verdicts, self.pending, self.now = 0, 0, 0
        self.shown: list[int] = []
        work = feed.n_beats + feed.n_planes * feed.plane_groups + n_groups
        work += sum(map(_ticks, geometries)) + tail_cycles + result_beats + _SLACK
        self.frame_cycles = work

    @property
    def taken(self) -> list[int]:
        return self.feed.taken

    def step(self) -> None:
        """One clock cycle."""
        head, sender = self.head, self.sender
        assert self.now < (2 + len(self.shown)) * self.frame_cycles, "the stages stand still"
        advance = not sender.waiting
        take = head.whole and self.verdicts > 0 and advance
        valid = self.feed.valid()
        for stage in self.stages:
            valid = stage.valid(valid)
        ready = not head.whole or take or not valid
        for stage in reversed(self.stages):
            ready = stage.ready(ready)
        through = [take, *self.tail]
        if sender.step(through[-1]):
            self.shown.append(self.now + 1)
        if advance:
            self.tail = through[:-1]
        head.step(valid, take)
        room = self.verdicts < VERDICTS - 1
        self.verdicts += self.pending - take
        self.pending = self.feed.step(self.now, ready, room)
        for stage in self.stages:
            stage.step()
        self.now += 1

    def state(self) -> Hashable:
        """All that the next cycles depend on."""
        parts = (self.feed, *self.stages, self.head, self.sender)
        return self.verdicts, self.pending, *self.tail, *(part.state() for part in parts)


def timing(
    feed: FeedPlan,
    geometries: Sequence[WindowGeometry | LanePool],
    n_groups: int,
    *,
    head_stages: int,
    tail_cycles: int,
    result_beats: int,
) -> tuple[int, int]:
    """(latency, interval) in cycles: from the last beat of a frame that comes alone to its result;
    between frames that come without a gap, the longest once the buffers are full."""
    machine = partial(
        _Machine,
        feed,
        geometries,
        n_groups,
        head_stages=head_stages,
        tail_cycles=tail_cycles,
        result_beats=result_beats,
    )
    alone = machine(n_frames=1)
    while not alone.shown:
        alone.step()
    many = machine(n_frames=None)
    starts: list[int] = []
    seen: dict[Hashable, int] = {}
    while True:
        n_before = len(many.taken)
        many.step()
        if len(many.taken) == n_before or n_before % feed.n_beats:
            continue
        starts.append(many.taken[-1])
        state = many.state()
        if state in seen:
            gaps = (b - a for a, b in itertools.pairwise(starts[seen[state] :]))
            return alone.shown[0] - alone.taken[-1], max(gaps)
        seen[state] = len(starts) - 1
