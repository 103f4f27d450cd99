"""A LogicNetwork as a streaming design: one tree for each kernel, simplified and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.flow.signoff.sharing import start_of
from gate2hw.ir.care import CareSet
from gate2hw.ir.columns import Columns
from gate2hw.ir.gates import TT_OR, complement_inputs
from gate2hw.ir.layers import GroupSum, Layer, LogicConv, OrPool, Thermometer
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.unroll import encoder_of
from gate2hw.passes.manager import PassRecord, run_pipeline
from gate2hw.passes.share_kernels import Kernels, Pool, share_kernels
from gate2hw.rtl.stream_spec import (
    InputSpec,
    PoolSpec,
    Stage,
    StreamSpec,
    WindowSpec,
    is_lane_pool,
    lanes_after,
)

__all__ = ["Streamed", "check_streamable", "composed", "stream_spec"]

Ints = npt.NDArray[np.int64]
Literals = npt.NDArray[np.int64]
_MAP: Final = "map"


@dataclass(frozen=True)
class Streamed:
    """The design; the netlists that its trees came from: (name, before, after the passes); and
    those in between by name, as `map_luts` takes them."""

    spec: StreamSpec
    parts: tuple[tuple[str, Netlist, Netlist], ...]
    starts: dict[str, tuple[Netlist, ...]]
    records: tuple[PassRecord, ...]


def check_streamable(network: LogicNetwork) -> None:
    """Raise InputError for a network without a convolution."""
    if not any(isinstance(layer, LogicConv) for _, layer in network.layers()):
        raise InputError("the network has no convolution to stream; compile with --arch unrolled")


def _split(network: LogicNetwork) -> tuple[LogicNetwork, LogicNetwork | None]:
    """The layers up to the last map, and the dense ones behind it as a network of the map's bits;
    InputError where nothing is convolved."""
    check_streamable(network)
    layers = list(network.layers())
    is_map = [isinstance(layer, LogicConv | OrPool) for _, layer in layers]
    n_front = 1 + max(number for number, of_map in enumerate(is_map) if of_map)
    shape = layers[n_front - 1][1].output_shape
    size = int(np.prod(shape))
    front: list[tuple[str, Layer]] = layers[:n_front]
    groups = network.group_sum
    if n_front == len(layers) - 1:
        return chain([*front, layers[-1]]), None
    ends = GroupSum(shape, np.array([0, size]))
    bits = Thermometer(shape, np.zeros((shape[0], 1), np.int32), 1)
    names = network.class_names
    used = {name for name, _ in layers[n_front:]}
    first = _MAP if _MAP not in used else _MAP + "_bits"
    tail = chain([(first, bits), *layers[n_front:]], class_names=names)
    assert tail.group_sum == groups
    return chain([*front, ("end", ends)]), tail


def _or_net(
    channels: Ints, window: tuple[int, int], layer: str, n_channels: int
) -> tuple[Netlist, npt.NDArray[np.int32]]:
    """(an OR of the places of a window for each of some channels of a layer, its taps)."""
    rows, columns = window
    n_here = len(channels)
    taps = np.moveaxis(np.indices((n_here, rows, columns)), 0, 3).reshape(-1, 3)
    nodes = np.arange(1, 1 + len(taps), dtype=np.int32).reshape(n_here, rows * columns)
    parts = Columns(1 + len(taps))
    terms = [nodes[:, k] for k in range(nodes.shape[1])]
    sites = iter(np.zeros((0, 0), np.int32))
    if len(terms) > 1:
        block = parts.new_sites(SiteLayer(layer, len(terms) - 1, n_channels))
        sites = iter(block[:, channels, 0, 0])
    while len(terms) > 1:
        pairs = zip(terms[0::2], terms[1::2], strict=False)
        joined = [parts.block(TT_OR, a, b, next(sites)) for a, b in pairs]
        terms = joined + (terms[-1:] if len(terms) % 2 else [])
    net = parts.netlist(terms[0].astype(np.int64) * 2, head=Head.none(n_here))
    return net, taps.astype(np.int32)


def _first_encoder(part: Kernels, thermometer: Thermometer) -> Encoder:
    """The taps of the first layer as bits of pixels: the passes know which codes there are."""
    n_thresholds = thermometer.thresholds.shape[1]
    colour, level = np.divmod(part.taps[:, 0], n_thresholds)
    places = np.stack([colour, part.taps[:, 1], part.taps[:, 2]], axis=1)
    pixels, feature = np.unique(places, axis=0, return_inverse=True)
    threshold = thermometer.thresholds[colour, level]
    return Encoder(
        feature.ravel().astype(np.int32), threshold, (len(pixels),), thermometer.max_value
    )


def _renumber(taps: npt.NDArray[np.int32], live: Ints) -> npt.NDArray[np.int32]:
    """Taps with channels numbered as they flow; those of channels that do not are of no use."""
    found = taps.copy()
    found[:, 0] = np.clip(np.searchsorted(live, taps[:, 0]), 0, max(0, len(live) - 1))
    return found


class _Builder:
    """Stages from the last to the first: what a stage reads is what the one before must give."""

    def __init__(self, network: LogicNetwork, level: int, care: CareSet) -> None:
        self.network, self.level, self.care = network, level, care
        self.parts: list[tuple[str, Netlist, Netlist]] = []
        self.records: list[PassRecord] = []
        self.starts: dict[str, tuple[Netlist, ...]] = {}

    def optimised(self, name: str, net: Netlist, output: str = "scores") -> Netlist:
        outcome = run_pipeline(
            net, self.level, care=self.care, output="class" if output == "class" else "scores"
        )
        self.parts.insert(0, (name, net, outcome.net))
        self.starts[name] = tuple(outcome.snapshots)
        self.records = [*outcome.records, *self.records]
        return outcome.net

    def kernels(
        self, name: str, part: Kernels, size: tuple[int, int], live: Ints, is_first: bool
    ) -> tuple[WindowSpec, Ints]:
        """The stage that gives channels `live`, its taps not yet renumbered; channels it reads."""
        encoder = _first_encoder(part, self.network.thermometer) if is_first else None
        outputs = part.net.outputs[live]
        net = part.net.with_(outputs=outputs, head=Head.none(len(live)), encoder=encoder)
        net = self.optimised(name, net)
        field = 1 + part.taps[:, 1:].max(axis=0, initial=0)
        reads = np.unique(part.taps[net.used_inputs(), 0]).astype(np.int64)
        spec = WindowSpec(
            name=name,
            net=net,
            taps=part.taps,
            n_channels=len(reads),
            input_size=size,
            positions=part.positions,
            field=(int(field[0]), int(field[1])),
            stride=part.stride,
            padding=part.padding,
        )
        return spec, reads


def _pool_stage(
    name: str, part: Pool, live: Ints, lanes: int
) -> tuple[WindowSpec | PoolSpec, Ints]:
    """A pool that gives channels `live`, and the channels it reads."""
    layer = part.layer
    constant = part.constant[live]
    wanted = np.where(constant < 0, part.read[live], -1)
    reads = np.unique(wanted[wanted >= 0])
    rank = np.searchsorted(reads, wanted)
    sources = np.where(constant < 0, rank, np.where(constant == 1, -1, -2))
    size = (layer.input_shape[1], layer.input_shape[2])
    positions = (layer.output_shape[1], layer.output_shape[2])
    spec = PoolSpec(
        name=name,
        sources=tuple(sources.tolist()),
        n_channels=len(reads),
        input_size=size,
        positions=positions,
        window=layer.window,
        stride=layer.stride,
        padding=layer.padding,
        layer=part.name,
        channels=tuple(reads.tolist()),
    )
    if is_lane_pool(spec, lanes):
        return spec, reads
    net, taps = _or_net(reads, layer.window, part.name, layer.input_shape[0])
    literal = np.where(sources >= 0, net.outputs[np.maximum(sources, 0)] if len(reads) else 0, 0)
    literal = np.where(sources == -1, 1, literal)
    net = net.with_(outputs=literal, head=Head.none(len(literal)))
    return (
        WindowSpec(
            name=name,
            net=net,
            taps=taps,
            n_channels=len(reads),
            input_size=size,
            positions=positions,
            field=layer.window,
            stride=layer.stride,
            padding=layer.padding,
            kind="pool",
        ),
        reads,
    )


def _lanes(layers: list[Layer], lanes: int) -> list[int]:
    """Columns a clock that reach each layer of the front."""
    found = []
    for layer in layers:
        found.append(lanes)
        if isinstance(layer, LogicConv | OrPool):
            lanes = lanes_after(lanes, layer.stride[1])
    return found


def stream_spec(
    network: LogicNetwork, *, level: int, care: CareSet, output: str, lanes: int = 1
) -> Streamed:
    """The streaming design of `network`, `lanes` positions a clock, optimised at `level`.

    Raises InputError for a network without convolution, or lanes that do not go with its strides.
    """
    network.verify()
    front, tail_network = _split(network)
    builder = _Builder(network, level, care)
    layers = [(name, layer) for name, layer in front.layers() if not isinstance(layer, GroupSum)]
    *_, shape = (layer.output_shape for _, layer in layers)
    map_shape = (shape[0], shape[1], shape[2])
    tail: Netlist | None = None
    live = np.arange(map_shape[0])
    if tail_network is not None:
        root = start_of(tail_network, level)
        tail = builder.optimised("tail", root, output)
        live = np.unique(tail.used_inputs() // (map_shape[1] * map_shape[2]))
        if not len(live):
            live = np.arange(1)
    channels = live
    parts = share_kernels(front)
    lanes_of = _lanes([layer for _, layer in layers[1:]], lanes)
    stages: list[Stage] = []
    stage: Stage
    for number in range(len(parts) - 1, -1, -1):
        part, layer = parts[number], layers[1 + number][1]
        if isinstance(part, Kernels):
            size = (layer.input_shape[1], layer.input_shape[2])
            stage, reads = builder.kernels(f"conv_{number + 1}", part, size, live, number == 0)
        else:
            stage, reads = _pool_stage(f"pool_{number + 1}", part, live, lanes_of[number])
        live = reads
        stages.insert(0, stage)
        if isinstance(part, Kernels):
            stages[0] = _with_taps(stage, reads)
    thermometer = network.thermometer
    n_thresholds = thermometer.thresholds.shape[1]
    bits = [divmod(channel, n_thresholds) for channel in live.tolist()]
    encoder = encoder_of(thermometer)
    feed = InputSpec(
        shape=(encoder.shape[0], encoder.shape[1], encoder.shape[2]),
        bytes_per_feature=encoder.bytes_per_feature,
        max_value=encoder.max_value,
        bits=tuple((c, int(thermometer.thresholds[c, t])) for c, t in bits),
    )
    spec = StreamSpec(
        input=feed,
        stages=tuple(stages),
        channels=tuple(channels.tolist()),
        map_shape=map_shape,
        group_ptr=tuple(network.group_sum.group_ptr.tolist()),
        tail=tail,
        lanes=lanes,
    )
    return Streamed(spec, tuple(builder.parts), builder.starts, tuple(builder.records))


def _with_taps(stage: Any, reads: Ints) -> WindowSpec:
    assert isinstance(stage, WindowSpec)
    values = {**vars(stage), "taps": _renumber(stage.taps, reads)}
    return WindowSpec(**values)


def _sites(columns: Columns, net: Netlist, positions: tuple[int, int]) -> npt.NDArray[np.int32]:
    """(G, rows * columns): the site of each gate of one position's netlist at each position."""
    size = positions[0] * positions[1]
    start = columns.n_sites
    for layer in net.sites.layers:
        columns.new_sites(replace(layer, rows=positions[0], columns=positions[1]))
    known = net.origin[:, None].astype(np.int64)
    found = np.where(known < 0, -1, start + known * size + np.arange(size))
    return found.astype(np.int32)


def _gates(columns: Columns, net: Netlist, value: Literals, sites: npt.NDArray[np.int32]) -> None:
    """Place the gates of `net` at every position; `value` (n_nodes, positions) are literals."""
    for start, stop in net.levels():
        a, b = value[net.in0[start:stop]], value[net.in1[start:stop]]
        table = complement_inputs[((a & 1) << 1) | (b & 1), net.tt[start:stop, None]]
        nodes = columns.block(table, a >> 1, b >> 1, sites[start:stop])
        value[net.first_gate + start : net.first_gate + stop] = nodes.astype(np.int64) << 1


def _window(columns: Columns, spec: WindowSpec, rows: Literals) -> Literals:
    """The literals (channels out, rows, columns) of a window stage at all its positions."""
    height, width = spec.positions
    (sh, sw), (ph, pw) = spec.stride, spec.padding
    below = max(0, (height - 1) * sh + spec.field[0] - ph - rows.shape[1])
    right = max(0, (width - 1) * sw + spec.field[1] - pw - rows.shape[2])
    padded = np.pad(rows, ((0, 0), (ph, below), (pw, right)))
    net, size = spec.net, height * width
    value = np.zeros((net.n_nodes, size), np.int64)
    used = net.used_inputs()
    channel, dy, dx = (spec.taps[used, i].astype(np.int64)[:, None, None] for i in range(3))
    y = dy + (np.arange(height) * sh)[:, None]
    value[1 + used] = padded[channel, y, dx + np.arange(width) * sw].reshape(len(used), size)
    _gates(columns, net, value, _sites(columns, net, spec.positions))
    out: Literals = value[net.outputs >> 1] ^ (net.outputs & 1)[:, None]
    return out.reshape(net.n_outputs, height, width)


def _pool(columns: Columns, spec: PoolSpec, rows: Literals) -> Literals:
    """The literals of a pool stage, as a window stage of ORs."""
    channels = np.array(spec.channels, np.int64)
    n_channels = 1 + int(channels.max(initial=0))
    net, taps = _or_net(channels, spec.window, spec.layer, n_channels)
    as_window = WindowSpec(
        name=spec.name,
        net=net,
        taps=taps,
        n_channels=spec.n_channels,
        input_size=spec.input_size,
        positions=spec.positions,
        field=spec.window,
        stride=spec.stride,
        padding=spec.padding,
        kind="pool",
    )
    pooled = _window(columns, as_window, rows)
    # channels -2 and -1 are the constants
    ends = np.broadcast_to(np.array([0, 1])[:, None, None], (2, *spec.positions))
    return np.concatenate([pooled, ends])[np.array(spec.sources, np.int64)]


def composed(network: LogicNetwork, spec: StreamSpec) -> Netlist:
    """What the streaming hardware computes, unrolled: its very trees at every position.

    Inputs, encoder, classes and digest are those of `unroll`. Comparing it with the network checks
    the design's trees, taps and channels; its timing is left to simulation.
    """
    thermometer = network.thermometer
    encoder = encoder_of(thermometer)
    n_inputs = len(encoder.feature)
    columns = Columns(1 + n_inputs)
    bits = np.arange(2, 2 + 2 * n_inputs, 2).reshape(thermometer.output_shape)
    numbers = {
        (channel, int(threshold)): place + channel * thermometer.thresholds.shape[1]
        for channel, own in enumerate(thermometer.thresholds)
        for place, threshold in enumerate(own)
    }
    rows = bits[[numbers[bit] for bit in spec.input.bits]]
    for stage in spec.stages:
        place = _window if isinstance(stage, WindowSpec) else _pool
        rows = place(columns, stage, rows)  # type: ignore[arg-type]
    full = np.zeros(spec.map_shape, np.int64)
    full[list(spec.channels)] = rows
    outputs = full.ravel()
    if spec.tail is not None:
        outputs, head = _tail(columns, spec.tail, outputs), spec.tail.head
    else:
        n_classes = len(spec.group_ptr) - 1
        ones, zeros = np.ones(len(outputs), np.int32), np.zeros(n_classes, np.int64)
        head = Head(np.array(spec.group_ptr), ones, zeros)
    return columns.netlist(
        outputs,
        head=head,
        encoder=encoder,
        names=Names(classes=network.class_names),
        digest=network.digest,
    )


def _tail(columns: Columns, net: Netlist, bits: Literals) -> Literals:
    """The literals of the outputs of the dense layers on the map's bits."""
    value = np.zeros((net.n_nodes, 1), np.int64)
    value[1 : net.first_gate, 0] = bits
    start = columns.n_sites
    for layer in net.sites.layers:
        columns.new_sites(layer)
    sites = np.where(net.origin < 0, -1, start + net.origin).astype(np.int32)
    _gates(columns, net, value, sites[:, None])
    out: Literals = value[net.outputs >> 1, 0] ^ (net.outputs & 1)
    return out
