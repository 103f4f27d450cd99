"""Input side of a streaming design: frame control, thermometer, and all colours of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import C, Cat, Elaboratable, Module, Mux, ResetSignal, Signal, Value

from gate2hw.errors import InputError
from gate2hw.rtl.linebuffer import Delay, place_delay
from gate2hw.rtl.stream_spec import InputSpec
from gate2hw.rtl.window import equals

__all__ = ["Feed", "Pixels", "Verdicts"]


@dataclass(frozen=True)
class Feed:
    """How beats become groups of `lanes` pixels: `beat_pixels` a beat, `beats_per_slot` beats for
    them (2 where a value is wider than the bus), `n_slots` a frame, `plane_groups` a colour."""

    spec: InputSpec
    bus_bytes: int
    lanes: int
    beat_pixels: int
    beats_per_slot: int
    n_slots: int
    plane_groups: int

    @staticmethod
    def of(spec: InputSpec, bus_bytes: int, lanes: int) -> Feed:
        """InputError where the pixels of a beat or of a row are no multiple of `lanes`."""
        channels, height, width = spec.shape
        pixels = max(1, bus_bytes // spec.bytes_per_feature)
        if lanes < 1 or pixels % lanes or width % lanes:
            raise InputError(
                f"{lanes} positions a clock do not go with rows of {width} pixels and {pixels} "
                "pixels a beat: both must be multiples; change --positions-per-clock or --bus-bytes"
            )
        n_features = channels * height * width
        return Feed(
            spec,
            bus_bytes,
            lanes,
            pixels,
            max(1, spec.bytes_per_feature // bus_bytes),
            -(-n_features // pixels),
            height * width // lanes,
        )

    @property
    def n_beats(self) -> int:
        """Beats of a frame."""
        return self.n_slots * self.beats_per_slot

    @property
    def groups_per_slot(self) -> int:
        """Groups of a slot but the last."""
        return self.beat_pixels // self.lanes

    @property
    def groups_of_last(self) -> int:
        """Groups of the last slot of a frame."""
        n_groups = self.spec.shape[0] * self.plane_groups
        return n_groups - (self.n_slots - 1) * self.groups_per_slot

    @property
    def n_thresholds(self) -> int:
        """Bits of a pixel of one colour that are kept: the most of any colour."""
        channels = [channel for channel, _ in self.spec.bits]
        return max((channels.count(channel) for channel in set(channels)), default=0)


class Pixels(Elaboratable):
    """Takes frames from ``tdata``/``tvalid``/``tready``/``tlast``, gives groups of encoded pixels.

    The bits of the first colours wait in memories until those of the last come in, and flow out
    beside them; so the map flows while the last colour arrives. A frame that is too short is
    completed with pixels that mean nothing, one that goes on is swallowed to its ``tlast``:
    both pulse `frame_error`. With the last slot of each frame ``verdict`` says whether it is
    `good`, while `room` is high.
    """

    def __init__(self, prefix: str, feed: Feed) -> None:
        self.prefix = prefix
        self.feed = feed
        self.tdata = Signal(8 * feed.bus_bytes)
        self.tvalid = Signal()
        self.tready = Signal()
        self.tlast = Signal()
        self.frame_error = Signal()
        self.verdict = Signal()
        self.good = Signal()
        self.room = Signal()
        self.out_valid = Signal()
        self.out_ready = Signal()
        self.out_data = Signal(max(1, len(feed.spec.bits) * feed.lanes))
        self.delays: list[Delay] = []

    def elaborate(self, platform: object) -> Module:
        """Build control, comparators and the memories of colours; Amaranth calls this."""
        m = Module()
        load = Signal()
        free = Signal()
        is_last = self._control(m, load, free)
        step, plane = self._groups(m, load, free, is_last)
        self._bits(m, load, step, plane)
        return m

    def _control(self, m: Module, load: Signal, free: Signal) -> Signal:
        """Count beats, tell good frames from bad; returns: the slot that loads is the last."""
        feed = self.feed
        count = Signal(max(1, (feed.n_beats - 1).bit_length()))
        swallow = Signal()
        fill = Signal()
        at_end = Signal()
        accept = Signal()
        beat = Signal()
        can_take = Signal()
        whole: Value = count[0] if feed.beats_per_slot == 2 else C(1, 1)
        m.d.comb += [
            at_end.eq(equals(count, feed.n_beats - 1)),
            can_take.eq((free | ~whole) & (~at_end | self.room)),
            self.tready.eq(
                ~ResetSignal(allow_reset_less=True) & (swallow | (~fill & can_take)),
            ),
            accept.eq(self.tvalid & self.tready),
            beat.eq(can_take & ~swallow & (fill | self.tvalid)),
            load.eq(beat & whole),
            self.verdict.eq(beat & at_end),
            self.good.eq(self.tlast & ~fill),
        ]
        m.d.sync += self.frame_error.eq(accept & ~swallow & (self.tlast ^ at_end))
        with m.If(beat):
            m.d.sync += [count.eq(count + 1), fill.eq((fill | self.tlast) & ~at_end)]
            with m.If(at_end):
                m.d.sync += [count.eq(0), swallow.eq(~fill & ~self.tlast)]
        with m.If(accept & swallow & self.tlast):
            m.d.sync += swallow.eq(0)
        return at_end

    def _groups(
        self, m: Module, load: Signal, free: Signal, is_last: Value
    ) -> tuple[Signal, Signal]:
        """Cut slots into groups; returns when one moves on, and the number of its colour."""
        feed = self.feed
        n_planes = feed.spec.shape[0]
        full = Signal()
        step = Signal()
        plane = Signal(range(max(2, n_planes)))
        done = Signal()
        if feed.groups_per_slot > 1:
            left = Signal(range(feed.groups_per_slot))
            with m.If(step):
                m.d.sync += left.eq(left - 1)
            with m.If(load):
                m.d.sync += left.eq(Mux(is_last, feed.groups_of_last - 1, feed.groups_per_slot - 1))
            m.d.comb += done.eq(step & equals(left, 0))
        else:
            m.d.comb += done.eq(step)
        m.d.comb += free.eq(~full | done)
        with m.If(load):
            m.d.sync += full.eq(1)
        with m.Elif(done):
            m.d.sync += full.eq(0)
        shows = equals(plane, n_planes - 1) if n_planes > 1 else C(1, 1)
        m.d.comb += [
            self.out_valid.eq(full & shows),
            step.eq(full & (self.out_ready | ~shows)),
        ]
        if n_planes > 1:
            place = Signal(max(1, (feed.plane_groups - 1).bit_length()))
            with m.If(step):
                m.d.sync += place.eq(place + 1)
                with m.If(equals(place, feed.plane_groups - 1)):
                    m.d.sync += [place.eq(0), plane.eq(plane + 1)]
                    with m.If(shows):
                        m.d.sync += plane.eq(0)
        return step, plane

    def _bits(self, m: Module, load: Signal, step: Signal, plane: Signal) -> None:
        feed = self.feed
        thresholds = sorted({threshold for _, threshold in feed.spec.bits})
        held = self._encoded(m, load, step, thresholds)
        slots = self._slots(m, held, thresholds, plane)
        planes, data = [slots], slots
        for number in range(1, feed.spec.shape[0]):
            ahead, delays = place_delay(
                m, self.prefix, f"plane_{number}", data, feed.plane_groups, step
            )
            self.delays += delays
            planes.append(ahead)
            data = ahead
        rank: dict[int, int] = {}
        bits: list[tuple[int, int]] = []
        for channel, _ in feed.spec.bits:
            bits.append((channel, rank.get(channel, 0)))
            rank[channel] = rank.get(channel, 0) + 1
        n_slots = feed.n_thresholds
        last = feed.spec.shape[0] - 1
        m.d.comb += self.out_data.eq(
            Cat(
                *(
                    planes[last - channel][lane * n_slots + place]
                    for lane in range(feed.lanes)
                    for channel, place in bits
                )
            )
        )

    def _encoded(
        self, m: Module, load: Signal, step: Signal, thresholds: list[int]
    ) -> dict[tuple[int, int], Value]:
        """(lane, threshold) to the bit of the group that flows out next."""
        feed = self.feed
        data: Value = self.tdata
        width = 8 * feed.spec.bytes_per_feature
        if feed.beats_per_slot == 2:
            low = Signal(8, reset_less=True)
            with m.If(self.tvalid & self.tready):
                m.d.sync += low.eq(self.tdata)
            data = Cat(low, self.tdata)
        held: dict[tuple[int, int], Value] = {}
        for threshold in thresholds:
            above = Signal(feed.beat_pixels, name=f"above_{threshold}")
            for pixel in range(feed.beat_pixels):
                value = data.word_select(pixel, width)
                m.d.comb += above[pixel].eq(value > C(threshold, width))
            kept = Signal(feed.beat_pixels, name=f"kept_{threshold}", reset_less=True)
            if feed.groups_per_slot > 1:
                with m.If(step):
                    m.d.sync += kept.eq(kept[feed.lanes :])
            with m.If(load):
                m.d.sync += kept.eq(above)
            for lane in range(feed.lanes):
                held[lane, threshold] = kept[lane]
        return held

    def _slots(
        self,
        m: Module,
        held: dict[tuple[int, int], Value],
        thresholds: list[int],
        plane: Signal,
    ) -> Value:
        """The kept bits of a group, each the colour's own: lane by lane, threshold by threshold."""
        feed = self.feed
        of_channel: dict[int, list[int]] = {}
        for channel, threshold in feed.spec.bits:
            of_channel.setdefault(channel, []).append(threshold)
        slots = Signal(max(1, feed.lanes * feed.n_thresholds))
        for lane in range(feed.lanes):
            for place in range(feed.n_thresholds):
                wanted = {
                    channel: own[place] for channel, own in of_channel.items() if place < len(own)
                }
                if len(set(wanted.values())) == 1:
                    bit: Value = held[lane, next(iter(wanted.values()))]
                else:
                    bit = Cat(
                        *(
                            held[lane, threshold] & equals(plane, channel)
                            for channel, threshold in wanted.items()
                        )
                    ).any()
                m.d.comb += slots[lane * feed.n_thresholds + place].eq(bit)
        return slots


class Verdicts(Elaboratable):
    """A queue of `depth` frames whose last slot came in: each good, or to be dropped.

    A verdict stands in a register of its own before it enters the queue, so `room` leaves one over.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.push = Signal()
        self.good_in = Signal()
        self.room = Signal()
        self.pop = Signal()
        self.ready = Signal()
        self.good = Signal()

    def elaborate(self, platform: object) -> Module:
        """Build the queue; Amaranth calls this."""
        m = Module()
        queue = Signal(self.depth)
        count = Signal(range(self.depth + 1))
        push = Signal(name="push_reg")
        good_in = Signal(name="good_reg", reset_less=True)
        m.d.sync += [push.eq(self.push), good_in.eq(self.good_in)]
        m.d.comb += [
            self.room.eq(count < self.depth - 1),
            self.ready.eq(count.any()),
            self.good.eq(queue[0]),
        ]
        after = Signal(len(count))
        m.d.comb += after.eq(count - self.pop)
        m.d.sync += count.eq(after + push)
        with m.If(self.pop):
            m.d.sync += queue.eq(queue[1:])
        for place in range(self.depth):
            with m.If(push & equals(after, place)):
                m.d.sync += queue[place].eq(good_in)
        return m
