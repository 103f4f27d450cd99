"""Which architecture a network is compiled to, and whether it can be."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from gate2hw.errors import InputError, nearest
from gate2hw.flow.stream.streaming import check_streamable
from gate2hw.ir.layers import LogicConv, OrPool
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.unroll import encoder_of
from gate2hw.rtl.stream_input import Feed
from gate2hw.rtl.stream_spec import InputSpec, check_stride, lanes_after
from gate2hw.tools.targets import load_target

__all__ = ["ARCHES", "Arch", "check_arch", "check_lanes", "choose_arch", "estimate_luts"]

Arch: TypeAlias = Literal["unrolled", "stream", "auto"]
ARCHES: Final = get_args(Arch)
AUTO_LUTS: Final = 20_000
"""Unrolled LUTs beyond which ``auto`` streams where no target is given."""
GATES_A_LUT: Final = 2.0
"""Two-input gates, kernels simplified, that one table of four inputs replaces."""


def estimate_luts(net: Netlist) -> int:
    """LUT4 of the unrolled core, roughly: gates, a full adder a bit, a cell a stored input bit."""
    return round(net.n_gates / GATES_A_LUT) + net.n_outputs + len(net.used_inputs())


def check_lanes(network: LogicNetwork, lanes: int, bus_bytes: int) -> None:
    """Raise InputError where rows, beats or a layer's stride do not go with `lanes` columns a
    clock."""
    encoder = encoder_of(network.thermometer)
    shape = (encoder.shape[0], encoder.shape[1], encoder.shape[2])
    feed = InputSpec(shape, encoder.bytes_per_feature, encoder.max_value, ())
    Feed.of(feed, bus_bytes, lanes)
    for name, layer in network.layers():
        if isinstance(layer, LogicConv | OrPool):
            check_stride(name, lanes, layer.stride[1])
            lanes = lanes_after(lanes, layer.stride[1])


def check_arch(
    network: LogicNetwork,
    arch: str,
    lanes: int,
    target: str | None,
    *,
    lossy: bool,
    bus_bytes: int = 1,
) -> None:
    """Raise InputError where what is asked for cannot be, before anything is written."""
    if arch not in ARCHES:
        raise InputError(f"arch {arch!r} is unknown; {nearest(arch, ARCHES)}")
    if target is not None:
        load_target(target)
    if lanes < 1:
        raise InputError(f"positions_per_clock is {lanes}; give 1 or more")
    if arch == "unrolled" and lanes > 1:
        raise InputError("positions_per_clock is of streaming designs; compile with --arch stream")
    if arch == "stream":
        if lossy:
            raise InputError(
                "an accuracy budget changes single positions; compile with --arch unrolled"
            )
        check_streamable(network)
        check_lanes(network, lanes, bus_bytes)


def choose_arch(
    arch: str, network: LogicNetwork, root: Netlist, target: str | None
) -> tuple[str, str]:
    """(``"unrolled"`` or ``"stream"``, why). ``auto`` streams what has a convolution and, unrolled,
    would take more LUTs than `target` has, by `estimate_luts` of the netlist `root` before passes.
    """
    if arch != "auto":
        return arch, "asked for"
    device = None if target is None else load_target(target)
    room = AUTO_LUTS if device is None else device.luts
    where = "without a target" if device is None else device.name
    needs = estimate_luts(root)
    told = f"about {needs:,} LUTs unrolled, {room:,} allowed ({where})"
    if not any(isinstance(layer, LogicConv) for _, layer in network.layers()):
        return "unrolled", "no convolution to stream"
    return ("stream" if needs > room else "unrolled"), told
