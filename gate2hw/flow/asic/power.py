"""Power of a mapped netlist: toggles on real images times the energies of its library.

Consecutive test images are streamed without a pause through 64 copies of the netlist; a toggle is
a net that settles to another value than in the cycle before. A toggle costs C V^2 / 2 for what
its net loads, and the driving cell's internal energy; inputs that have an energy of their own pay
it; a clock pin pays both edges in every cycle. This is the usual gate-level estimate (Najm, "A
survey of power estimation techniques in VLSI circuits", IEEE T-VLSI 1994) with zero delays:
glitches, wires and the buffers of a clock tree are not in it.

OpenSTA's own ``report_power`` gives the same switching power for the same toggles, but not the
same internal power. The version that Debian has (2019) adds the energies of rise and fall at every
toggle and does not divide by the number of related pins: two to three times what the library says.
A clock pin costs it twice the pin's energy (as extrapolated to a slew of 0), but not the C V^2 of
the pin, as no cell drives the clock's port. Newer versions take means, as we do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError
from gate2hw.flow.asic.mapped import LANES, CellGroup, MappedNetlist, Simulation
from gate2hw.ir.store import Golden
from gate2hw.rtl import Manifest
from gate2hw.tools.liberty import Energy, Library
from gate2hw.tools.liberty_tables import Floats, Table

__all__ = ["METHOD", "NOT_COUNTED", "Activity", "energies", "power_of", "stream_images"]

METHOD: Final = (
    "test images streamed back to back through the mapped netlist (functions of the Liberty file, "
    "zero delay, classes compared with the golden file); toggles at cell outputs times C V^2 / 2 "
    "of the pins they load plus the library's internal energies (mean over related pins and "
    "conditions, at each net's load and slew); clock pins pay both edges every cycle"
)
NOT_COUNTED: Final = "glitches, wires, clock tree buffers, pads"
_ONES: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MOST_CYCLES: Final = 3000
_RESET_CYCLES: Final = 4
_PORT_LOADS: Final = 4
KINDS: Final = ("switching", "internal", "clock")

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Activity:
    """Rising and falling toggles of every net, (nets,) int64, over all lanes and cycles."""

    rises: Counts
    falls: Counts
    n_cycles: int
    n_images: int


class _Player:
    """Feeds frames to all lanes and collects what comes out."""

    def __init__(self, net: MappedNetlist, beats: npt.NDArray[np.uint64], manifest: Manifest):
        # (lanes, frames, beats) data to (frames * beats, bits) words, a bit a lane
        lanes, frames, n_beats = beats.shape
        width = 8 * manifest.bus_bytes
        flat = beats.reshape(lanes, frames * n_beats)
        lane = np.arange(lanes, dtype=np.uint64)[:, None]
        self.data = np.empty((frames * n_beats, width), np.uint64)
        for bit in range(width):
            ones = (flat >> np.uint64(bit)) & np.uint64(1)
            self.data[:, bit] = np.bitwise_or.reduce(ones << lane, axis=0)
        self.n_beats = n_beats
        self.sim = Simulation(net)
        self.out: list[npt.NDArray[np.uint64]] = []

    def reset(self) -> None:
        sim = self.sim
        for port in sim.net.inputs:
            sim.set(port, np.uint64(0))
        sim.set("rst", _ONES)
        sim.set("m_axis_tready", _ONES)
        for _ in range(_RESET_CYCLES):
            sim.settle()
            sim.clock()
        sim.set("rst", np.uint64(0))

    def cycle(self, beat: int) -> bool:
        """Offer a beat (none past the end) and settle; whether it was taken."""
        sim, valid = self.sim, beat < len(self.data)
        sim.set("s_axis_tvalid", _ONES if valid else np.uint64(0))
        if valid:
            sim.set("s_axis_tdata", self.data[beat])
            is_last = (beat + 1) % self.n_beats == 0
            sim.set("s_axis_tlast", _ONES if is_last else np.uint64(0))
        sim.settle()
        if self.control("m_axis_tvalid"):
            self.out.append(sim.get("m_axis_tdata").copy())
        return valid and self.control("s_axis_tready")

    def control(self, port: str) -> bool:
        """A port that cannot depend on data: the same in all lanes."""
        word = self.sim.get(port)[0]
        if word not in (0, _ONES):
            raise CheckFailedError(f"{port} of the mapped netlist depends on the image's content")
        return bool(word)


def _beats(golden: Golden, rows: npt.NDArray[np.int64], manifest: Manifest) -> npt.NDArray[Any]:
    """(lanes, frames, beats) uint64: the input frames of the images `rows`."""
    x = golden.x[rows.ravel()].reshape(rows.size, -1).astype("<u2")
    size, bus = manifest.bytes_per_feature, manifest.bus_bytes
    frame = x.astype("<u1" if size == 1 else "<u2").view(np.uint8).reshape(rows.size, -1)
    padded = np.zeros((rows.size, manifest.frame_beats * bus), np.uint8)
    padded[:, : frame.shape[1]] = frame
    words = padded.reshape(rows.size, manifest.frame_beats, bus).astype(np.uint64)
    shifts = 8 * np.arange(bus, dtype=np.uint64)
    beats = (words << shifts).sum(axis=2, dtype=np.uint64)
    return np.asarray(beats.reshape(*rows.shape, -1))


def _check_classes(
    player: _Player, golden: Golden, rows: npt.NDArray[np.int64], manifest: Manifest
) -> None:
    """CheckFailedError unless every lane's results are the classes of its images."""
    n_frames = rows.shape[1]
    words = np.array(player.out[: n_frames * manifest.result_beats])
    if len(player.out) != n_frames * manifest.result_beats:
        raise CheckFailedError(
            f"the mapped netlist gave {len(player.out)} result beats for {n_frames} images"
        )
    by_frame = words.reshape(n_frames, -1)[:, : 8 * manifest.class_bytes]
    lane = np.arange(LANES, dtype=np.uint64)[:, None, None]
    bits = (by_frame[None] >> lane) & np.uint64(1)
    found = (bits << np.arange(bits.shape[2], dtype=np.uint64)).sum(axis=2, dtype=np.uint64)
    wrong = int((found != golden.classes[rows].astype(np.uint64)).sum())
    if wrong:
        raise CheckFailedError(
            f"the mapped netlist, simulated by its cells' Liberty functions, classifies {wrong} of "
            f"{rows.size} images other than the golden file"
        )


def stream_images(net: MappedNetlist, golden: Golden, manifest: Manifest) -> Activity:
    """Stream golden images through `net` and count toggles, the first image of each lane apart.

    Raises CheckFailedError where its classes are not the golden ones.
    """
    n, interval = len(golden.x), max(1, manifest.interval_cycles)
    n_counted = min(-(-n // LANES), max(1, _MOST_CYCLES // interval))
    rows = (np.arange(LANES)[:, None] * n_counted + np.arange(1 + n_counted)[None]) % n
    player = _Player(net, _beats(golden, rows, manifest), manifest)
    player.reset()
    n_beats = manifest.frame_beats
    rises, falls = np.zeros(net.n_nets, np.int64), np.zeros(net.n_nets, np.int64)
    before = player.sim.values.copy()
    beat = n_cycles = idle = 0
    most_idle = 4 * (manifest.top_latency_cycles + interval + manifest.result_beats) + 64
    n_results = rows.shape[1] * manifest.result_beats
    while (beat < len(player.data) or len(player.out) < n_results) and idle < most_idle:
        taken = player.cycle(beat)
        after = player.sim.values
        if n_beats <= beat < len(player.data):
            changed = before ^ after
            rises += np.bitwise_count(changed & after)
            falls += np.bitwise_count(changed & before)
            n_cycles += 1
        before = after.copy()
        beat += taken
        idle = 0 if taken else idle + 1
        player.sim.clock()
    _check_classes(player, golden, rows, manifest)
    return Activity(rises, falls, n_cycles, LANES * n_counted)


def _mean(tables: list[Table | None], load: Floats, slew: Floats) -> Floats:
    """Mean over the tables that are there; 0 without any."""
    found = [table.at(load, slew) for table in tables if table is not None]
    return np.mean(found, axis=0) if found else np.zeros(load.shape)


def _loads(net: MappedNetlist, library: Library) -> Floats:
    """pF that each net's pins load; an output port is four inputs of the smallest buffer."""
    load = np.zeros(net.n_nets)
    for group in net.groups:
        for pin in group.cell.inputs:
            np.add.at(load, group.nets[pin], group.cell.pins[pin].capacitance_pf)
    buffer = library.buffer()
    if buffer is not None:
        cell, pin, _ = buffer
        for nets in net.outputs.values():
            np.add.at(load, nets, _PORT_LOADS * cell.pins[pin].capacitance_pf)
    return load


def _slews(net: MappedNetlist, load: Floats) -> Floats:
    """ns of each net by its driver's transition tables, in two rounds from ideal slews."""
    slew = np.zeros(net.n_nets)
    for _ in range(2):
        after = np.zeros(net.n_nets)
        for group in net.groups:
            inputs = [slew[group.nets[pin]] for pin in group.cell.inputs]
            mean = np.mean(inputs, axis=0) if inputs else np.zeros(len(group.block))
            for pin in group.cell.outputs:
                nets = group.nets[pin]
                tables: list[Table | None] = [*group.cell.pins[pin].transitions]
                after[nets] = _mean(tables, load[nets], mean)
        slew = after
    return slew


def _side(
    group: CellGroup, found: tuple[Energy, ...], side: str, nets: Any, load: Floats, slew: Floats
) -> Floats:
    """pJ of a rise or fall at a pin of each cell: the mean over its energy groups, added up over
    the supply pins that they stand for."""
    values: dict[str | None, list[Floats]] = {}
    for energy in found:
        table: Table | None = getattr(energy, side)
        if table is not None:
            pins = [p for p in (energy.related_pin or "").split() if p in group.nets]
            at = [slew[group.nets[pin]] for pin in pins] or [slew[nets]]
            of_supply = values.setdefault(energy.supply, [])
            of_supply.append(table.at(load[nets], np.mean(at, axis=0)))
    return sum((np.mean(part, axis=0) for part in values.values()), np.zeros(len(nets)))


def energies(
    net: MappedNetlist, library: Library, activity: Activity, clock: str = "clk"
) -> dict[str, dict[str, float]]:
    """pJ by block and kind (switching, internal, clock) of the whole `activity`, all lanes.

    A net's energy counts where it is driven, a clock pin's where it is; block ``ports`` is what
    input ports drive.
    """
    load = _loads(net, library)
    slew = _slews(net, load)
    both = activity.rises + activity.falls
    half_v2 = 0.5 * library.voltage_v**2
    clock_net = int(net.inputs[clock][0])
    edges = activity.n_cycles * LANES
    names = [*net.blocks, "ports"]
    sums = {kind: np.zeros(len(names)) for kind in KINDS}
    for nets in net.inputs.values():
        driven = nets[nets != clock_net]
        sums["switching"][-1] += float((half_v2 * load[driven] * both[driven]).sum())
    for group in net.groups:
        for pin in group.cell.pins.values():
            if pin.name not in group.nets:
                continue
            nets = group.nets[pin.name]
            rise, fall = (
                _side(group, pin.energies, side, nets, load, slew) for side in ("rise", "fall")
            )
            if pin.direction == "output":
                cost = half_v2 * load[nets] * both[nets]
                np.add.at(sums["switching"], group.block, cost)
            is_clock = (nets == clock_net) & (pin.direction == "input")
            pulse = edges * (rise + fall + 2 * half_v2 * pin.capacitance_pf)
            np.add.at(sums["clock"], group.block, np.where(is_clock, pulse, 0.0))
            cost = rise * activity.rises[nets] + fall * activity.falls[nets]
            np.add.at(sums["internal"], group.block, np.where(is_clock, 0.0, cost))
    return {
        name: {kind: float(sums[kind][number]) for kind in KINDS}
        for number, name in enumerate(names)
    }


def power_of(
    net: MappedNetlist, library: Library, activity: Activity, clock_mhz: float
) -> dict[str, Any]:
    """Power in mW at `clock_mhz` by block and in all, and the energy of an image in nJ.

    Leakage is null, with a reason, where the library does not give it for every cell in use.
    """
    cycles = activity.n_cycles * LANES
    blocks: dict[str, dict[str, float | None]] = {}
    lacking = sorted({g.cell.name for g in net.groups if g.cell.leakage_mw is None})
    leakage = np.zeros(len(net.blocks) + 1)
    for group in net.groups:
        np.add.at(leakage, group.block, group.cell.leakage_mw or 0.0)
    found = energies(net, library, activity)
    for number, (name, parts) in enumerate(found.items()):
        # pJ a cycle times MHz is uW
        row: dict[str, float | None] = {
            f"{kind}_mw": pj / cycles * clock_mhz * 1e-3 for kind, pj in parts.items()
        }
        blocks[name] = {**row, "leakage_mw": None if lacking else float(leakage[number])}
    dynamic_pj = sum(sum(parts.values()) for parts in found.values())
    dynamic_mw = dynamic_pj / cycles * clock_mhz * 1e-3
    result: dict[str, Any] = {
        "method": METHOD,
        "not_counted": NOT_COUNTED,
        "clock_mhz": clock_mhz,
        "voltage_v": library.voltage_v,
        "n_images": activity.n_images,
        "n_cycles": activity.n_cycles,
        "n_lanes": LANES,
        "toggles_per_net_and_cycle": float((activity.rises + activity.falls).sum())
        / (net.n_nets * cycles),
        "energy_nj_per_image": dynamic_pj / activity.n_images * 1e-3,
        "dynamic_mw": dynamic_mw,
        "leakage_mw": None if lacking else float(leakage.sum()),
        "blocks": {name: row for name, row in blocks.items() if any(row.values())},
    }
    if lacking:
        result["leakage_reason"] = f"the library gives none for {', '.join(lacking[:3])}"
    return result
