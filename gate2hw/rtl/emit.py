# amaranth: UnusedElaboratable=no
"""Write the Verilog of a netlist: gate cloud, core, top, and the manifest that describes them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from amaranth.hdl import Signal

from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import atomic_path, file_sha256, write_text
from gate2hw.ir.verilog_gates import write_gates
from gate2hw.rtl.argmax import class_width
from gate2hw.rtl.core import Core
from gate2hw.rtl.headers import core_header, gates_header, top_header
from gate2hw.rtl.layout import FrameLayout, ResultLayout
from gate2hw.rtl.manifest import Manifest
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.top import Top
from gate2hw.rtl.verilog import to_verilog

__all__ = ["emit_rtl", "manifest_of"]


def emit_rtl(net: Netlist, out_dir: Path, options: RtlOptions, *, version: str) -> Manifest:
    """Write ``{name}_gates.v``, ``_core.v``, ``_top.v`` and ``manifest.json`` into `out_dir`.

    `net` needs an encoder and at least one class; `version` is gate2hw's, for the headers. The
    same arguments give the same bytes. The manifest is written last.
    Raises InputError for options that do not fit `net` or a folder that cannot be written,
    ToolError where Yosys fails.
    """
    core, top = Core(net, options), Top(net, options)
    modules = {part: f"{options.name}_{part}" for part in ("gates", "core", "top")}
    paths = {part: Path(out_dir) / f"{module}.v" for part, module in modules.items()}
    headers = {
        "core": core_header(net, options, core, version),
        "top": top_header(net, options, top, version),
    }
    with atomic_path(paths["gates"]) as temporary, temporary.open("w", encoding="ascii") as file:
        write_gates(
            file,
            net,
            name=modules["gates"],
            gate_registers=options.gate_registers,
            comment=gates_header(net, options, version),
        )
    with tempfile.TemporaryDirectory(prefix="gate2hw-") as work_dir:
        for part, design in (("core", core), ("top", top)):
            ports: Sequence[tuple[str, Signal]] = [*design.inputs(), *design.outputs()]
            text = to_verilog(design, modules[part], ports, work_dir=Path(work_dir))
            comment = "".join(f"// {line}".rstrip() + "\n" for line in headers[part])
            write_text(paths[part], comment + text)
    files = {path.name: file_sha256(path) for path in paths.values()}
    manifest = manifest_of(
        net,
        options,
        top.result,
        version=version,
        core_latency_cycles=core.latency_cycles,
        top_latency_cycles=top.latency_cycles,
        interval_cycles=top.interval_cycles,
        files=files,
    )
    manifest.save(Path(out_dir) / "manifest.json")
    return manifest


def manifest_of(
    net: Netlist,
    options: RtlOptions,
    result: ResultLayout,
    *,
    version: str,
    core_latency_cycles: int,
    top_latency_cycles: int,
    interval_cycles: int,
    files: dict[str, str],
    arch: str = "unrolled",
    positions_per_clock: int = 1,
) -> Manifest:
    """The manifest of hardware that computes `net`; InputError if that has no encoder."""
    used = net.used_inputs().tolist()
    frame = FrameLayout.of(net, options)
    return Manifest(
        name=options.name,
        version=version,
        model_digest=net.digest,
        netlist_digest=net.content_digest(),
        output=options.output,
        bus_bytes=options.bus_bytes,
        n_features=frame.n_features,
        bytes_per_feature=frame.bytes_per_feature,
        max_value=frame.max_value,
        frame_bytes=frame.frame_bytes,
        frame_beats=frame.frame_beats,
        result_bytes=result.result_bytes,
        result_beats=result.result_beats,
        class_bytes=result.class_bytes,
        score_bytes=result.score_bytes,
        score_signed=result.format.signed,
        n_classes=net.n_classes,
        class_names=tuple(net.names.classes),
        class_width=class_width(net.n_classes),
        score_width=result.format.width,
        used_inputs=tuple(used),
        n_used_inputs=len(used),
        n_outputs=net.n_outputs,
        popcount=options.popcount,
        care=options.care,
        storage=options.storage,
        gate_registers=options.gate_registers,
        register_gates=options.register_gates,
        register_scores=options.register_scores,
        register_argmax=options.register_argmax,
        register_class=options.register_class,
        popcount_registers=options.popcount_registers,
        register_compare=options.register_compare,
        core_latency_cycles=core_latency_cycles,
        top_latency_cycles=top_latency_cycles,
        interval_cycles=interval_cycles,
        modules={part: f"{options.name}_{part}" for part in ("gates", "core", "top")},
        files=files,
        arch=arch,
        positions_per_clock=positions_per_clock,
    )
