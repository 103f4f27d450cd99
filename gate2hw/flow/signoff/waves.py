"""wave: one inference of the emitted Verilog as a waveform, its signals named after the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.build import BuildFolder, Progress, silent
from gate2hw.flow.signoff.checks import Chain, load_chain
from gate2hw.flow.stream.stream_build import load_spec
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import atomic_path, write_text
from gate2hw.rtl import Manifest
from gate2hw.rtl.stream_spec import WindowSpec
from gate2hw.tools.vcd import Vcd, read_vcd
from gate2hw.tools.waves import simulate

__all__ = ["wave"]

_RESET_CYCLES = 2
_AFTER_CYCLES = 4
_MOST_WORK = 100_000_000
"""Gates times clock cycles: mnist-tiny's 4 million take Yosys 20 s."""
_STREAMS = ("tvalid", "tready", "tlast", "tdata")


def wave(
    out_dir: Path | str,
    *,
    sample: int = 0,
    out: Path | str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Simulate the top of the build folder `out_dir` on golden sample `sample`; write a VCD.

    Besides the Verilog's own scopes the file has a scope ``model``: features above thresholds,
    gates by layer and neuron, scores by class. A ``.gtkw`` beside it opens both streams and the
    scores in GTKWave. `out` is ``DIR/wave/sample_K.vcd`` unless given.

    Returns ``{"vcd", "gtkw", "sample", "class", "class_name", "label", "n_cycles", "n_signals"}``.
    Raises InputError without a golden file or such a sample, or for a design that is too large,
    CheckFailedError where the class on ``m_axis`` is not the software's.
    """
    folder = BuildFolder.existing(out_dir)
    chain = load_chain(folder)
    if chain.golden is None:
        raise InputError(f"{folder.path} has no golden file to take a sample from")
    if not 0 <= sample < len(chain.golden.x):
        raise InputError(f"sample {sample} is not there; the golden file has {len(chain.golden.x)}")
    path = Path(out) if out is not None else folder.path / "wave" / f"sample_{sample}.vcd"
    if path.suffix != ".vcd":
        raise InputError(f"{path}: the waveform is written as VCD; give a name that ends with .vcd")
    x = chain.golden.x[sample : sample + 1]
    manifest = chain.manifest
    steps = _steps(manifest, x)
    if _n_gates(chain) * len(steps) > _MOST_WORK:
        raise InputError(
            f"{folder.path}: {_n_gates(chain):,} gates over {len(steps):,} cycles take too "
            "long to simulate with every wire; take a smaller model, a wider bus (--bus-bytes), or "
            "--arch stream"
        )
    progress(0, 2, f"simulating sample {sample}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        simulate(
            [folder.path / "rtl" / name for name in manifest.files],
            top=manifest.modules["top"],
            inputs={
                "rst": 1,
                "s_axis_tvalid": 1,
                "s_axis_tlast": 1,
                "m_axis_tready": 1,
                "s_axis_tdata": 8 * manifest.bus_bytes,
            },
            steps=steps,
            out_path=temporary,
        )
        progress(1, 2, "naming signals")
        vcd = read_vcd(temporary)
        found, n_cycles = _class_of(vcd, manifest)
        aliases = dict(_names(chain, vcd))
        slices = _scores(manifest, vcd)
        _insert(temporary, vcd, aliases, slices)
    winner = int(classes(scores(chain.raw, x.astype(np.int64)))[0])
    if found != winner:
        raise CheckFailedError(f"{path}: m_axis gives class {found}, the software {winner}")
    gtkw = path.with_suffix(".gtkw")
    write_text(gtkw, _save_file(path, manifest, slices))
    names = manifest.class_names
    return {
        "vcd": str(path),
        "gtkw": str(gtkw),
        "sample": sample,
        "class": winner,
        "class_name": names[winner] if names else str(winner),
        "label": int(chain.golden.y[sample]),
        "n_cycles": n_cycles,
        "n_signals": len(vcd.signals) + len(aliases) + len(slices),
    }


def _n_gates(chain: Chain) -> int:
    """Gates that are simulated, roughly."""
    if chain.manifest.arch != "stream":
        return chain.net.n_gates
    spec = load_spec(chain.folder.path)
    nets = [stage.net for stage in spec.stages if isinstance(stage, WindowSpec)]
    n_tail = 0 if spec.tail is None else spec.tail.n_gates
    return spec.lanes * sum(net.n_gates for net in nets) + n_tail


def _steps(manifest: Manifest, x: npt.NDArray[Any]) -> list[dict[str, int]]:
    """Reset, the frame without a gap, and as long as its result takes, the sink always ready."""
    bus = manifest.bus_bytes
    data = x.reshape(-1).astype(f"<u{manifest.bytes_per_feature}").tobytes()
    data = data.ljust(manifest.frame_beats * bus, b"\0")
    idle = {"rst": 0, "s_axis_tvalid": 0, "s_axis_tlast": 0, "m_axis_tready": 1, "s_axis_tdata": 0}
    steps = [{**idle, "rst": 1} for _ in range(_RESET_CYCLES)]
    for beat in range(manifest.frame_beats):
        word = int.from_bytes(data[beat * bus : (beat + 1) * bus], "little")
        last = int(beat == manifest.frame_beats - 1)
        steps.append({**idle, "s_axis_tvalid": 1, "s_axis_tlast": last, "s_axis_tdata": word})
    n_after = manifest.top_latency_cycles + manifest.result_beats + _AFTER_CYCLES
    return steps + [idle] * n_after


def _class_of(vcd: Vcd, manifest: Manifest) -> tuple[int, int]:
    """(class that the first result frame says, clock cycles of the waveform)."""
    names = ("m_axis_tvalid", "m_axis_tdata", "rst")
    frame, n_cycles = b"", 0
    for _, values in vcd.cycles("clk", names):
        n_cycles += 1
        if values["rst"] == "0" and values["m_axis_tvalid"] == "1":
            word = int(values["m_axis_tdata"].replace("x", "0"), 2)
            frame += word.to_bytes(manifest.bus_bytes, "little")
    if len(frame) < manifest.class_bytes:
        raise CheckFailedError("the simulated top gave no result")
    return int.from_bytes(frame[: manifest.class_bytes], "little"), n_cycles


def _names(chain: Chain, vcd: Vcd) -> Iterator[tuple[str, str]]:
    """(name in the model, scopes joined by dots; full name in the Verilog) of what has both."""
    manifest = chain.manifest
    if manifest.arch != "stream":
        yield from _features(chain, vcd)
    used: set[str] = set()
    for scope, net, lane in _clouds(chain, vcd):
        for gate in range(net.n_gates):
            wire = f"{scope}.n{net.first_gate + gate}"
            if wire not in vcd.signals:
                continue
            name = f"{_neuron(net, gate)}{lane}"
            if name in used:
                name += f"_n{net.first_gate + gate}"
            used.add(name)
            yield name, wire


def _features(chain: Chain, vcd: Vcd) -> Iterator[tuple[str, str]]:
    """Bits of the encoder as the gates of an unrolled design see them."""
    encoder = chain.net.encoder
    assert encoder is not None
    for number in chain.manifest.used_inputs:
        wire = f"{chain.manifest.modules['top']}.core.gates.n{1 + number}"
        if wire in vcd.signals:
            place = np.unravel_index(int(encoder.feature[number]), encoder.shape)
            at = "_".join(str(int(index)) for index in place)
            yield f"features.x_{at}_above_{int(encoder.threshold[number])}", wire


def _clouds(chain: Chain, vcd: Vcd) -> Iterator[tuple[str, Netlist, str]]:
    """(scope of the Verilog, the netlist in it, ending of its names) of each cloud of gates."""
    top = chain.manifest.modules["top"]
    if chain.manifest.arch != "stream":
        yield f"{top}.core.gates", chain.net, ""
        return
    spec = load_spec(chain.folder.path)
    scopes = {name.rpartition(".")[0] for name in vcd.signals}
    for stage in spec.stages:
        for lane in range(spec.lanes):
            scope = f"{top}.{stage.name}.gates_{lane}"
            if isinstance(stage, WindowSpec) and scope in scopes:
                yield scope, stage.net, f"_lane_{lane}" if spec.lanes > 1 else ""
    if spec.tail is not None:
        yield f"{top}.core.gates", spec.tail, ""


def _neuron(net: Netlist, gate: int) -> str:
    """The place in the model that a gate computes."""
    site = net.site_of(gate)
    if site is None:
        return f"merged.n{net.first_gate + gate}"
    at = f"_at_{site.row}_{site.column}" if site.row >= 0 else ""
    return f"{_plain(site.layer)}.neuron_{site.kernel}{at}" + (
        f"_gate_{site.gate}" if site.gate else ""
    )


def _scores(manifest: Manifest, vcd: Vcd) -> dict[str, tuple[str, int, int]]:
    """Name in the model to (full name in the Verilog, lowest bit, width) of each class's score.

    It is the score as the core compares it: an offset common to all classes may be left out.
    """
    wire = f"{manifest.modules['top']}.core.scores_now"
    if wire not in vcd.signals or vcd.signals[wire][1] < 2:
        return {}
    names = manifest.class_names or tuple(map(str, range(manifest.n_classes)))
    width = vcd.signals[wire][1] // manifest.n_classes
    return {f"scores.class_{_plain(n)}": (wire, c * width, width) for c, n in enumerate(names)}


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def _insert(
    path: Path, vcd: Vcd, aliases: dict[str, str], slices: dict[str, tuple[str, int, int]]
) -> None:
    """Add the scope ``model``: other names for signals that are there, and slices of them."""
    variables = [(name, *vcd.signals[wire]) for name, wire in aliases.items()]
    parts: dict[str, list[tuple[str, int, int]]] = {}
    for number, (name, (wire, low, width)) in enumerate(slices.items()):
        code = f"s{number}"
        variables.append((name, code, width))
        parts.setdefault(vcd.signals[wire][0], []).append((code, low, width))
    # Yosys' own codes begin with n
    assert not any(code.startswith("s") for code, _ in vcd.signals.values())
    scopes: dict[str, list[str]] = {}
    for name, code, width in variables:
        scope, _, leaf = name.rpartition(".")
        span = f" [{width - 1}:0]" if width > 1 else ""
        scopes.setdefault(scope, []).append(f"$var wire {width} {code} {leaf}{span} $end")
    header = ["$scope module model $end"]
    for scope, lines in scopes.items():
        header += [f"$scope module {scope} $end", *lines, "$upscope $end"]
    header += ["$upscope $end", "$enddefinitions $end"]
    result: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line == "$enddefinitions $end":
            result += header
            continue
        result.append(line)
        value, _, code = line.partition(" ")
        if value[:1] == "b" and code in parts:
            bits = value[1:].rjust(max(low + width for _, low, width in parts[code]), "0")
            result += [
                f"b{bits[len(bits) - low - width : len(bits) - low]} {part}"
                for part, low, width in parts[code]
            ]
    path.write_text("\n".join(result) + "\n", encoding="utf-8")


def _save_file(path: Path, manifest: Manifest, slices: dict[str, tuple[str, int, int]]) -> str:
    """A GTKWave save file: clock and reset, both streams, then the score of each class."""
    top = manifest.modules["top"]
    lines = [f'[dumpfile] "{path.resolve()}"', "[timestart] 0", "@28", f"{top}.clk", f"{top}.rst"]
    width = 8 * manifest.bus_bytes
    for stream in ("s_axis", "m_axis"):
        lines += ["@200", f"-{stream}", "@28"]
        lines += [f"{top}.{stream}_{name}" for name in _STREAMS[:-1]]
        lines += ["@22", f"{top}.{stream}_tdata[{width - 1}:0]"]
    lines += ["@28", f"{top}.frame_error", "@200", "-scores of the classes", "@24"]
    for name, (_, _, width) in slices.items():
        lines.append(f"model.{name}" + (f"[{width - 1}:0]" if width > 1 else ""))
    return "\n".join(lines) + "\n"
