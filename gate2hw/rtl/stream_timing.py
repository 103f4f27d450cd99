"""Latency and interval of a streaming design: its handshakes stepped clock by clock.

Control depends on no data, so a few frames without a stall say all; the benches measure the same
numbers in hardware.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gate2hw.rtl.stream_spec import LanePool, WindowGeometry

__all__ = ["VERDICTS", "FeedPlan", "timing"]

VERDICTS: Final = 4
"""Frames that may be on their way between the last pixel and the scores."""
_FRAMES: Final = 12
_LEAST_FRAMES: Final = 6
_SLACK: Final = 64
"""More clocks than registers in a row, from the pixels to the result."""


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


class _Feed:
    """Control of the pixels, beats always offered until `n_frames` are in."""

    def __init__(self, plan: FeedPlan, n_frames: int) -> None:
        self.plan, self.left = plan, n_frames * plan.n_beats
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
        beat = self.left > 0 and (free or not whole) and (room or not at_end)
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


def _ticks(geometry: WindowGeometry | LanePool) -> int:
    """Clocks that a stage takes for a frame, if nothing holds it up."""
    if isinstance(geometry, WindowGeometry):
        return geometry.n_rows * geometry.n_groups
    return geometry.spec.input_size[0] * geometry.n_groups


def _run(
    feed_plan: FeedPlan,
    geometries: Sequence[WindowGeometry | LanePool],
    n_groups: int,
    head_stages: int,
    tail_cycles: int,
    result_beats: int,
    n_frames: int,
) -> tuple[list[int], list[int]]:
    """(cycles of the beats in, cycles in which a result was first offered)."""
    feed, head, sender = (
        _Feed(feed_plan, n_frames),
        _Head(n_groups, head_stages),
        _Sender(result_beats),
    )
    stages = [_Scan(g) if isinstance(g, WindowGeometry) else _Pool(g) for g in geometries]
    verdicts, pending, now = 0, 0, 0
    tail = [False] * tail_cycles
    shown: list[int] = []
    work = feed_plan.n_beats + feed_plan.n_planes * feed_plan.plane_groups + n_groups
    work += sum(map(_ticks, geometries)) + tail_cycles + result_beats + _SLACK
    while len(shown) < n_frames:
        assert now < (1 + n_frames) * work, "the stages stand still"
        advance = not sender.waiting
        take = head.whole and verdicts > 0 and advance
        valid = feed.valid()
        for stage in stages:
            valid = stage.valid(valid)
        ready = not head.whole or take or not valid
        for stage in reversed(stages):
            ready = stage.ready(ready)
        through = [take, *tail]
        if sender.step(through[-1]):
            shown.append(now + 1)
        if advance:
            tail = through[:-1]
        head.step(valid, take)
        room = verdicts < VERDICTS - 1
        verdicts += pending - take
        pending = feed.step(now, ready, room)
        for stage in stages:
            stage.step()
        now += 1
    return feed.taken, shown


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
    run = (feed, geometries, n_groups, head_stages, tail_cycles, result_beats)
    taken, shown = _run(*run, 1)
    latency = shown[0] - taken[-1]
    taken, _ = _run(*run, _FRAMES)
    starts = taken[:: feed.n_beats]
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    return latency, max(gaps[_LEAST_FRAMES:])
