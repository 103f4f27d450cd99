"""Delays of a fixed number of ticks: memories where they are large, shift registers where small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value

from gate2hw.rtl.stream_spec import is_memory

__all__ = ["Delay", "delay_module", "memory_styles", "place_delay"]

BLOCK_WORDS: Final = 256
"""Words of a block RAM at its full width (iCE40: 4 Kbit of 16 bits)."""

# The read address is never the written one, so a synthesis tool need not care what such a read
# gives; contents are not reset and are never used before they were written.
_MEMORY: Final = """\
// {module}: q is d of {length} ticks ago (ce high), in a memory of {length} words.
module {module} (
  input wire clk,
  input wire rst,
  input wire ce,
  input wire [{top}:0] d,
  output reg [{top}:0] q
);
  {attributes} reg [{top}:0] mem [0:{last}];
  reg [{high}:0] place;
  wire [{high}:0] after = (place == {bits}'d{last}) ? {bits}'d0 : place + {bits}'d1;
  always @(posedge clk)
    if (rst) place <= {bits}'d0;
    else if (ce) place <= after;
  always @(posedge clk) if (ce) mem[place] <= d;
  always @(posedge clk) if (ce) q <= mem[after];
endmodule
"""

_SHIFT: Final = """\
// {module}: q is d of {length} ticks ago (ce high), in flip-flops.
module {module} (
  input wire clk,
  input wire rst,
  input wire ce,
  input wire [{top}:0] d,
  output wire [{top}:0] q
);
  wire unused = rst;
  reg [{top}:0] {stages};
  assign q = r{length};
  always @(posedge clk)
    if (ce) begin
{moves}    end
endmodule
"""


@dataclass(frozen=True, order=True)
class Delay:
    """A memory of `length` words of `width` bits as module `module`."""

    module: str
    width: int
    length: int


def delay_module(delay: Delay, style: str = "auto") -> str:
    """The Verilog of a delay: a memory (``"auto"``: the synthesis tool picks which kind;
    ``"block"``: a block RAM), or ``"shift"``: flip-flops."""
    top, length = delay.width - 1, delay.length
    if style == "shift":
        places = range(1, length + 1)
        moves = "".join(f"      r{k} <= {f'r{k - 1}' if k > 1 else 'd'};\n" for k in places)
        stages = ", ".join(f"r{k}" for k in places)
        return _SHIFT.format(
            module=delay.module, length=length, top=top, stages=stages, moves=moves
        )
    block = ', ram_style = "block"' if style == "block" else ""
    bits = (length - 1).bit_length()
    return _MEMORY.format(
        module=delay.module,
        length=length,
        top=top,
        last=length - 1,
        high=bits - 1,
        bits=bits,
        attributes=f"(* no_rw_check{block} *)",
    )


def _blocks(delay: Delay, block_width: int) -> int:
    """Block RAMs that `delay` takes: of `block_width` bits and `BLOCK_WORDS` words, or half as wide
    and twice as deep, down to two bits."""
    counts, width, words = [], block_width, BLOCK_WORDS
    while width >= 2:
        counts.append(-(-delay.width // width) * -(-delay.length // words))
        width, words = width // 2, 2 * words
    return min(counts)


def memory_styles(delays: Sequence[Delay], n_blocks: int, block_width: int) -> dict[str, str]:
    """Module to style where only block RAMs of `block_width` bits serve, `n_blocks` of them: the
    largest delays first, the others as shift registers. What `delays` names twice is there twice.
    """
    styles = {}
    n_of = Counter(delays)
    for delay in sorted(n_of, key=lambda delay: (-delay.width * delay.length, delay)):
        needs = n_of[delay] * _blocks(delay, block_width)
        fits = needs <= n_blocks
        styles[delay.module] = "block" if fits else "shift"
        n_blocks -= needs if fits else 0
    return styles


def place_delay(
    m: Module, prefix: str, name: str, data: Value, length: int, ce: Value
) -> tuple[Value, list[Delay]]:
    """`data` as it was `length` ticks (cycles with `ce` high) ago; and the memory used, if any.

    `prefix` is the design's name, `name` the submodule's within `m`.
    """
    if length == 0:
        return data, []
    width = len(data)
    if is_memory(width, length):
        delay = Delay(f"{prefix}_delay_{width}x{length}", width, length)
        q = Signal(width, name=f"{name}_q")
        d = Signal(width, name=f"{name}_d")
        m.d.comb += d.eq(data)
        m.submodules[name] = Instance(
            delay.module, i_clk=ClockSignal(), i_rst=ResetSignal(), i_ce=ce, i_d=d, o_q=q
        )
        return q, [delay]
    for age in range(length):
        later = Signal(width, name=f"{name}_{age + 1}", reset_less=True)
        with m.If(ce):
            m.d.sync += later.eq(data)
        data = later
    return data, []
