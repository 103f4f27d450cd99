"""cocotb bench of a core: every bit of class and scores, latency, `in_valid` gaps, `ce` stalls."""

from __future__ import annotations

from typing import Any

from sim.axis import always, at_random
from sim.bench import Bench
from sim.core_link import CoreLink, CoreTrace
from sim.scoreboard import core_answer
from sim.vectors import bits_as_ints

BENCH = Bench("core")


def _bits(bench: Bench, numbers: list[int]) -> list[int]:
    return bits_as_ints(bench.job.net, bench.vectors.x[numbers], bench.job.manifest.used_inputs)


def _judge(bench: Bench, test: str, numbers: list[int], trace: CoreTrace) -> dict[str, Any]:
    manifest = bench.job.manifest
    for text in trace.violations:
        bench.record.fault(f"{test}, {text}", 0)
    bench.record.content["n_violations"] += trace.n_violations
    answers = [core_answer(manifest, *result) for result in trace.results]
    bad = bench.record.compare(test, numbers, answers, trace.ended)
    return {"n_vectors": len(numbers), "mismatches": bad, "n_cycles": trace.n_cycles}


@BENCH.test
async def latency(dut: Any, bench: Bench) -> dict[str, Any]:
    """A single vector: enabled cycles from `in_valid` to `out_valid`, against the manifest."""
    link = CoreLink(dut, bench.job.manifest)
    numbers = bench.pick(1, bench.rng(1))
    if not link.latency:
        trace = await link.settle(_bits(bench, numbers))
        bench.record.measured("latency_cycles", None if trace.n_violations else 0)
        return _judge(bench, "latency", numbers, trace)
    await link.reset()
    trace = await link.run(
        _bits(bench, numbers), offer=always, enable=always, n_after=2 * link.latency + 8
    )
    cycles = trace.valid_at[0] - trace.sent_at[0] if trace.valid_at else None
    bench.record.measured("latency_cycles", cycles)
    return _judge(bench, "latency", numbers, trace)


@BENCH.test
async def all_vectors(dut: Any, bench: Bench) -> dict[str, Any]:
    """All vectors, one each cycle (a combinational core: one each step)."""
    link = CoreLink(dut, bench.job.manifest)
    numbers = bench.pick(None, bench.rng(2))
    bits = _bits(bench, numbers)
    if not link.latency:
        trace = await link.settle(bits)
    else:
        await link.reset()
        trace = await link.run(bits, offer=always, enable=always, n_after=link.latency + 2)
    return _judge(bench, "all_vectors", numbers, trace)


@BENCH.test
async def gaps_and_stalls(dut: Any, bench: Bench) -> dict[str, Any]:
    """Random gaps of `in_valid` and random stalls by `ce`: nothing lost, moved or doubled."""
    link = CoreLink(dut, bench.job.manifest)
    if not link.latency:
        return {"skipped": "a combinational core has no pipeline to stall"}
    rng = bench.rng(3)
    numbers = bench.pick(bench.job.frames["stalls"], rng)
    await link.reset()
    trace = await link.run(
        _bits(bench, numbers),
        offer=at_random(rng, 0.6),
        enable=at_random(rng, 0.6),
        n_after=link.latency + 2,
    )
    return _judge(bench, "gaps_and_stalls", numbers, trace)


@BENCH.test
async def reset_in_flight(dut: Any, bench: Bench) -> dict[str, Any]:
    """`rst` with vectors in the pipeline: none of them comes out, the next ones do."""
    link = CoreLink(dut, bench.job.manifest)
    if not link.latency:
        return {"skipped": "a combinational core has nothing to reset"}
    rng = bench.rng(4)
    kept: list[int] = []
    total = CoreTrace()
    for _ in range(bench.job.frames["reset"] or 0):
        dropped = bench.pick(link.latency, rng)
        await link.reset()
        # n_after = 0 stops as soon as the last vector is in; the pipeline is then full.
        early = await link.run(_bits(bench, dropped), offer=always, enable=always, n_after=0)
        await link.reset()
        numbers = bench.pick(2, rng)
        trace = await link.run(
            _bits(bench, numbers), offer=always, enable=always, n_after=link.latency + 2
        )
        kept += numbers
        for part in (early, trace):
            total.violations += part.violations
            total.n_violations += part.n_violations
            total.n_cycles += part.n_cycles
        total.results += trace.results
        total.ended += trace.ended
    return _judge(bench, "reset_in_flight", kept, total)
