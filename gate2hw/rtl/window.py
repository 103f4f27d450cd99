"""Window stage: line buffers, shift registers of taps, and one tree of gates for each lane."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Const, Elaboratable, Instance, Module, Signal, Value

from gate2hw.rtl.linebuffer import Delay, place_delay
from gate2hw.rtl.stream_spec import WindowGeometry, WindowSpec

__all__ = ["StreamPorts", "Window", "equals"]


def equals(value: Value, number: int) -> Value:
    """``value == number``; zero by an or, as Verilator warns of the logical not it would become."""
    return value == C(number, len(value)) if number else ~value.any()


class StreamPorts:
    """Ports of a stage: ``in_valid``, ``in_ready``, ``in_data`` and the same with ``out_``.

    Data hold one group: channel c of lane l is bit ``l * channels + c``. A group moves on where
    valid and ready are high; valid does not wait for ready. Ready does not wait for valid either,
    and a stage is ready only if the one below is, valid or not: so a ready of the whole chain is
    an and of flags, with few levels of logic, and what a stage adds for its padding holds up all
    stages before it.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        self.in_valid = Signal()
        self.in_ready = Signal()
        self.in_data = Signal(max(1, n_in))
        self.out_valid = Signal()
        self.out_ready = Signal()
        self.out_data = Signal(max(1, n_out))
        self.delays: list[Delay] = []


def at_most(m: Module, value: Signal, bounds: tuple[int, int], name: str) -> Value:
    """Whether `value` lies within `bounds`, without comparisons that are always true."""
    low, high = bounds
    inside = Signal(name=name)
    terms: list[Value] = []
    if low > 0:
        terms.append(value >= C(low, len(value)))
    if high < (1 << len(value)) - 1:
        terms.append(value <= C(high, len(value)))
    m.d.comb += inside.eq(Cat(*terms).all() if terms else C(1, 1))
    return inside


class Window(StreamPorts, Elaboratable):
    """The stage of `spec`; module ``{prefix}_{spec.name}_gates`` holds its trees.

    What flows out is the gates' outputs as they are: a register stands before the gates, none
    behind.
    """

    def __init__(self, prefix: str, spec: WindowSpec, geometry: WindowGeometry) -> None:
        super().__init__(spec.n_channels * geometry.lanes, spec.n_outputs * geometry.out_lanes)
        self.prefix = prefix
        self.spec = spec
        self.geometry = geometry

    def elaborate(self, platform: object) -> Module:
        """Build scan, lines, windows and gates; Amaranth calls this."""
        m = Module()
        go = Signal()
        emit = Signal()
        take, starts, last_group = self._scan(m, go, emit)
        waits = take | starts
        m.d.comb += [
            self.in_ready.eq(self.out_ready & (take | (starts & ~self.in_valid))),
            go.eq(self.out_ready & (~waits | self.in_valid)),
        ]
        with m.If(self.out_ready):
            m.d.sync += self.out_valid.eq(go & emit)
        chains = self._windows(m, go, self._entering(m, take, last_group))
        self._gates(m, chains)
        return m

    def _scan(self, m: Module, go: Signal, emit: Signal) -> tuple[Value, Value, Value]:
        """Counters; returns whether input is taken here, whether a frame begins here with zeros,
        and whether the group is a row's last.

        Where a frame begins with zeros the tick waits for its input, which is let come and kept.
        """
        geo = self.geometry
        start_row, start_group = geo.start
        row = Signal(max(1, (geo.n_rows - 1).bit_length()), init=start_row)
        group = Signal(max(1, (geo.n_groups - 1).bit_length()), init=start_group)
        row_phase = self._phase(geo.first_row, geo.row_step, start_row, "row_phase")
        group_phase = self._phase(geo.first_group, geo.group_step, start_group, "group_phase")
        at_end = Signal()
        at_bottom = Signal()
        m.d.comb += [
            at_end.eq(equals(group, geo.n_groups - 1)),
            at_bottom.eq(equals(row, geo.n_rows - 1)),
        ]
        with m.If(go):
            m.d.sync += group.eq(group + 1)
            self._step(m, group_phase, geo.group_step)
            with m.If(at_end):
                m.d.sync += [group.eq(0), row.eq(row + 1)]
                self._restart(m, group_phase, geo.first_group, geo.group_step)
                self._step(m, row_phase, geo.row_step)
                with m.If(at_bottom):
                    m.d.sync += row.eq(0)
                    self._restart(m, row_phase, geo.first_row, geo.row_step)
        rows = (geo.first_row, geo.first_row + (geo.out_rows - 1) * geo.row_step)
        groups = (geo.first_group, geo.first_group + (geo.out_groups - 1) * geo.group_step)
        wanted = [
            at_most(m, row, rows, "row_given"),
            at_most(m, group, groups, "group_given"),
            *(equals(phase, 0) for phase in (row_phase, group_phase) if phase is not None),
        ]
        if geo.is_cold:
            cold = Signal(init=1)
            with m.If(go & at_end & at_bottom):
                m.d.sync += cold.eq(0)
            wanted.append(~cold)
        m.d.comb += emit.eq(Cat(*wanted).all())
        take: Value = C(1, 1)
        if geo.is_padded:
            size, lead = geo.size, (geo.lead_rows, geo.lead_groups)
            take = at_most(m, row, (lead[0], lead[0] + size[0] - 1), "row_taken") & at_most(
                m, group, (lead[1], lead[1] + size[1] - 1), "group_taken"
            )
        starts: Value = C(0, 1)
        if not geo.takes(0, 0):
            starts = equals(row, 0) & equals(group, 0)
        return take, starts, equals(group, geo.lead_groups + geo.size[1] - 1)

    @staticmethod
    def _phase(first: int, step: int, at: int, name: str) -> Signal | None:
        if step == 1:
            return None
        return Signal(range(step), name=name, init=(at - first) % step)

    @staticmethod
    def _step(m: Module, phase: Signal | None, step: int) -> None:
        if phase is not None:
            with m.If(equals(phase, step - 1)):
                m.d.sync += phase.eq(0)
            with m.Else():
                m.d.sync += phase.eq(phase + 1)

    @staticmethod
    def _restart(m: Module, phase: Signal | None, first: int, step: int) -> None:
        if phase is not None:
            m.d.sync += phase.eq(-first % step)

    def _entering(self, m: Module, take: Value, last_group: Value) -> dict[tuple[int, int], Value]:
        """(channel, lane) to the bit that comes in, 0 where the scan is outside the map."""
        spec, geo = self.spec, self.geometry
        inside = Signal(geo.lanes)
        over = spec.input_size[1] % geo.lanes
        for lane in range(geo.lanes):
            is_over = bool(over) and lane >= over
            m.d.comb += inside[lane].eq(take & ~last_group if is_over else take)
        is_masked = geo.is_padded or bool(over)
        return {
            (channel, lane): self.in_data[lane * spec.n_channels + channel] & inside[lane]
            if is_masked
            else self.in_data[lane * spec.n_channels + channel]
            for channel in range(spec.n_channels)
            for lane in range(geo.lanes)
        }

    def _windows(
        self, m: Module, go: Signal, entering: dict[tuple[int, int], Value]
    ) -> dict[tuple[int, int, int], Signal]:
        """(channel, line, lane) to its chain of registers, the newest column lowest."""
        chains = {
            key: Signal(length, name="tap_{}_{}_{}".format(*key), reset_less=True)
            for key, length in self.geometry.chains(self.spec).items()
        }
        old = [key for key in chains if key[1] > 0]
        source: dict[tuple[int, int, int], Value] = {}
        if old:
            data = Cat(*(chains[channel, line - 1, lane][0] for channel, line, lane in old))
            length = self.geometry.n_groups - 1
            later, self.delays = place_delay(m, self.prefix, "lines", data, length, go)
            source = {key: later[place] for place, key in enumerate(old)}
        for key, chain in chains.items():
            channel, line, lane = key
            new = source[key] if line else entering[channel, lane]
            with m.If(go):
                m.d.sync += chain.eq(Cat(new, chain))
        return chains

    def _gates(self, m: Module, chains: dict[tuple[int, int, int], Signal]) -> None:
        spec = self.spec
        used = spec.net.used_inputs().tolist()
        for out in range(self.geometry.out_lanes):
            bits: list[Value] = []
            for number in used:
                channel, line, lane, ticks = self.geometry.tap(spec, number, out)
                bits.append(chains[channel, line, lane][ticks])
            x = Signal(max(1, len(bits)), name=f"x_{out}")
            m.d.comb += x.eq(Cat(*bits) if bits else Const(0, 1))
            y = self.out_data[out * spec.n_outputs : (out + 1) * spec.n_outputs]
            ports: dict[str, Any] = {"i_x": x, "o_y": y}
            m.submodules[f"gates_{out}"] = Instance(f"{self.prefix}_{spec.name}_gates", **ports)
