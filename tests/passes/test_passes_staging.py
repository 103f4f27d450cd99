"""Stages: legal, balanced, with the fewest registers that there can be, and the same function."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.counters import counter
from gate2hw.ir.lut_cells import staged, write_cells
from gate2hw.ir.lutnetlist import LutNetlist, table_mask
from gate2hw.ir.luttext import parse_lutnetlist
from gate2hw.ir.netlist import Head
from gate2hw.ir.simulate import pack, simulate, unpack
from gate2hw.passes.staging import (
    RegisterCount,
    count_registers,
    slots_for,
    stage_depths,
    staging,
)


def random_luts(seed: int, *, n_inputs: int = 4, n_luts: int = 6, k: int = 3) -> LutNetlist:
    """Random LUTs; outputs of all kinds, some read both ways."""
    rng = np.random.default_rng(seed)
    lines = [f"lutnetlist inputs={n_inputs} k={k}"]
    for node in range(1 + n_inputs, 1 + n_inputs + n_luts):
        size = int(rng.integers(1, k + 1))
        operands = rng.integers(0 if rng.random() < 0.1 else 1, node, size).tolist()
        init = int(rng.integers(0, 2**16)) & int(table_mask(size))
        lines.append(f"{node} = LUT{size} {init:#x} {' '.join(map(str, operands))}")
    nodes = rng.integers(1, 1 + n_inputs + n_luts, 3)
    for node in (0, int(nodes[0]), *nodes.tolist()):
        lines.append(f"output {'~' * int(rng.integers(0, 2))}{node}")
    return parse_lutnetlist("\n".join(lines))


def pipeline(
    net: LutNetlist, n_ranks: int, x: np.ndarray, early: tuple[int, int] | None = None
) -> np.ndarray:
    """Outputs of the pipeline clock by clock, every register a variable: (T, I) to (T, O) bool.

    A reader takes a signal from the register of its own stage, nothing from the netlist's
    simulator. The edge `early` (LUT, slot) lacks a register.
    """
    stage = [0] * net.first_gate + net.stage.tolist()
    state = [[0] * (n_ranks + 1) for _ in range(net.n_nodes)]  # [node][registers behind it]
    shown = []
    for row in x.astype(int).tolist():
        now = [list(line) for line in state]
        for node in range(net.n_nodes):
            if 1 <= node < net.first_gate:
                now[node][0] = row[node - 1]
            elif node >= net.first_gate:
                gate = node - net.first_gate
                address = 0
                for slot, operand in enumerate(net.fanin[gate].tolist()):
                    if operand > 0:
                        delay = stage[node] - stage[operand] - ((gate, slot) == early)
                        address = 2 * address + now[operand][delay]
                    elif operand == 0:
                        address *= 2
                now[node][0] = int(net.init[gate]) >> address & 1
        literals = net.outputs.tolist()
        shown.append(
            [
                (now[lit >> 1][n_ranks - stage[lit >> 1]] if lit > 1 else 0) ^ (lit & 1)
                for lit in literals
            ]
        )
        state = [[0, *line[:-1]] for line in now]
    return np.array(shown, bool)


def least(net: LutNetlist, n_ranks: int, slots: int) -> tuple[int, int]:
    """The fewest bits and, apart, the least ``bits + 16 * cells`` of all legal stages."""
    counts = []
    reader, slot = np.nonzero(net.fanin >= net.first_gate)
    source = net.fanin[reader, slot] - net.first_gate
    for stage in itertools.product(range(n_ranks + 1), repeat=net.n_luts):
        column = np.array(stage, np.int16)
        if (column[source] > column[reader]).any():
            continue
        choice = net.with_(stage=column)
        if stage_depths(choice).max(initial=0) <= slots:
            counts.append(count_registers(choice, n_ranks))
    return min(c.bits for c in counts), min(c.bits + 16 * c.cells for c in counts)


@pytest.mark.parametrize("seed", range(40))
def test_no_choice_of_stages_has_fewer_registers(seed: int) -> None:
    net = random_luts(seed)
    for n_ranks in (1, 2):
        slots = slots_for(net, n_ranks) + seed % 2
        found = staging(net, n_ranks, slots=slots)
        found.verify()
        assert stage_depths(found).max(initial=0) <= slots
        best_bits, best_weight = least(net, n_ranks, slots)
        assert count_registers(found, n_ranks).bits == best_bits
        count = count_registers(staging(net, n_ranks, slots=slots, for_cells=True), n_ranks)
        assert count.bits + 16 * count.cells == best_weight


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("for_cells", [False, True])
def test_the_pipeline_computes_the_same_cycles_later(seed: int, for_cells: bool) -> None:
    net = random_luts(seed, n_inputs=6, n_luts=25, k=4)
    x = np.random.default_rng(seed).integers(0, 2, (30, 6)).astype(bool)
    expected = unpack(simulate(net, pack(x)), len(x))
    for n_ranks in (1, 3):
        found = staging(net, n_ranks, for_cells=for_cells)
        assert stage_depths(found).max(initial=0) <= slots_for(net, n_ranks)
        shown = pipeline(found, n_ranks, x)
        assert np.array_equal(shown[n_ranks:], expected[: len(x) - n_ranks])


def test_a_register_too_few_on_one_edge_is_seen() -> None:
    net = random_luts(2, n_inputs=6, n_luts=25, k=4)
    nodes = np.arange(net.first_gate, net.n_nodes)
    net = net.with_(outputs=2 * nodes, head=Head.none(len(nodes)))
    found = staging(net, 2)
    x = np.random.default_rng(2).integers(0, 2, (60, 6)).astype(bool)
    right = pipeline(found, 2, x)
    stage = np.concatenate([np.zeros(net.first_gate, np.int64), found.stage])
    crossing = found.stage[:, None] - stage[np.maximum(found.fanin, 0)]
    edges = np.argwhere((found.fanin > 0) & (crossing > 0)).tolist()
    assert len(edges) > 3
    seen = [not np.array_equal(pipeline(found, 2, x, (gate, s)), right) for gate, s in edges]
    # a LUT may not depend on a slot
    assert sum(seen) > len(edges) // 2


@pytest.mark.parametrize("seed", range(10))
def test_the_counts_are_those_of_the_cells(seed: int) -> None:
    net = random_luts(seed, n_inputs=6, n_luts=40, k=4)
    for n_ranks in (0, 1, 4):
        for found in (staging(net, n_ranks), staged(net, n_ranks)):
            file = io.StringIO()
            count = write_cells(file, found, name="m", family="ice40", n_ranks=n_ranks)
            assert count_registers(found, n_ranks).bits == count.registers
            assert count_registers(found, n_ranks).cells == alone(file.getvalue())


def alone(text: str) -> int:
    """Flip-flops that cannot share a cell with a LUT: what they store is read by others too, or
    is no LUT's output."""
    lines = text.splitlines()
    drives = [line for line in lines if "SB_LUT4" in line]
    luts = {line.split(".O(")[1].split(")")[0] for line in drives}
    flops = [line for line in lines if "SB_DFFE" in line]
    reads: dict[str, int] = {}
    for line in lines:
        if "SB_LUT4" in line or "SB_DFFE" in line or line.startswith("  assign"):
            read = line.split(".O(")[-1].split("), ", 1)[-1] if "SB_LUT4" in line else line
            for word in read.replace("(", " ").replace(")", " ").replace(";", " ").split():
                reads[word] = reads.get(word, 0) + 1
    data = [line.split(".D(")[1].split(")")[0] for line in flops]
    return sum(not (wire in luts and reads[wire] == 1) for wire in data)


@pytest.mark.parametrize("n_bits", [20, 50, 101])
def test_popcounts_need_no_more_than_levels_dealt_out(n_bits: int) -> None:
    net = counter((1,) * n_bits, 0, n_bits.bit_length(), "luts_shallow").to_luts()
    for n_ranks in range(1, net.depth):
        plain = count_registers(staged(net, n_ranks), n_ranks)
        assert count_registers(staging(net, n_ranks), n_ranks).bits <= plain.bits
        assert count_registers(staging(net, n_ranks, for_cells=True), n_ranks).cells <= plain.cells


def test_a_reconvergence_is_registered_where_it_is_narrow() -> None:
    text = """\
lutnetlist inputs=4 k=4
5 = LUT4 0x8000 1 2 3 4
6 = LUT1 0x1 5
7 = LUT2 0x8 6 5
output 7
"""
    net = parse_lutnetlist(text)
    found = staging(net, 1)
    assert found.stage.tolist() == [0, 1, 1]
    assert count_registers(found, 1) == RegisterCount(1, 0)
    assert staging(net, 0) is net
    assert staging(found, 0).stage.tolist() == [0, 0, 0]


def test_ranks_that_cannot_be_are_refused() -> None:
    net = random_luts(1)
    for n_ranks, slots in ((-1, None), (1, slots_for(net, 1) - 1)):
        with pytest.raises(InputError, match="cannot hold the depth"):
            staging(net, n_ranks, slots=slots)


def test_more_ranks_than_levels() -> None:
    net = random_luts(3)
    found = staging(net, net.depth + 3)
    found.verify()
    assert stage_depths(found).max() == 1
