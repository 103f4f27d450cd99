"""Verilog around a streaming top that holds the rules of `stage_rules.v` to one of its stages.

Beside the rules stands an invariant, ``in_step``: what they count as a function of the stage's own
registers. It is proved with them; without it PDR would have to find it bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gate2hw.rtl import Manifest
from gate2hw.rtl.stream_input import Feed
from gate2hw.rtl.stream_plan import MapLayout
from gate2hw.rtl.stream_spec import LanePool, StreamSpec, WindowGeometry, stages_of

__all__ = ["FEED", "STAGE_RULES", "Scan", "feed_harness", "scans_of", "stage_harness"]

FEED: Final = "pixels"
"""The stage that takes beats."""

STAGE_RULES: Final = {
    "bad_early": "a group is offered only of a frame that has begun to come",
    "bad_late": "a frame goes in only when the one before is out",
    "bad_offer_fell": "a group that is offered stays offered until it is taken",
    "bad_still": "with an open output every clock is a step, while there is anything to do",
    "bad_astray": "steps go through the frame in order",
    "bad_out_of_step": "the stage counts as its rules do",
    "can_give": "a group is given",
    "can_wait": "a group waits to be taken",
}
"""What the rules of a stage say: ``bad_*`` never happens, ``can_*`` can."""

_HEAD: Final = "head"
_PORTS: Final = ("in_valid", "in_ready", "out_valid", "out_ready")
_INVARIANT: Final = "bad_out_of_step"
_OF_SCANS: Final = ("bad_still", "bad_astray")
"""Rules about the steps of a scan."""


@dataclass(frozen=True)
class Scan:
    """How a stage steps through a frame of `n_rows` x `n_groups`: `in_rows` and `in_groups` are
    taken, outputs stand after `out_rows` and `out_groups`; `counters` are its registers (row,
    group, and their phases of so many steps, if any). `is_registered`: a register holds what is
    given."""

    name: str
    n_rows: int
    n_groups: int
    in_rows: range
    in_groups: range
    out_rows: tuple[int, ...]
    out_groups: tuple[int, ...]
    counters: tuple[str, str]
    phases: tuple[tuple[int, ...] | None, tuple[int, ...] | None]
    start: tuple[int, int] = (0, 0)
    is_registered: bool = True
    valid: str = "out_valid"
    ready: str = "out_ready"


def _phases(n: int, first: int, step: int) -> tuple[int, ...] | None:
    return None if step == 1 else tuple((place - first) % step for place in range(n))


def _window_scan(name: str, geo: WindowGeometry) -> Scan:
    rows = (geo.first_row + i * geo.row_step for i in range(geo.out_rows))
    groups = (geo.first_group + k * geo.group_step for k in range(geo.out_groups))
    return Scan(
        name,
        geo.n_rows,
        geo.n_groups,
        range(geo.lead_rows, geo.lead_rows + geo.size[0]),
        range(geo.lead_groups, geo.lead_groups + geo.size[1]),
        tuple(rows),
        tuple(groups),
        ("row", "group"),
        (
            _phases(geo.n_rows, geo.first_row, geo.row_step),
            _phases(geo.n_groups, geo.first_group, geo.group_step),
        ),
        start=geo.start,
    )


def _pool_scan(name: str, pool: LanePool) -> Scan:
    spec = pool.spec
    n_rows, n_groups = spec.input_size[0], pool.n_groups
    phases = [
        None
        if spec.stride[axis] == 1 or (axis and pool.lanes > 1)
        else tuple(pool.phase(axis, place) for place in range(size))
        for axis, size in enumerate((n_rows, n_groups))
    ]
    return Scan(
        name,
        n_rows,
        n_groups,
        range(n_rows),
        range(n_groups),
        tuple(row for row in range(n_rows) if pool.ends(0, row)),
        tuple(group for group in range(n_groups) if pool.event(group)),
        ("row", "column" if pool.lanes == 1 else "group"),
        (phases[0], phases[1]),
        is_registered=False,
        ready="in_ready",
    )


def scans_of(spec: StreamSpec) -> list[Scan]:
    """Every stage that the rules fit: windows, pools, and the collector of dense layers."""
    found, lanes = [], spec.lanes
    for stage, geometry in stages_of(spec):
        is_window = isinstance(geometry, WindowGeometry)
        make: Callable[[str, Any], Scan] = _window_scan if is_window else _pool_scan
        found.append(make(stage.name, geometry))
        lanes = geometry.out_lanes
    if spec.tail is not None:
        n_groups = MapLayout(spec.map_shape, spec.channels, lanes).n_groups
        all_groups, one = range(n_groups), range(1)
        counters, last = ("", "number"), (n_groups - 1,)
        head = Scan(_HEAD, 1, n_groups, one, all_groups, (0,), last, counters, (None, None))
        found.append(Scan(**{**vars(head), "valid": "whole", "ready": "take"}))
    return found


def _table(selector: str, size: int, columns: dict[str, Sequence[int]], bits: int) -> str:
    """Wires of `bits` bits that follow from the counter `selector`."""
    text = "".join(f"    reg [{bits - 1}:0] {name};\n" for name in columns)
    text += f"    always @* case ({selector})\n"
    for place in range(size):
        values = " ".join(f"{name} = {bits}'d{of[place]};" for name, of in columns.items())
        label = "default" if place == size - 1 else str(place)
        text += f"        {label}: begin {values} end\n"
    return text + "    endcase\n"


def _done(size: int, places: Sequence[int]) -> list[int]:
    return [sum(place < here for place in places) for here in range(size)]


def _invariant(scan: Scan, bits: int) -> str:
    """``in_step``: the rules' counts and the stage's registers belong together."""
    row, group = scan.counters
    rows: dict[str, Sequence[int]] = {
        "row_taken": [
            min(max(r - scan.in_rows.start, 0), len(scan.in_rows)) for r in range(scan.n_rows)
        ],
        "row_takes": [int(r in scan.in_rows) for r in range(scan.n_rows)],
        "row_done": _done(scan.n_rows, scan.out_rows),
        "row_gives": [int(r in scan.out_rows) for r in range(scan.n_rows)],
    }
    groups: dict[str, Sequence[int]] = {
        "group_taken": [
            min(max(g - scan.in_groups.start, 0), len(scan.in_groups)) for g in range(scan.n_groups)
        ],
        "group_done": _done(scan.n_groups, scan.out_groups),
    }
    terms = [f"{group} < {scan.n_groups}"] + ([f"{row} < {scan.n_rows}"] if row else [])
    for counter, phases, table in ((row, scan.phases[0], rows), (group, scan.phases[1], groups)):
        if phases is not None:
            table[f"{counter}_phase_due"] = phases
            terms.append(f"{counter}_phase == {counter}_phase_due")
    n_in, n_out = (
        (len(scan.in_rows), len(scan.in_groups)),
        (len(scan.out_rows), len(scan.out_groups)),
    )
    held = "out_valid" if scan.is_registered else "1'b0"
    cold = (
        f"""    wire is_cold_right = !out_valid && owed == 0 && in_row == 0 && in_group == 0
        && out_row == 0 && out_group == 0
        && ({row} > {scan.start[0]} || ({row} == {scan.start[0]} && {group} >= {scan.start[1]}));
"""
        if scan.start != (0, 0)
        else ""
    )
    return (
        _table(row or "1'b0", scan.n_rows, rows, bits)
        + _table(group, scan.n_groups, groups, bits)
        + f"""    wire row_in = row_takes[0] && group_taken == {n_in[1]};
    wire [{bits - 1}:0] due_in_row = row_taken + row_in;
    wire in_done = due_in_row == {n_in[0]};
    wire is_in_right = in_row == (in_done ? 0 : due_in_row)
        && in_group == (row_takes[0] && !row_in ? group_taken : 0);
    wire row_out = row_gives[0] && group_done == {n_out[1]};
    wire [{bits - 1}:0] due_out_row = row_done + row_out;
    wire [{bits - 1}:0] due_out_group = row_gives[0] && !row_out ? group_done : 0;
    wire out_done = due_out_row == {n_out[0]};
    wire held = {held};
    wire row_steps = held && out_group == {n_out[1] - 1};
    wire [{bits - 1}:0] after_group = row_steps ? 0 : out_group + held;
    wire [{bits - 1}:0] after_row = out_row + row_steps;
    wire is_out_right = after_group == due_out_group
        && after_row == (out_done || (held && due_out_row == 0 && due_out_group == 0)
            ? (row_steps ? {n_out[0]} : 0) : due_out_row)
        && out_row < {n_out[0]} && out_group < {n_out[1]};
    wire is_old = held && !out_done && due_out_row == 0 && due_out_group == 0;
    wire [1:0] due_owed = in_done + is_old - (out_done && !held);
"""
        + ("    wire is_right = " + " && ".join(terms) + ";\n")
        + cold
        + "    wire in_step = is_right && "
        + ("(cold ? is_cold_right : " if cold else "(")
        + "is_in_right && is_out_right && owed == due_owed);\n"
    )


def _harness(
    manifest: Manifest,
    stage: str,
    bits: int,
    sizes: Mapping[str, int],
    wires: Mapping[str, tuple[int, str]],
    body: str,
    outputs: Sequence[str],
) -> tuple[str, dict[str, str]]:
    """The module with the `outputs` of STAGE_RULES, and what its wires are to be connected to.

    `wires` are (width, register or wire of the `stage`); `sizes` the parameters of the rules.
    `body` declares ``scan``, ``scan_next`` and ``in_step``.
    """
    bads = [name for name in STAGE_RULES if name.startswith("bad_") and name != _INVARIANT]
    places = ("in_row", "in_group", "out_row", "out_group")
    pins = {name: name for name in ("clk", "rst", *_PORTS, "live", *places)}
    pins |= {"owed": "owed", "scan": "scan", "scan_next": "scan_next"}
    pins |= {name: f"raw_{name}" for name in STAGE_RULES if name != _INVARIANT}
    inputs = ("s_axis_tvalid", "s_axis_tlast", "m_axis_tready")
    text = "module gate2hw_harness (\n    input wire clk, input wire rst,\n    "
    text += ", ".join(f"input wire {name}" for name in inputs)
    text += f",\n    input wire [{8 * manifest.bus_bytes - 1}:0] s_axis_tdata,\n    "
    text += ",\n    ".join(f"output wire {name}" for name in outputs) + "\n);\n"
    # behind a gate each, as `connect` takes a wire from all others that it is joined to
    text += "    reg one = 1'b1;\n    always @(posedge clk) one <= 1'b1;\n"
    for name, (width, of_stage) in wires.items():
        text += f"    wire [{width - 1}:0] seen_{name};\n"
        text += f"    wire [{width - 1}:0] {name} = (seen_{name} & {{{width}{{one}}}})"
        # what is taken is told only where there is something to take
        text += " | ~out_valid;\n" if of_stage == "take" else ";\n"
    text += "".join(f"    wire [{bits - 1}:0] {name};\n" for name in places)
    text += "    wire live;\n    wire [1:0] owed;\n"
    text += "".join(f"    wire {wire};\n" for wire in pins.values() if wire.startswith("raw_"))
    dut = ", ".join(f".{name}({name})" for name in ("clk", "rst", *inputs, "s_axis_tdata"))
    text += f"    {manifest.modules['top']} dut ({dut});\n{body}"
    told = {**sizes, "PLACE_BITS": bits, "SCAN_BITS": 2 * bits}
    parameters = ", ".join(f".{name}({value})" for name, value in told.items())
    text += f"    stage_rules #({parameters}) rules (\n        "
    text += ",\n        ".join(f".{port}({wire})" for port, wire in pins.items()) + "\n    );\n"
    # once the invariant fails the rules say nothing more, but then it is itself a rule broken
    text += "    reg kept = 1'b1;\n"
    text += "    always @(posedge clk) kept <= rst || (kept && (in_step || !live));\n"
    for name in outputs:
        told_as = f"raw_{name} && kept && in_step" if name in bads else f"raw_{name}"
        told_as = "live && kept && !in_step" if name == _INVARIANT else told_as
        text += f"    assign {name} = {told_as};\n"
    connect = {f"seen_{wire}": f"dut.{stage}.{name}" for wire, (_, name) in wires.items()}
    return text + "endmodule\n", connect


def stage_harness(scan: Scan, manifest: Manifest) -> tuple[str, dict[str, str]]:
    """Verilog around the top that holds the rules to one stage, and the wires to connect."""
    bits = (max(scan.n_rows, scan.n_groups) + 1).bit_length()
    wires = {"in_valid": (1, "in_valid"), "in_ready": (1, "in_ready")}
    wires |= {"out_valid": (1, scan.valid), "out_ready": (1, scan.ready)}
    for counter, phases, size in zip(
        scan.counters, scan.phases, (scan.n_rows, scan.n_groups), strict=True
    ):
        if counter:
            wires[counter] = max(1, (size - 1).bit_length()), counter
        if phases is not None:
            name = f"{counter}_phase"
            wires[name] = max(1, max(phases).bit_length()), name
    if scan.start != (0, 0):
        wires["cold"] = 1, "cold"
    sizes = {
        "IN_ROWS": len(scan.in_rows),
        "IN_GROUPS": len(scan.in_groups),
        "OUT_ROWS": len(scan.out_rows),
        "OUT_GROUPS": len(scan.out_groups),
    }
    row, group = scan.counters
    body = f"""    wire [{bits - 1}:0] at_row = {row or 0}, at_group = {group};
    wire at_end = at_group == {scan.n_groups - 1}, at_bottom = at_row == {scan.n_rows - 1};
    wire [{bits - 1}:0] next_group = at_end ? 0 : at_group + 1;
    wire [{bits - 1}:0] next_row = !at_end ? at_row : at_bottom ? 0 : at_row + 1;
    wire [{2 * bits - 1}:0] scan = {{at_row, at_group}}, scan_next = {{next_row, next_group}};
"""
    body += _invariant(scan, bits)
    return _harness(manifest, scan.name, bits, sizes, wires, body, [*STAGE_RULES])


def feed_harness(feed: Feed, manifest: Manifest) -> tuple[str, dict[str, str]]:
    """The same for the pixels: slots of beats in, groups of the last colour out."""
    n_planes, per_slot = feed.spec.shape[0], feed.groups_per_slot
    n_groups = n_planes * feed.plane_groups
    bits = (max(n_groups, feed.n_slots) + 1).bit_length()
    wires = {"in_valid": (1, "load"), "in_ready": (1, "load")}
    wires |= {name: (1, name) for name in ("out_valid", "out_ready", "full")}
    wires["count"] = max(1, (feed.n_beats - 1).bit_length()), "count"
    if per_slot > 1:
        wires["left"] = (per_slot - 1).bit_length(), "left"
    if n_planes > 1:
        wires["plane"] = (n_planes - 1).bit_length(), "plane"
        wires["place"] = max(1, (feed.plane_groups - 1).bit_length()), "place"
    sizes = {"IN_ROWS": 1, "IN_GROUPS": feed.n_slots}
    sizes |= {"OUT_ROWS": 1, "OUT_GROUPS": feed.plane_groups}
    hidden = f"done == plane * {bits}'d{feed.plane_groups} + place && plane < {n_planes}"
    hidden += f" && place < {feed.plane_groups}"
    hidden += f" && out_group == (plane == {n_planes - 1} ? place : 0)"
    slots = "count >> 1" if feed.beats_per_slot == 2 else "count"
    body = f"""    wire [{bits - 1}:0] slots = {slots};
    wire [{bits - 1}:0] waiting = full ? {"left + 1" if per_slot > 1 else "1"} : 0;
    wire [{bits - 1}:0] loaded = slots == 0 ? (full ? {n_groups} : 0) : slots * {per_slot};
    wire [{bits - 1}:0] done = loaded - waiting;
    wire [{2 * bits - 1}:0] scan = 0, scan_next = 0;
    wire in_step = count < {feed.n_beats} && in_row == 0 && in_group == slots && out_row == 0
        && waiting <= (slots == 0 ? {feed.groups_of_last} : {per_slot})
        && ({hidden if n_planes > 1 else "out_group == done"})
        && owed == (slots == 0 && full);
"""
    outputs = [name for name in STAGE_RULES if name not in _OF_SCANS]
    return _harness(manifest, FEED, bits, sizes, wires, body, outputs)
