"""The text form of a LutNetlist: that of `text.py`, with LUTs for gates.

    lutnetlist inputs=3 k=4
    4 = LUT2 0x8 1 2
    5 = LUT3 0x96 4 3 1 @0 stage=1
    output ~5

``LUT3 0x96 a b c``: three inputs, the table in hexadecimal, input a the most significant address
bit. ``stage`` is 0 unless said.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.lutnetlist import MAX_LUT_INPUTS, LutNetlist
from gate2hw.ir.text import CircuitParser, print_ends, print_starts

__all__ = ["parse_lutnetlist", "print_lutnetlist"]


def print_lutnetlist(net: LutNetlist) -> str:
    """Return `net` as text; `parse_lutnetlist` gives the same netlist back."""
    lines = list(print_starts(net, f"lutnetlist inputs={net.n_inputs} k={net.k}"))
    columns = zip(
        net.init.tolist(),
        net.fanin.tolist(),
        net.origin.tolist(),
        net.stage.tolist(),
        strict=True,
    )
    for node, (init, fanin, origin, stage) in enumerate(columns, start=net.first_gate):
        operands = [str(operand) for operand in fanin if operand >= 0]
        line = f"{node} = LUT{len(operands)} {init:#x} {' '.join(operands)}"
        line += f" @{origin}" if origin >= 0 else ""
        lines.append(line + (f" stage={stage}" if stage else ""))
    return "\n".join([*lines, *print_ends(net)]) + "\n"


_LUT = re.compile(r"(\d+) = LUT(\d) 0x([0-9a-f]{1,16})((?: \d+)+)(?: @(\d+))?(?: stage=(-?\d+))?")


class _LutParser(CircuitParser):
    header = re.compile(
        r'lutnetlist inputs=(\d+) k=([1-6])(?: digest=([^\s"]\S*|("(?:[^"\\]|\\.)*")))?', re.ASCII
    )

    def __init__(self) -> None:
        super().__init__()
        self.k = 0
        self.init: list[int] = []
        self.fanin: list[list[int]] = []
        self.stage: list[int] = []

    def _header(self, n_inputs: str, *rest: str | None) -> None:
        k, digest, quoted = rest
        self.k = int(k or MAX_LUT_INPUTS)
        super()._header(n_inputs, digest, quoted)

    def _gate(self, text: str) -> None:
        match = _LUT.fullmatch(text)
        if match is None:
            raise IRError(f"malformed LUT {text!r}; expected 'NODE = LUTn 0xTABLE NODE ...'")
        node, size, table, operands, origin, stage = match.groups()
        fanin = [int(operand) for operand in operands.split()]
        if len(fanin) != int(size) or len(fanin) > self.k:
            raise IRError(f"LUT{size} (at most LUT{self.k}) has {len(fanin)} inputs")
        if int(table, 16) >> (1 << len(fanin)):
            raise IRError(f"table 0x{table} of LUT{size} has more than {1 << len(fanin)} bits")
        if not 0 <= int(stage or 0) < 2**15:
            raise IRError(f"stage {stage} is outside 0..{2**15 - 1}")
        self._new_gate(node, fanin, origin)
        self.init.append(int(table, 16))
        self.fanin.append(fanin + [-1] * (self.k - len(fanin)))
        self.stage.append(int(stage or 0))


def _levelled(net: LutNetlist) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """ASAP level_ptr of LUTs in topological order, and the order that sorts them by level."""
    level = [0] * net.n_nodes
    for lut, fanin in enumerate(net.fanin.tolist()):
        level[net.first_gate + lut] = 1 + max(level[operand] for operand in fanin if operand >= 0)
    levels = np.array(level[net.first_gate :], np.int32)
    sizes = np.bincount(levels, minlength=1)[1:]
    ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return ptr, np.argsort(levels, kind="stable").astype(np.int32)


def parse_lutnetlist(text: str) -> LutNetlist:
    """Return the verified LUT netlist that `text` describes; IRError names the line at fault.

    LUTs may stand in any topological order; they are renumbered level by level.
    """
    parser = _LutParser()
    parser.read(text)
    columns = {
        "init": np.array(parser.init, np.uint64),
        "fanin": np.array(parser.fanin, np.int32).reshape(-1, parser.k),
        "stage": np.array(parser.stage, np.int16),
        **parser.shared(),
    }
    ptr, order = _levelled(LutNetlist(level_ptr=np.zeros(1, np.int64), **columns))
    first_gate = 1 + parser.n_inputs
    new_node = np.arange(first_gate + len(order), dtype=np.int32)
    new_node[first_gate + order] = np.arange(len(order), dtype=np.int32) + first_gate
    fanin = columns["fanin"]
    columns["fanin"] = np.where(fanin < 0, -1, new_node[fanin])[order]
    columns["outputs"] = 2 * new_node[columns["outputs"] >> 1].astype(np.int64) + (
        columns["outputs"] & 1
    )
    for name in ("init", "stage", "origin"):
        columns[name] = columns[name][order]
    net = LutNetlist(level_ptr=ptr, **columns)
    net.verify()
    return net
