"""Lines of gates, written in blocks, are those that a format string gives one by one."""

from __future__ import annotations

import io

import numpy as np
import pytest

from gate2hw.ir import verilog_gates
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import EXPRESSIONS
from gate2hw.ir.verilog_lines import gate_lines


def plain_name(node, delay):
    return f"n{node}_r{delay}" if delay else f"n{node}"


def plain_line(node, tt, names):
    text = EXPRESSIONS[tt]
    if text in ("0", "1"):
        text = f"1'b{text}"
    else:
        text = "".join({"a": names[0], "b": names[1]}.get(letter, letter) for letter in text)
    return f"  wire n{node} = {text};\n"


@pytest.mark.parametrize("n_delays", [0, 1, 12])
def test_every_function(n_delays):
    rng = np.random.default_rng(n_delays)
    tt = np.tile(np.arange(16, dtype=np.uint8), 20)
    first = 99_990
    operands = [rng.integers(0, 10 ** rng.integers(1, 6, len(tt))).astype(np.int32) for _ in "ab"]
    delays = [rng.integers(0, n_delays + 1, len(tt)) for _ in "ab"]
    expected = [
        plain_line(first + g, tt[g], [plain_name(operands[s][g], delays[s][g]) for s in (0, 1)])
        for g in range(len(tt))
    ]
    assert gate_lines(first, tt, operands, delays).splitlines(keepends=True) == expected
    if not n_delays:
        assert gate_lines(first, tt, operands, None) == "".join(expected)
    # each function alone: no column for an operand that it does not read
    for g in range(16):
        part = slice(g, g + 1)
        alone = gate_lines(
            first + g, tt[part], [x[part] for x in operands], [d[part] for d in delays]
        )
        assert alone == expected[g]


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    first, n_gates = 9, 300
    high = np.arange(first, first + n_gates)
    in0, in1 = (rng.integers(np.maximum(0, high - 30), high).astype(np.int32) for _ in "ab")
    tt = rng.integers(0, 16, n_gates).astype(np.uint8)
    net = from_columns(first - 1, tt, in0, in1, rng.integers(0, 2 * high[-1], 40))

    def text(levels):
        file = io.StringIO()
        verilog_gates.write_gates(file, net, name="m", gate_registers=levels)
        return file.getvalue()

    choices_of_levels = [(), (0,), (1, 3), tuple(range(net.depth + 1))]
    expected = [text(levels) for levels in choices_of_levels]
    monkeypatch.setattr(verilog_gates, "_LINES_PER_WRITE", 7)
    assert [text(levels) for levels in choices_of_levels] == expected
