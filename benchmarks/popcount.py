"""What does a popcounted bit cost: in gates and LUTs by construction, in cells on each FPGA family?

    python benchmarks/popcount.py [--quick] [--json FILE]

First the constructions alone: tables of each form for one class of `bits` bits, per bit, and
tables in a row. Then designs: `classes` popcounts of `bits` bits between registers, fed from a
shift register through one pin; synthesised, placed and routed as a user's design is. `luts` and
`carries` are Yosys's counts, `cells` nextpnr's, all less those of the same design without
popcounts. Forms `cells` are counters of LUTs (`ir.counters`) as instances of the family's own LUTs,
which Yosys leaves as they are; it maps `compressor` anew.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Instance, Module, Signal
from common import arguments, save, table

from gate2hw.ir.counters import COUNTER_FORMS, CounterForm, counter
from gate2hw.ir.lut_cells import write_cells
from gate2hw.rtl.options import PopcountForm
from gate2hw.rtl.popcount import Popcount
from gate2hw.rtl.verilog import to_verilog
from gate2hw.tools import registry
from gate2hw.tools.nextpnr import place_and_route
from gate2hw.tools.targets import load_target
from gate2hw.tools.yosys import synthesise

TARGETS = ("ice40-hx8k", "ecp5-25k")
FORMS = ("none", "adder", "compressor", "cells", "cells_shallow")
CELL_FORMS: dict[str, CounterForm] = {"cells": "luts", "cells_shallow": "luts_shallow"}
BITS = (20, 50, 100, 150, 200, 250)
SIZES = ((10, 50), (10, 200))
QUICK_SIZES = ((2, 50),)
SEEDS = (1, 2, 3)
CELLS = {"ice40": "ICESTORM_LC", "ecp5": "TRELLIS_COMB"}
TIMEOUT_S = 900.0


class Harness(Elaboratable):
    """Shift register -> popcounts -> registers -> parity, so that three pins are enough."""

    def __init__(self, form: str, n_classes: int, n_bits: int) -> None:
        self.form, self.n_classes, self.n_bits = form, n_classes, n_bits
        self.d, self.q = Signal(), Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = Signal(self.n_classes * self.n_bits, reset_less=True)
        m.d.sync += bits.eq(Cat(self.d, bits))
        parities = []
        for c in range(self.n_classes):
            width = self.n_bits.bit_length()
            own = bits.word_select(c, self.n_bits)
            score = Signal(width, name=f"score_{c}", reset_less=True)
            counted = Signal(width, name=f"counted_{c}")
            m.d.sync += score.eq(counted)
            if self.form == "none":
                m.d.comb += counted.eq(own[:width])
            elif self.form in CELL_FORMS:
                m.submodules[f"popcount_{c}"] = Instance("counter", i_x=own, o_y=counted)
            else:
                form: PopcountForm = "adder" if self.form == "adder" else "compressor"
                m.submodules[f"popcount_{c}"] = popcount = Popcount(
                    (1,) * self.n_bits, 0, width, form
                )
                m.d.comb += [popcount.bits.eq(own), counted.eq(popcount.score)]
            parity = Signal(name=f"parity_{c}", reset_less=True)
            m.d.sync += parity.eq(score.xor())
            parities.append(parity)
        m.d.sync += self.q.eq(Cat(*parities).xor())
        return m


def measure(target_name: str, form: str, n_classes: int, n_bits: int, seeds: int) -> dict[str, Any]:
    """Cells and the median clock over `seeds` placements of one design."""
    target = load_target(target_name)
    harness = Harness(form, n_classes, n_bits)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = work / "harness.v"
        ports = [("d", harness.d), ("q", harness.q)]
        source.write_text(to_verilog(harness, "harness", ports, work_dir=work))
        sources = [source]
        if form in CELL_FORMS:
            sources.append(work / "counter.v")
            plan = counter((1,) * n_bits, 0, n_bits.bit_length(), CELL_FORMS[form])
            with sources[1].open("w", encoding="ascii") as file:
                write_cells(file, plan.to_luts(), name="counter", family=target.family)
        json_path = work / "synth.json"
        mapped = synthesise(
            sources,
            top="harness",
            family=target.family,
            json_path=json_path,
            verilog_path=work / "synth.v",
            timeout_s=TIMEOUT_S,
            options=target.yosys_options,
        )
        clocks, cells = [], 0
        for seed in SEEDS[:seeds]:
            routed = place_and_route(
                family=target.family,
                device_args=target.device_args,
                json_path=json_path,
                out_dir=work / f"seed{seed}",
                clock_mhz=200.0,
                seed=seed,
                timeout_s=TIMEOUT_S,
            )
            clocks.append(routed.fmax_mhz)
            cells = routed.utilisation[CELLS[target.family]][0]
    clocks.sort()
    return {
        "target": target_name,
        "classes": n_classes,
        "bits": n_bits,
        "form": form,
        "luts": mapped.luts,
        "carries": mapped.carries,
        "cells": cells,
        "fmax_mhz": round(clocks[len(clocks) // 2], 1),
        "n_seeds": seeds,
    }


def constructions() -> Iterator[dict[str, Any]]:
    """Tables, tables a bit and depth of each form, without any tool."""
    for n_bits in BITS:
        row: dict[str, Any] = {"bits": n_bits}
        for form in COUNTER_FORMS:
            plan = counter((1,) * n_bits, 0, n_bits.bit_length(), form)
            row[form] = plan.n_tables
            row[f"{form}_per_bit"] = round(plan.n_tables / n_bits, 3)
            row[f"{form}_depth"] = plan.depth
        yield row


def rows(sizes: tuple[tuple[int, int], ...], seeds: int) -> Iterator[dict[str, Any]]:
    """All measurements; the counts of the empty harness are taken off the others."""
    for target in TARGETS:
        for n_classes, n_bits in sizes:
            empty = None
            for form in FORMS:
                row = measure(target, form, n_classes, n_bits, 1 if form == "none" else seeds)
                if empty is None:
                    empty = row
                    continue
                for column in ("luts", "carries", "cells"):
                    row[column] -= empty[column]
                yield row


def main() -> int:
    """Measure, print the table, write the JSON file."""
    options = arguments(__doc__).parse_args()
    sizes, seeds = (QUICK_SIZES, 1) if options.quick else (SIZES, len(SEEDS))
    alone = list(constructions())
    print(table(list(alone[0]), [list(row.values()) for row in alone]), end="\n\n")
    columns = ("target", "classes", "bits", "form", "luts", "carries", "cells", "fmax_mhz")
    print("  ".join(f"{column:>10}" for column in columns))
    results = []
    for row in rows(sizes, seeds):
        print("  ".join(f"{row[column]!s:>10}" for column in columns), flush=True)
        results.append(row)
    tools = ("yosys", "nextpnr-ice40", "nextpnr-ecp5")
    result = {
        "tools": registry.versions(tools),
        "constructions": alone,
        "skipped": ["sizes of the full run"] if options.quick else [],
        "results": results,
    }
    save("popcount", result, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
