"""The shape of report.json's entry ``asic``: a design in standard cells."""

from __future__ import annotations

from typing import NotRequired, TypedDict

__all__ = [
    "AsicBlock",
    "AsicPoint",
    "AsicPower",
    "AsicResult",
    "AsicTiming",
    "BlockPower",
    "SlowPath",
]


class AsicBlock(TypedDict):
    """A part of the design: its cells and their area."""

    area_um2: float
    cells: int


class AsicTiming(TypedDict):
    """Static timing; `slack_ns` by group of paths, `io_fraction` of the period outside a port."""

    tool: str
    worst_slack_ns: float
    worst_hold_slack_ns: float | None
    slack_ns: dict[str, float]
    io_fraction: float
    assumes: str


class AsicPoint(TypedDict):
    """A pin on a path, with the neuron whose output its net is."""

    pin: str
    cell: str
    block: str
    delay_ns: float
    net: str | None
    neuron: NotRequired[str]


class SlowPath(TypedDict):
    """The slowest path of all."""

    group: str
    period_ns: float
    points: list[AsicPoint]


class BlockPower(TypedDict):
    """Power of a block in mW; leakage is null where the library gives none."""

    switching_mw: float
    internal_mw: float
    clock_mw: float
    leakage_mw: float | None


class AsicPower(TypedDict):
    """Power on test images, by the method and without what `not_counted` says."""

    method: str
    not_counted: str
    clock_mhz: float
    voltage_v: float
    n_images: int
    n_cycles: int
    toggles_per_net_and_cycle: float
    energy_nj_per_image: float
    dynamic_mw: float
    leakage_mw: float | None
    leakage_reason: NotRequired[str]
    blocks: dict[str, BlockPower]


class AsicResult(TypedDict):
    """A design in standard cells; what is null has its reason beside `timing` or `power`."""

    library: str
    area_um2: float
    area_by_block: dict[str, AsicBlock]
    cells: int
    cells_by_type: dict[str, int]
    ffs: int
    clock_mhz: float
    clock_met: bool | None
    fmax_mhz: float | None
    latency_cycles: int
    latency_ns: float | None
    interval_cycles: int
    images_per_s: int | None
    timing: AsicTiming | None
    timing_reason: NotRequired[str]
    critical_path: NotRequired[SlowPath]
    abc_delay_ns: float | None
    power: AsicPower | None
    power_reason: NotRequired[str]
