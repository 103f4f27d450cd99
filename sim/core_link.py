"""Drives and watches a core: bits in, class and scores out, in lock step with `ce`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.job import Manifest
from sim.logic import as_bits
from sim.pins import HALF_PERIOD, Pin, cycle

__all__ = ["CoreLink", "CoreTrace"]

_MOST_VIOLATIONS = 20


@dataclass
class CoreTrace:
    """`results`: (class, scores) as bit strings, in order; `ended`: their cycles; `valid_at`: those
    of `ce`."""

    results: list[tuple[str, str]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    valid_at: list[int] = field(default_factory=list)
    sent_at: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    n_violations: int = 0
    n_cycles: int = 0

    def violate(self, cycle_number: int, text: str) -> None:
        """Note a broken rule."""
        self.n_violations += 1
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(f"cycle {cycle_number}: {text}")


class CoreLink:
    """The ports of a core; `clk`, `rst` and `ce` exist where the manifest's latency is not 0."""

    def __init__(self, dut: Any, manifest: Manifest) -> None:
        self.dut = dut
        self.has_scores = manifest.has_scores
        self.latency = manifest.core_latency_cycles
        self.in_valid, self.bits = Pin(dut.in_valid), Pin(dut.bits)
        if self.latency:
            self.clk, self.rst, self.ce = Pin(dut.clk), Pin(dut.rst), Pin(dut.ce)

    def _result(self) -> tuple[str, str]:
        scores = as_bits(self.dut.scores) if self.has_scores else ""
        return as_bits(self.dut.class_index), scores

    async def settle(self, bits: Sequence[int]) -> CoreTrace:
        """A combinational core: one vector each step; `out_valid` must follow `in_valid`."""
        trace = CoreTrace()
        out_valid = self.dut.out_valid
        for number, value in enumerate(bits):
            for valid in (1, 0) if number % 16 == 0 else (1,):
                self.bits.set(value)
                self.in_valid.set(valid)
                await HALF_PERIOD
                if as_bits(out_valid) != str(valid):
                    trace.violate(number, f"in_valid {valid}, out_valid {as_bits(out_valid)}")
                if valid:
                    trace.results.append(self._result())
                    trace.ended.append(number)
        trace.n_cycles = len(bits)
        return trace

    async def reset(self) -> None:
        """Two edges with `rst` high, `ce` high."""
        self.clk.set(0)
        self.in_valid.set(0)
        self.bits.set(0)
        self.ce.set(1)
        self.rst.set(1)
        for _ in range(2):
            await HALF_PERIOD
            await cycle(self.clk)
        self.rst.set(0)

    async def run(
        self,
        bits: Sequence[int],
        *,
        offer: Callable[[int], bool],
        enable: Callable[[int], bool],
        n_after: int,
    ) -> CoreTrace:
        """Send all vectors, then run `n_after` more enabled cycles.

        The monitor asks that `out_valid` is `in_valid` of `latency` enabled cycles ago, and that
        nothing moves while `ce` is low. Bits that are not taken are those of another vector.
        """
        trace = CoreTrace()
        out_valid = self.dut.out_valid
        n_bits, number, after, step, now = len(bits), 0, 0, 0, 0
        line = [0] * self.latency
        frozen: tuple[str, tuple[str, str]] | None = None
        while after <= n_after:
            sending = int(number < n_bits and offer(now))
            go = int(enable(now))
            taken = sending and go
            other = bits[(number * 7 + 3) % n_bits] if n_bits else 0
            self.bits.set(bits[number] if taken else other)
            self.in_valid.set(sending)
            self.ce.set(go)
            await HALF_PERIOD
            valid = as_bits(out_valid)
            expected = line[step % self.latency]
            if valid != str(expected):
                trace.violate(now, f"out_valid is {valid}, expected {expected}")
            result = self._result() if valid == "1" else ("", "")
            if frozen is not None and frozen != (valid, result):
                trace.violate(now, f"outputs moved from {frozen} to {(valid, result)}, ce was low")
            frozen = None if go else (valid, result)
            if go:
                if valid == "1":
                    trace.results.append(result)
                    trace.ended.append(now)
                    trace.valid_at.append(step)
                line[step % self.latency] = sending
                if taken:
                    trace.sent_at.append(step)
                    number += 1
                if number == n_bits:
                    after += 1
                step += 1
            await cycle(self.clk)
            now += 1
        trace.n_cycles = now
        return trace
