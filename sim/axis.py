"""AXI4-Stream source, sink and protocol monitor of the top bench: one loop for each clock cycle.

The monitor looks at every rising edge out of reset: a valid once high stays, with its payload,
until it is taken; control outputs and valid payloads are never X or Z (where the simulator has
them). Cycle numbers count rising edges; what is sampled in a cycle is what its edge sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sim.logic import as_bits, is_known
from sim.pins import HALF_PERIOD, Pin, cycle

__all__ = ["AxisLink", "Sink", "Source", "Trace", "always", "at_random", "never"]

Source: TypeAlias = Callable[[int], bool]
"""Cycle to: offer the next beat now? A beat once offered stays offered until it is taken."""

Sink: TypeAlias = Callable[[int, int, bool], bool]
"""(cycle, cycles since a beat last went in, result waiting at the last edge) to: ready?"""

_NOISE = 2654435761
"""Knuth's multiplier: the upper bits of its multiples look random."""
_MOST_VIOLATIONS = 20
_MOST_SURPLUS = 8
_MOST_PARTIAL = 4096


def always(*_: Any) -> bool:
    """No stalls."""
    return True


def never(*_: Any) -> bool:
    """Blocked."""
    return False


def at_random(rng: np.random.Generator, share: float) -> Callable[..., bool]:
    """Ready or valid in `share` of the cycles, in runs of both lengths; repeats after 8191."""
    smooth = rng.random(8191) < share
    bursts = np.repeat(rng.random(1 + 8191 // 8) < share, 8)[:8191]
    pattern = np.where(np.repeat(rng.random(1 + 8191 // 64) < 0.5, 64)[:8191], smooth, bursts)
    ready = pattern.tolist()

    def at(number: int, *_: Any) -> bool:
        return bool(ready[number % 8191])

    return at


@dataclass
class Trace:
    """What one run saw; every number is a cycle.

    `taken` (one a beat that went in), `results` one list of data a result frame, `ended` its last
    beat, `first_valid` one a result frame: when its first beat was first offered, `errors` one a
    cycle in which frame_error was high, `partial` the beats of a result frame left unfinished.
    """

    taken: list[int] = field(default_factory=list)
    results: list[list[str]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    first_valid: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    n_violations: int = 0
    timed_out: bool = False
    n_cycles: int = 0

    def violate(self, cycle_number: int, text: str) -> None:
        """Note a broken rule."""
        self.n_violations += 1
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(f"cycle {cycle_number}: {text}")


class AxisLink:
    """Both streams of a top, its reset and frame_error; the cycle count runs on over all runs."""

    def __init__(self, dut: Any) -> None:
        self.clk, self.rst = Pin(dut.clk), Pin(dut.rst)
        self.in_data, self.in_valid = Pin(dut.s_axis_tdata), Pin(dut.s_axis_tvalid)
        self.in_last, self.out_ready = Pin(dut.s_axis_tlast), Pin(dut.m_axis_tready)
        self.dut = dut
        self.now = 0

    async def reset(self, n_cycles: int = 2) -> list[str]:
        """Hold `rst` for `n_cycles` edges, streams idle; return what is wrong after the first."""
        self.rst.set(1)
        self.clk.set(0)
        self.in_valid.set(0)
        self.in_data.set(0)
        self.in_last.set(0)
        self.out_ready.set(0)
        wrong = []
        for number in range(n_cycles):
            await HALF_PERIOD
            if number:
                for name in ("m_axis_tvalid", "frame_error"):
                    if as_bits(getattr(self.dut, name)) != "0":
                        wrong.append(f"cycle {self.now}: {name} is not 0 in reset")
            await cycle(self.clk)
            self.now += 1
        self.rst.set(0)
        return wrong

    async def run(
        self,
        data: Sequence[int],
        last: Sequence[bool],
        *,
        source: Source = always,
        sink: Sink = always,
        n_results: int,
        n_quiet: int,
        n_extra: int | None = None,
    ) -> Trace:
        """Send all beats, take `n_results` results, then watch `n_extra` more cycles.

        Gives up (``timed_out``) after `n_quiet` cycles in which no beat went in or out while
        some still should, and where the output never ends. `n_extra` is `n_quiet` unless given.
        """
        trace = Trace()
        dut, clk, set_ready = self.dut, self.clk, self.out_ready.set
        tready, tvalid = dut.s_axis_tready, dut.m_axis_tvalid
        tdata, tlast, frame_error = dut.m_axis_tdata, dut.m_axis_tlast, dut.frame_error
        n_beats, number, offered = len(data), 0, False
        held: tuple[str, str] | None = None
        fresh, valid = True, False
        since_in = since_any = extra = 0
        n_extra = n_quiet if n_extra is None else n_extra
        start = now = self.now
        while True:
            if not offered and number < n_beats and source(now):
                offered = True
                self.in_data.set(data[number])
                self.in_last.set(int(last[number]))
            elif not offered:
                # the payload means nothing without tvalid
                noise = now * _NOISE >> 16
                self.in_data.set(noise & 0xFF)
                self.in_last.set(noise >> 8 & 1)
            self.in_valid.set(int(offered))
            ready = sink(now, since_in, valid)
            set_ready(int(ready))
            await HALF_PERIOD
            in_ready, out_valid, error = as_bits(tready), as_bits(tvalid), as_bits(frame_error)
            if not (is_known(in_ready) and is_known(out_valid) and is_known(error)):
                trace.violate(now, f"tready {in_ready}, tvalid {out_valid}, frame_error {error}")
            if error == "1":
                trace.errors.append(now)
            since_in += 1
            since_any += 1
            if offered and in_ready == "1":
                trace.taken.append(now)
                number, offered, since_in, since_any = number + 1, False, 0, 0
            valid = out_valid == "1"
            if valid:
                beat = (as_bits(tdata), as_bits(tlast))
                if fresh:
                    trace.first_valid.append(now)
                    fresh = False
                if held is not None and held != beat:
                    trace.violate(now, f"payload changed from {held} to {beat} before it was taken")
                if not is_known(beat[1]):
                    trace.violate(now, f"tlast is {beat[1]} while tvalid is high")
                held = beat
                if ready:
                    held, since_any = None, 0
                    trace.partial.append(beat[0])
                    if beat[1] == "1":
                        trace.results.append(trace.partial)
                        trace.ended.append(now)
                        trace.partial, fresh = [], True
            elif held is not None:
                trace.violate(now, "tvalid fell before the beat was taken")
                held, fresh = None, not trace.partial
            await cycle(clk)
            now += 1
            if number == n_beats and len(trace.results) >= n_results:
                extra += 1
                if extra > n_extra:
                    break
            elif since_any > n_quiet:
                trace.timed_out = True
                break
            if len(trace.results) > n_results + _MOST_SURPLUS or len(trace.partial) > _MOST_PARTIAL:
                trace.violate(now, "results without end")
                trace.timed_out = True
                break
        self.in_valid.set(0)
        self.now = now
        trace.n_cycles = now - start
        return trace
