"""LUT cells: what the text says, by a reader of its own, is what the LUT netlist computes."""

import io
import re

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.lut_cells import CELL_KINDS, staged, write_cells
from gate2hw.ir.lutnetlist import LutNetlist, table_mask
from gate2hw.ir.luttext import parse_lutnetlist
from gate2hw.ir.simulate import pack, simulate, unpack

FAMILIES = sorted(CELL_KINDS)


def random_luts(seed: int, *, n_inputs: int = 7, n_luts: int = 30, k: int = 4) -> LutNetlist:
    """Random LUTs, some reading the constant or one signal twice; outputs of all kinds."""
    rng = np.random.default_rng(seed)
    lines = [f"lutnetlist inputs={n_inputs} k={k}"]
    stage = [0] * (1 + n_inputs)
    for node in range(1 + n_inputs, 1 + n_inputs + n_luts):
        size = int(rng.integers(1, k + 1))
        operands = rng.integers(0, node, size).tolist()
        init = int(rng.integers(0, 2**16)) & int(table_mask(size))
        stage.append(max(stage[o] for o in operands) + int(rng.integers(0, 8) == 0))
        lines.append(
            f"{node} = LUT{size} {init:#x} {' '.join(map(str, operands))} stage={stage[-1]}"
        )
    for node in (0, 0, *rng.integers(1, 1 + n_inputs + n_luts, 20).tolist()):
        lines.append(f"output {'~' * int(rng.integers(0, 2))}{node}")
    return parse_lutnetlist("\n".join(lines).replace(" stage=0", ""))


def text_of(net, family="ice40", **options):
    file = io.StringIO()
    count = write_cells(file, net, name="cloud", family=family, **options)
    return file.getvalue(), count


class Cells:
    """The module read back line by line: cells by the wire that they drive."""

    def __init__(self, text, family):
        kind = CELL_KINDS[family]
        self.luts, self.flops, self.inputs, self.outputs = {}, {}, {}, {}
        self.declared = []
        for line in text.splitlines():
            if match := re.fullmatch(r"  wire (\w+)(?: = x\[(\d+)\])?;", line):
                self.declared.append(match[1])
                if match[2] is not None:
                    self.inputs[match[1]] = int(match[2])
            elif match := re.fullmatch(r"  assign y\[(\d+)\] = (.*);", line):
                self.outputs[int(match[1])] = match[2]
            elif match := re.fullmatch(r"  (\w+) #\(\.(\w+)\(16'h(\w{4})\)\) \w+ \((.*)\);", line):
                ports = dict(re.findall(r"\.(\w+)\(([^)]*)\)", match[4]))
                assert (match[1], match[2]) == (kind.lut, kind.init)
                assert set(ports) == {*kind.pins, kind.out}
                self.luts[ports[kind.out]] = (int(match[3], 16), [ports[p] for p in kind.pins])
            elif line.startswith(("  SB_DFFE ", "  TRELLIS_FF ")):
                ports = dict(re.findall(r"\.(C|CLK|E|CE|D|DI|Q)\((\w+)\)", line))
                assert {ports.get("C"), ports.get("CLK")} == {"clk", None}
                assert {ports.get("E"), ports.get("CE")} == {"ce", None}
                self.flops[ports["Q"]] = ports.get("D", ports.get("DI"))
        assert len(set(self.declared)) == len(self.declared)
        assert {*self.luts, *self.flops, *self.inputs} == set(self.declared)
        self.memo = {}

    def value(self, wire, x):
        """(value, clock cycles behind x or None for a constant) of a wire, registers as delays."""
        if wire in ("1'b0", "1'b1"):
            return int(wire[-1]), None
        if wire in self.inputs:
            return x[self.inputs[wire]], 0
        if wire in self.flops:
            value, delay = self.value(self.flops[wire], x)
            return value, None if delay is None else delay + 1
        if wire not in self.memo:
            table, pins = self.luts[wire]
            found = [self.value(pin, x) for pin in pins]
            delays = {delay for _, delay in found if delay is not None}
            assert len(delays) <= 1, f"{wire} mixes clock cycles"
            address = sum(value << i for i, (value, _) in enumerate(found))
            self.memo[wire] = table >> address & 1, delays.pop() if delays else None
        return self.memo[wire]

    def evaluate(self, x):
        self.memo = {}
        return [self.value(self.outputs[o], x) for o in range(len(self.outputs))]


def differences(net, text, family, n_ranks=0, inputs=None):
    """Number of output values, over 40 random inputs, that are not those of `net`."""
    cells = Cells(text, family)
    used = net.used_inputs() if inputs is None else inputs
    bits = np.random.default_rng(5).integers(0, 2, (40, net.n_inputs)).astype(bool)
    expected = unpack(simulate(net, pack(bits)), len(bits))
    bad = 0
    for row, values in zip(bits, expected, strict=True):
        found = cells.evaluate(row[used].astype(int).tolist())
        assert all(delay in (None, n_ranks) for _, delay in found)
        bad += sum(value != int(want) for (value, _), want in zip(found, values, strict=True))
    return bad


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(8))
def test_cells_compute_the_netlist(seed, family):
    net = random_luts(seed)
    plain = net.with_(stage=np.zeros(net.n_luts))
    text, count = text_of(plain, family)
    assert differences(plain, text, family) == 0
    assert text.count(f"  {CELL_KINDS[family].lut} #") == count.luts
    assert count.luts == net.n_luts + count.complements
    assert count.registers == 0
    assert "clk" not in text


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("extra", [0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_registers_keep_clock_cycles_together(seed, extra, family):
    net = random_luts(seed)
    n_ranks = int(net.stage.max()) + extra
    text, count = text_of(net, family, n_ranks=n_ranks)
    assert n_ranks
    assert differences(net, text, family, n_ranks) == 0
    assert len(Cells(text, family).flops) == count.registers > 0


def test_the_reader_sees_planted_faults():
    net = random_luts(1).with_(stage=np.zeros(30))
    text, _ = text_of(net)
    first = text.index("SB_LUT4", text.index(f"l{net.outputs[5] >> 1}") - 60)
    init = re.compile(r"16'h(\w{4})").search(text, first)
    flipped = text[: init.start(1)] + f"{int(init[1], 16) ^ 0xFFFF:04x}" + text[init.end(1) :]
    assert differences(net, flipped, "ice40")
    swapped = re.sub(r"\.I0\((n\d+)\), \.I1\((n\d+)\)", r".I0(\2), .I1(\1)", text)
    assert swapped != text
    assert differences(net, swapped, "ice40")


ABSORBED = """\
lutnetlist inputs=2 k=4
3 = LUT2 0x8 1 2
4 = LUT2 0x8 3 1
output ~3
output ~3
output 4
"""


def test_a_complement_that_outputs_alone_want_costs_nothing():
    net = parse_lutnetlist(ABSORBED)
    text, count = text_of(net)
    assert (count.luts, count.complements) == (2, 0)
    assert "assign y[1] = n3_n;" in text
    assert differences(net, text, "ice40") == 0


@pytest.mark.parametrize(
    ("ends", "complements"),
    [
        ("output ~3\noutput 3", 1),
        ("output ~1\noutput ~1\noutput ~2", 2),
        ("output ~0\noutput 0", 0),
    ],
)
def test_other_complements_are_luts_of_their_own(ends, complements):
    net = parse_lutnetlist(f"lutnetlist inputs=2 k=4\n3 = LUT2 0x8 1 2\noutput 3\n{ends}\n")
    text, count = text_of(net)
    assert (count.luts, count.complements) == (1 + complements, complements)
    assert differences(net, text, "ice40") == 0
    cells = Cells(text, "ice40")
    assert all(
        f"{wire.removesuffix('_n')}" not in cells.luts[wire][1] or wire[1] in "12"
        for wire in cells.luts
    )


def test_ports_may_hold_more_inputs_than_are_read():
    net = parse_lutnetlist("lutnetlist inputs=5 k=4\n6 = LUT2 0x6 2 4\noutput 6\n")
    inputs = np.array([0, 1, 3])
    text, _ = text_of(net, inputs=inputs)
    assert "input wire [2:0] x" in text
    assert differences(net, text, "ice40", inputs=inputs) == 0
    with pytest.raises(InputError, match="input 3 is read by a LUT"):
        text_of(net, inputs=np.array([0, 1]))


def test_nothing_but_ports():
    text, count = text_of(parse_lutnetlist("lutnetlist inputs=1 k=4\n"))
    assert count.luts == 0
    assert "assign y[0] = 1'b0;" in text


def test_what_does_not_fit_is_refused():
    wide = random_luts(0, k=5)
    with pytest.raises(InputError, match="a LUT reads 5 signals"):
        text_of(wide)
    late = random_luts(1)
    with pytest.raises(InputError, match="pipeline stage"):
        text_of(late, n_ranks=int(late.stage.max()) - 1)


def test_same_netlist_same_text():
    assert text_of(random_luts(3), n_ranks=9) == text_of(random_luts(3), n_ranks=9)


def test_levels_are_dealt_out_over_the_ranks():
    net = random_luts(2, n_luts=60).with_(stage=np.zeros(60))
    assert staged(net, 0) is net
    cut = staged(net, 2)
    cut.verify()
    assert set(cut.stage.tolist()) == {0, 1, 2}
    assert staged(cut, 3) is cut
    text, _ = text_of(cut, n_ranks=2)
    assert differences(net, text, "ice40", 2) == 0
