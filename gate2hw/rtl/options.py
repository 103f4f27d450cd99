"""What the generated hardware looks like: names, ports, pipeline registers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from gate2hw.errors import InputError, nearest
from gate2hw.ir.care import CareSet, check_care
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.verilog_gates import check_gate_registers

__all__ = [
    "BUS_BYTES",
    "MAX_POPCOUNT_REGISTERS",
    "OutputKind",
    "PopcountForm",
    "RtlOptions",
    "StorageForm",
    "check_name",
]

OutputKind = Literal["class", "scores"]
PopcountForm = Literal["adder", "compressor", "gates", "luts"]
StorageForm = Literal["logic", "enable"]

BUS_BYTES: Final = (1, 2, 4, 8)
MAX_POPCOUNT_REGISTERS: Final = 64
"""More than the levels of any popcount that fits a port; ranks beyond its levels only delay."""

_CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "output": get_args(OutputKind),
        "popcount": get_args(PopcountForm),
        "storage": get_args(StorageForm),
    }
)

# IEEE 1364-2005, annex B, and the words that SystemVerilog (IEEE 1800-2017) adds.
_KEYWORD_TEXT: Final = """
always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign
default defparam design disable edge else end endcase endconfig endfunction endgenerate
endmodule endprimitive endspecify endtable endtask event for force forever fork function
generate genvar highz0 highz1 if ifnone incdir include initial inout input instance integer
join large liblist library localparam macromodule medium module nand negedge nmos nor
noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1
pulldown pullup pulsestyle_onevent pulsestyle_ondetect rcmos real realtime reg release repeat
rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify specparam
strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand
trior trireg unsigned use uwire vectored wait wand weak0 weak1 while wire wor xnor xor
accept_on alias always_comb always_ff always_latch assert assume before bind bins binsof bit
break byte chandle checker class clocking const constraint context continue cover covergroup
coverpoint cross dist do endchecker endclass endclocking endgroup endinterface endpackage
endprogram endproperty endsequence enum eventually expect export extends extern final
first_match foreach forkjoin global iff ignore_bins illegal_bins implements implies import
inside int interconnect interface intersect join_any join_none let local logic longint matches
modport nettype new nexttime null package packed priority program property protected pure rand
randc randcase randsequence ref reject_on restrict return s_always s_eventually s_nexttime
s_until s_until_with sequence shortint shortreal soft solve static string strong struct super
sync_accept_on sync_reject_on tagged this throughout timeprecision timeunit type typedef union
unique unique0 until until_with untyped var virtual void wait_order weak wildcard with within
"""
_KEYWORDS: Final = frozenset(_KEYWORD_TEXT.split())


def check_name(name: str) -> str:
    """Return `name` if it can start every module's name; InputError if not."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", name):
        raise InputError(
            f"name {name!r} is no Verilog identifier; give letters, digits and underscores, "
            "starting with a letter"
        )
    if name in _KEYWORDS:
        raise InputError(f"name {name!r} is a keyword of Verilog; give another name")
    return name


@dataclass(frozen=True)
class RtlOptions:
    """How a netlist becomes Verilog.

    `name` prefixes every module. `output` says what the result holds: the class, or the class and
    all scores. `bus_bytes` (1, 2, 4 or 8) is the width of both streams. `popcount` is the form of
    the score adders; ``luts`` leaves them to modules of LUT cells, which `emit_popcounts` writes.
    Registers, one clock cycle of latency each: `gate_registers` after these levels of gates,
    `register_gates` after the gate outputs, `popcount_registers` ranks within the popcounts,
    `register_scores` after them, `register_argmax` between the levels of the argmax tree (a cycle
    for each level but the last), `register_compare` within them, between a comparison and the
    choice (a cycle for each level), `register_class` after it. `storage` is how an input bit that
    arrives is stored: by ``logic`` that fills the cell of its flip-flop, or by the flip-flop's own
    ``enable``; both are equal to the clock. `care` says what the netlist was
    optimised for: all input codes (``none``), or only those that the encoder makes
    (``thermometer``).
    """

    name: str = "lgn"
    output: OutputKind = "class"
    bus_bytes: int = 1
    popcount: PopcountForm = "compressor"
    gate_registers: tuple[int, ...] = ()
    register_gates: bool = True
    register_scores: bool = True
    register_argmax: bool = True
    register_class: bool = False
    popcount_registers: int = 0
    register_compare: bool = False
    care: CareSet = "none"
    storage: StorageForm = "logic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate_registers", tuple(self.gate_registers))
        check_name(self.name)
        check_care(self.care)
        for field, allowed in _CHOICES.items():
            value = getattr(self, field)
            if value not in allowed:
                raise InputError(f"{field} is {value!r}; {nearest(str(value), allowed)}")
        if self.bus_bytes not in BUS_BYTES:
            raise InputError(
                f"bus_bytes is {self.bus_bytes}; allowed: {', '.join(map(str, BUS_BYTES))}"
            )
        if not 0 <= self.popcount_registers <= MAX_POPCOUNT_REGISTERS:
            raise InputError(
                f"popcount_registers is {self.popcount_registers}; give 0 to "
                f"{MAX_POPCOUNT_REGISTERS}"
            )

    def check(self, net: Netlist) -> None:
        """Raise InputError where the options do not fit `net`."""
        check_gate_registers(net, self.gate_registers)
