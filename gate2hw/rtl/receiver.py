"""Input side of the stream: frame control, thermometer encoder on arrival, and bit storage."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Elaboratable, Module, ResetSignal, Signal, Value

from gate2hw.rtl.layout import FrameLayout

__all__ = ["Receiver"]


def _equals(value: Value, number: int) -> Value:
    """``value == number``; zero by an or, as Verilator warns of the logical not it would become."""
    return value == C(number, len(value)) if number else ~value.any()


class Receiver(Elaboratable):
    """Takes frames from ``tdata``/``tvalid``/``tready``/``tlast``; offers ``bits`` with ``full``.

    `bits` hold a whole frame while `full` is high and `advance` low; a high `advance` takes them,
    and the next frame may come in at once. A frame whose ``tlast`` comes early is dropped, one
    that goes on is swallowed up to its ``tlast``; both pulse `frame_error` once, in the cycle
    after the beat that showed it.
    """

    def __init__(self, layout: FrameLayout, storage: str) -> None:
        self.layout = layout
        self.storage = storage
        self.tdata = Signal(8 * layout.bus_bytes)
        self.tvalid = Signal()
        self.tready = Signal()
        self.tlast = Signal()
        self.frame_error = Signal()
        self.bits = Signal(max(1, len(layout.bits)))
        self.full = Signal()
        self.advance = Signal()

    def elaborate(self, platform: object) -> Module:
        """Build control, comparators and storage; Amaranth calls this."""
        m = Module()
        accept = Signal()
        m.d.comb += [
            self.tready.eq(~ResetSignal(allow_reset_less=True) & (~self.full | self.advance)),
            accept.eq(self.tvalid & self.tready),
        ]
        count = self._control(m, accept)
        encoded = self._encode(m, accept)
        if self.storage == "shift":
            stored = self._shift(m, self._slot_done(m, accept, count), encoded)
        else:
            stored = self._enable(m, self._slot_done(m, accept, count), count, encoded)
        if stored:
            m.d.comb += self.bits.eq(Cat(*stored))
        return m

    def _control(self, m: Module, accept: Signal) -> Signal:
        """Count beats, tell good frames from bad; returns the number of the coming beat."""
        n_beats = self.layout.frame_beats
        count = Signal(max(1, (n_beats - 1).bit_length()))
        swallow = Signal()
        at_end = Signal()
        wrong = Signal()
        m.d.comb += [at_end.eq(_equals(count, n_beats - 1)), wrong.eq(self.tlast ^ at_end)]
        m.d.sync += self.frame_error.eq(accept & ~swallow & wrong)
        with m.If(self.advance):
            m.d.sync += self.full.eq(0)
        with m.If(accept):
            with m.If(swallow):
                m.d.sync += swallow.eq(~self.tlast)
            with m.Elif(self.tlast | at_end):
                m.d.sync += [count.eq(0), swallow.eq(~self.tlast), self.full.eq(~wrong)]
            with m.Else():
                m.d.sync += count.eq(count + 1)
        return count

    def _slot_done(self, m: Module, accept: Signal, count: Signal) -> Value:
        """High where the beat taken completes the features of a slot."""
        return accept & count[0] if self.layout.beats_per_slot == 2 else accept

    def _encode(self, m: Module, accept: Signal) -> dict[tuple[int, int], Signal]:
        """One comparator for each (group, threshold) that a stored bit needs."""
        data: Value = self.tdata
        if self.layout.beats_per_slot == 2:
            low_byte = Signal(8, reset_less=True)
            with m.If(accept):
                m.d.sync += low_byte.eq(self.tdata)
            data = Cat(low_byte, self.tdata)
        width = 8 * self.layout.bytes_per_feature
        encoded: dict[tuple[int, int], Signal] = {}
        for group, threshold in sorted({(b.group, b.threshold) for b in self.layout.bits}):
            bit = Signal(name=f"above_{group}_{threshold}")
            m.d.comb += bit.eq(data.word_select(group, width) > C(threshold, width))
            encoded[group, threshold] = bit
        return encoded

    def _shift(
        self, m: Module, slot_done: Value, encoded: dict[tuple[int, int], Signal]
    ) -> list[Value]:
        """A chain for each (group, threshold), just long enough for its earliest used slot."""
        n_slots = self.layout.n_slots
        chains: dict[tuple[int, int], Signal] = {}
        for key, bit in encoded.items():
            first = min(b.slot for b in self.layout.bits if (b.group, b.threshold) == key)
            chain = Signal(n_slots - first, name=f"chain_{key[0]}_{key[1]}", reset_less=True)
            with m.If(slot_done):
                m.d.sync += chain.eq(Cat(bit, chain))
            chains[key] = chain
        return [chains[b.group, b.threshold][n_slots - 1 - b.slot] for b in self.layout.bits]

    def _enable(
        self,
        m: Module,
        slot_done: Value,
        count: Signal,
        encoded: dict[tuple[int, int], Signal],
    ) -> list[Value]:
        """A flip-flop for each bit, enabled in its slot; the slot number is decoded in halves."""
        slot = count[1:] if self.layout.beats_per_slot == 2 else count
        half = len(slot) // 2
        low, high = slot[:half], slot[half:]
        low_is: dict[int, Value] = {}
        high_is: dict[int, Value] = {}
        enabled: dict[int, Signal] = {}
        registers: dict[tuple[int, int, int], Signal] = {}
        for number in sorted({bit.slot for bit in self.layout.bits}):
            i, j = number % (1 << half), number >> half
            if i not in low_is:
                low_is[i] = Signal(name=f"low_is_{i}")
                m.d.comb += low_is[i].eq(_equals(low, i))
            if j not in high_is:
                high_is[j] = Signal(name=f"high_is_{j}")
                m.d.comb += high_is[j].eq(_equals(high, j) & slot_done)
            enabled[number] = Signal(name=f"slot_{number}")
            m.d.comb += enabled[number].eq(low_is[i] & high_is[j])
        for bit in sorted(set(self.layout.bits)):
            key = (bit.group, bit.threshold, bit.slot)
            registers[key] = Signal(name="bit_{}_{}_{}".format(*key), reset_less=True)
            with m.If(enabled[bit.slot]):
                m.d.sync += registers[key].eq(encoded[bit.group, bit.threshold])
        return [registers[b.group, b.threshold, b.slot] for b in self.layout.bits]
