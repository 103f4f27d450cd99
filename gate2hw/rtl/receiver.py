"""Input side of the stream: frame control, thermometer encoder on arrival, and bit storage."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Elaboratable, Module, Mux, ResetSignal, Signal, Value

from gate2hw.rtl.layout import FrameLayout
from gate2hw.rtl.options import StorageForm

__all__ = ["RECEIVER_LATENCY", "Receiver"]

RECEIVER_LATENCY = 2
"""Clock cycles from the last beat of a frame to its stored bits."""


def _equals(value: Value, number: int) -> Value:
    """``value == number``; zero by an or, as Verilator warns of the logical not it would become."""
    return value == C(number, len(value)) if number else ~value.any()


class Receiver(Elaboratable):
    """Takes frames from ``tdata``/``tvalid``/``tready``/``tlast``; offers ``bits`` with ``full``.

    `bits` hold a whole frame while `full` is high, until the core takes them; then the next frame
    may come in at once. `advance_next` says a cycle ahead whether the core will take what it is
    offered, so that the enable of all stored bits comes from a flip-flop. A frame whose ``tlast``
    comes early is dropped, one that goes on is swallowed up to its ``tlast``; both pulse
    `frame_error` once, in the cycle after the beat that showed it. A rank of registers stands
    between the encoder and the storage: `full` rises `RECEIVER_LATENCY` cycles after the last beat
    was taken. `storage` says how (`RtlOptions`), and changes nothing of this.
    """

    def __init__(self, layout: FrameLayout, *, storage: StorageForm = "logic") -> None:
        self.layout = layout
        self.storage = storage
        self.tdata = Signal(8 * layout.bus_bytes)
        self.tvalid = Signal()
        self.tready = Signal()
        self.tlast = Signal()
        self.frame_error = Signal()
        self.bits = Signal(max(1, len(layout.bits)))
        self.full = Signal()
        self.advance_next = Signal()

    def elaborate(self, platform: object) -> Module:
        """Build control, comparators and storage; Amaranth calls this."""
        m = Module()
        move = Signal(init=1)
        accept = Signal()
        m.d.comb += [
            self.tready.eq(~ResetSignal(allow_reset_less=True) & move),
            accept.eq(self.tvalid & self.tready),
        ]
        count = self._control(m, accept, move)
        encoded = self._encode(m, accept)
        stored = self._store(m, move, self._slot_done(m, accept, count), count, encoded)
        if stored:
            m.d.comb += self.bits.eq(Cat(*stored))
        return m

    def _later(self, m: Module, move: Value, value: Value, name: str) -> Value:
        """`value`, behind the rank of registers between encoder and storage."""
        register = Signal(len(value), name=f"{name}_reg", reset_less=True)
        with m.If(move):
            m.d.sync += register.eq(value)
        return register

    def _control(self, m: Module, accept: Signal, move: Signal) -> Signal:
        """Count beats, tell good frames from bad; returns the number of the coming beat."""
        n_beats = self.layout.frame_beats
        count = Signal(max(1, (n_beats - 1).bit_length()))
        swallow = Signal()
        at_end = Signal()
        wrong = Signal()
        done = Signal()
        m.d.comb += [
            at_end.eq(_equals(count, n_beats - 1)),
            wrong.eq(self.tlast ^ at_end),
            done.eq(accept & ~swallow & self.tlast & at_end),
        ]
        m.d.sync += self.frame_error.eq(accept & ~swallow & wrong)
        with m.If(accept):
            with m.If(swallow):
                m.d.sync += swallow.eq(~self.tlast)
            with m.Elif(self.tlast | at_end):
                m.d.sync += [count.eq(0), swallow.eq(~self.tlast)]
            with m.Else():
                m.d.sync += count.eq(count + 1)
        done_later = Signal(name="done_reg")
        full_next = Signal()
        m.d.comb += full_next.eq(Mux(move, done_later, self.full))
        with m.If(move):
            m.d.sync += done_later.eq(done)
        m.d.sync += [self.full.eq(full_next), move.eq(~full_next | self.advance_next)]
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

    def _store(
        self,
        m: Module,
        move: Value,
        slot_done: Value,
        count: Signal,
        encoded: dict[tuple[int, int], Signal],
    ) -> list[Value]:
        """A flip-flop for each bit, written in its slot; the slot number is decoded in halves.

        As ``logic`` the write is an and-or of bit, old value and the two halves, which is one cell
        of four inputs and a flip-flop: where these share a cell (iCE40), the LUT is free. As
        ``enable`` it is a LUT for each slot, and the flip-flops leave theirs to others (ECP5).
        """
        slot = count[1:] if self.layout.beats_per_slot == 2 else count
        half = len(slot) // 2
        low, high = slot[:half], slot[half:]
        numbers = {bit.slot for bit in self.layout.bits}
        low_is: dict[int, Signal] = {}
        for i in sorted({number % (1 << half) for number in numbers}):
            low_is[i] = Signal(name=f"low_is_{i}")
            m.d.comb += low_is[i].eq(self._later(m, move, _equals(low, i), f"low_is_{i}"))
        high_is: dict[int, Signal] = {}
        for j in sorted({number >> half for number in numbers}):
            high_is[j] = Signal(name=f"high_is_{j}")
            now = _equals(high, j) & slot_done
            m.d.comb += high_is[j].eq(self._later(m, move, now, f"high_is_{j}") & move)
        bits = {key: self._later(m, move, bit, bit.name) for key, bit in encoded.items()}
        writes: dict[int, Signal] = {}
        if self.storage == "enable":
            for slot_number in sorted(numbers):
                writes[slot_number] = Signal(name=f"write_{slot_number}")
                now = low_is[slot_number % (1 << half)] & high_is[slot_number >> half]
                m.d.comb += writes[slot_number].eq(now)
        registers: dict[tuple[int, int, int], Signal] = {}
        for bit in sorted(set(self.layout.bits)):
            key = (bit.group, bit.threshold, bit.slot)
            registers[key] = register = Signal(name="bit_{}_{}_{}".format(*key), reset_less=True)
            value = bits[bit.group, bit.threshold]
            if self.storage == "enable":
                with m.If(writes[bit.slot]):
                    m.d.sync += register.eq(value)
                continue
            low_now, high_now = low_is[bit.slot % (1 << half)], high_is[bit.slot >> half]
            inner = (value & low_now) | (register & ~low_now)
            m.d.sync += register.eq((inner & high_now) | (register & ~high_now))
        return [registers[b.group, b.threshold, b.slot] for b in self.layout.bits]
