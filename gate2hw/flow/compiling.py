"""compile: a trained model to an optimised netlist, LUTs and generic RTL."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate2hw import __version__
from gate2hw.errors import InputError, ModelFileError
from gate2hw.flow.approximating import Samples, approximate_within, load_samples
from gate2hw.flow.build import LUTS, BuildFolder, Progress, Step, key_of, silent
from gate2hw.ir.care import check_care
from gate2hw.ir.lutnetlist import save_lutnetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import (
    atomic_path,
    file_sha256,
    load_golden,
    load_network,
    save_golden,
    save_netlist,
    save_network,
)
from gate2hw.ir.unroll import encoder_of, instantiated_gates

if TYPE_CHECKING:
    import torch

    from gate2hw.flow.stream.stream_build import StreamBuild
    from gate2hw.passes.manager import PassRecord

__all__ = ["compile", "model_path"]

LOSSY_GOLDEN = "golden_lossy.npz"
TRAINING_FILES = ("history.csv", "recipe.toml")


def model_path(model: Path | str) -> Path:
    """The model file that `model` names: a file, or a folder that holds `model.safetensors`."""
    path = Path(model)
    if path.is_dir():
        inside = path / "model.safetensors"
        if not inside.is_file():
            raise InputError(f"{path} holds no model.safetensors; train one: gate2hw train digits")
        return inside
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file or folder")
    return path


def _load(model: Path | str | LogicNetwork | torch.nn.Module) -> tuple[LogicNetwork, Path | None]:
    """The network of `model` and its file, if it has one."""
    if isinstance(model, LogicNetwork):
        return model, None
    if isinstance(model, Path | str):
        path = model_path(model)
        return load_network(path), path
    from gate2hw.nn import to_network

    return to_network(model), None


def _copy(source: Path, target: Path) -> Path:
    if target.is_file() and (
        source.resolve() == target.resolve() or file_sha256(source) == file_sha256(target)
    ):
        return target
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _write_model(
    folder: BuildFolder, network: LogicNetwork, source: Path | None
) -> tuple[list[Path], str | None]:
    """Copy what the build needs of the training; return the files and why golden is missing."""
    model = folder.path / "model.safetensors"
    if source is None or source.resolve() != model.resolve():
        save_network(model, network)
    files = [model]
    golden = None if source is None else source.with_name("golden.npz")
    if golden is None or not golden.is_file():
        if source is None or source.parent.resolve() != folder.path.resolve():
            # those of another model must not stand beside this one
            for name in ("golden.npz", *TRAINING_FILES):
                (folder.path / name).unlink(missing_ok=True)
        if source is None:
            return files, "the model came without a golden file (compiled from Python)"
        return files, f"no golden.npz stands beside the model in {source.parent}"
    if load_golden(golden).digest != network.digest:
        raise InputError(
            f"{golden} belongs to another model (digest differs); train again, or move it away"
        )
    files.append(_copy(golden, folder.path / "golden.npz"))
    for extra in TRAINING_FILES:
        if golden.with_name(extra).is_file():
            files.append(_copy(golden.with_name(extra), folder.path / extra))
        else:
            (folder.path / extra).unlink(missing_ok=True)
    return files, None


def _approximated(
    folder: BuildFolder,
    network: LogicNetwork,
    net: Netlist,
    samples: Samples,
    options: dict[str, Any],
    progress: Progress,
) -> tuple[Netlist, dict[str, Any]]:
    """The new root of a lossy build, its golden file written, and its record."""
    from gate2hw.passes.mapping.lutmap import map_luts

    golden_path = folder.path / "golden.npz"
    golden = load_golden(golden_path) if golden_path.is_file() else None
    lossy = approximate_within(
        net,
        network,
        samples,
        golden,
        budget=options["accuracy_budget"],
        count_luts=lambda candidate: (
            map_luts(candidate, k=4, care=options["care"], effort=0).n_luts
        ),
        progress=progress,
    )
    if lossy.golden is not None:
        # beside that of the exact model, which stays what the model file goes with
        save_golden(folder.path / LOSSY_GOLDEN, lossy.golden)
    return lossy.net, lossy.record


def _drop_stale(folder: BuildFolder) -> None:
    """Forget and delete what was checked, placed and reported of the RTL about to be replaced."""
    stale = [
        *folder.path.glob("rtl/*.v"),
        *folder.path.glob("stream/*"),
        folder.path / LUTS,
        folder.path / LOSSY_GOLDEN,
    ]
    stale += [folder.path / "report.html", folder.path / "report.json"]
    for step, record in folder.steps().items():
        if step.startswith(("synth.", "board.")):
            stale += [folder.path / name for name in record["files"]]
    folder.drop(lambda step: step != "train")
    for path in stale:
        path.unlink(missing_ok=True)


def _compile(
    folder: BuildFolder,
    network: LogicNetwork,
    source: Path | None,
    samples: Samples | None,
    options: dict[str, Any],
    progress: Progress,
) -> tuple[list[Path], dict[str, Any]]:
    from gate2hw.flow.signoff.sharing import started
    from gate2hw.flow.stream.stream_build import compile_stream
    from gate2hw.flow.stream.stream_choice import check_lanes, choose_arch
    from gate2hw.passes.manager import run_pipeline
    from gate2hw.passes.mapping.lutmap import effort_for, map_luts
    from gate2hw.passes.pipelines import pipeline
    from gate2hw.rtl import RtlOptions, emit_rtl

    level, care = options["opt_level"], check_care(options["care"])
    pipeline(level)
    rtl_options = RtlOptions(
        name=options["name"], output=options["output"], bus_bytes=options["bus_bytes"], care=care
    )
    progress(0, 5, "unrolling")
    root, shared = started(network, level)
    arch, why = choose_arch(options["arch"], network, root, options["target"])
    if arch == "stream":
        if options["accuracy_budget"] is not None:
            raise InputError(f"an accuracy budget needs --arch unrolled, auto chose stream: {why}")
        check_lanes(network, options["positions_per_clock"], options["bus_bytes"])
    _drop_stale(folder)
    files, golden_reason = _write_model(folder, network, source)
    if arch == "stream":
        save_netlist(folder.path / "netlist_raw.npz", root)
        files.append(folder.path / "netlist_raw.npz")
        built = compile_stream(folder.path, network, root, options, rtl_options, progress)
        return [*files, *built.files], _stream_result(
            network, root, built, shared, options, golden_reason, why
        )
    progress(1, 5, f"optimising {root.n_gates:,} gates")
    outcome = run_pipeline(root, level, care=care, output=options["output"])
    records = [*shared, *outcome.records]
    lossy: dict[str, Any] | None = None
    if samples is not None:
        root, lossy = _approximated(folder, network, outcome.net, samples, options, progress)
        outcome = run_pipeline(root, level, care=care, output=options["output"])
        records = [*outcome.records]
        if (folder.path / LOSSY_GOLDEN).is_file():
            files.append(folder.path / LOSSY_GOLDEN)
    net = outcome.net
    save_netlist(folder.path / "netlist_raw.npz", root)
    save_netlist(folder.path / "netlist.npz", net)
    files += [folder.path / "netlist_raw.npz", folder.path / "netlist.npz"]
    progress(2, 5, f"mapping {net.n_gates:,} gates to LUTs")
    luts = None
    if level:
        effort = min(level, effort_for(net.n_gates))
        luts = map_luts(net, k=4, care=care, effort=effort, starts=outcome.snapshots)
        save_lutnetlist(folder.path / LUTS, luts)
        files.append(folder.path / LUTS)
    if lossy is not None:
        last = lossy["curve"][-1]
        cost = last["cost"] if luts is None else luts.n_luts
        as_built = {"n_gates": net.n_gates, "n_outputs": net.n_outputs, "cost": cost}
        lossy["curve"].append({**last, **as_built})
    progress(3, 5, f"writing Verilog of {net.n_gates:,} gates")
    rtl_dir = folder.path / "rtl"
    manifest = emit_rtl(net, rtl_dir, rtl_options, version=__version__)
    progress(5, 5, "compiled")
    files += [rtl_dir / name for name in manifest.files] + [rtl_dir / "manifest.json"]
    result = {
        "options": options,
        "model": {
            "digest": network.digest,
            "dataset": network.dataset,
            "classes": list(network.class_names),
        },
        "root_digest": root.digest,
        "gates": {
            "unique": network.n_unique_gates,
            "instantiated": instantiated_gates(network),
            "optimised": net.n_gates,
            "depth": net.depth,
        },
        "luts4": None if luts is None else {"luts": luts.n_luts, "depth": luts.depth},
        "passes": [asdict(record) for record in records],
        "inputs": {"total": net.n_inputs, "used": len(net.used_inputs())},
        "approximation": lossy,
        "golden": "golden.npz" if lossy is None else LOSSY_GOLDEN,
        "golden_reason": golden_reason,
        "manifest": "rtl/manifest.json",
        "arch": {"name": arch, "reason": why},
        "plan": None,
    }
    return files, result


def _stream_result(
    network: LogicNetwork,
    root: Netlist,
    built: StreamBuild,
    shared: list[PassRecord],
    options: dict[str, Any],
    golden_reason: str | None,
    why: str,
) -> dict[str, Any]:
    """What is recorded of a streaming design."""
    return {
        "options": options,
        "model": {
            "digest": network.digest,
            "dataset": network.dataset,
            "classes": list(network.class_names),
        },
        "root_digest": root.digest,
        "gates": {
            "unique": network.n_unique_gates,
            "instantiated": instantiated_gates(network),
            "optimised": built.n_gates,
            "depth": built.depth,
        },
        "luts4": built.luts,
        "passes": [asdict(record) for record in [*shared, *built.records]],
        "inputs": {"total": root.n_inputs, "used": len(built.net.used_inputs())},
        "approximation": None,
        "golden": "golden.npz",
        "golden_reason": golden_reason,
        "manifest": "rtl/manifest.json",
        "arch": {"name": "stream", "reason": why},
        "plan": built.plan,
    }


def compile(
    model: Path | str | LogicNetwork | torch.nn.Module,
    out_dir: Path | str,
    *,
    name: str = "lgn",
    opt_level: int = 3,
    output: str = "class",
    bus_bytes: int = 1,
    care: str = "thermometer",
    accuracy_budget: float | None = None,
    samples: Path | str | None = None,
    data_dir: Path | str | None = None,
    arch: str = "unrolled",
    positions_per_clock: int = 1,
    target: str | None = None,
    progress: Progress = silent,
) -> Step:
    """Compile `model` into the build folder `out_dir`: netlists and RTL.

    `model` is a model file, its folder, a LogicNetwork or a torch module. `name` prefixes every
    Verilog module, `opt_level` is 0..3, `output` is ``"class"`` or ``"scores"``, `bus_bytes` (1, 2,
    4, 8) is the width of the streams. `care` is what the optimiser may take from the encoder:
    ``"thermometer"`` (codes that no input makes do not count) or ``"none"``. `accuracy_budget`, a
    fraction, allows a lossy optimisation that loses at most so much accuracy on the validation
    split; its samples come from the .npz `samples`, or by the recipe beside the model with data
    in `data_dir`. `arch` is ``"unrolled"`` (every position has gates of its own, a sample a clock),
    ``"stream"`` (one tree for each kernel, `positions_per_clock` of them) or ``"auto"``: stream
    where the unrolled design is too large for `target` (without one: see `stream_choice`).
    Returns the step; its result holds the gate counts and the record of every pass.
    Raises InputError or ModelFileError for what cannot be used.
    """
    network, source = _load(model)
    from gate2hw.flow.stream.stream_choice import check_arch

    lossy = accuracy_budget is not None
    check_arch(network, arch, positions_per_clock, target, lossy=lossy, bus_bytes=bus_bytes)
    given = None
    if accuracy_budget is not None:
        given = load_samples(source, samples, data_dir)
        given.check(encoder_of(network.thermometer), network.group_sum.n_classes)
    elif samples is not None:
        raise InputError("samples are given, but no accuracy budget to spend on them")
    folder = BuildFolder(out_dir)
    options = {
        "name": name,
        "opt_level": opt_level,
        "output": output,
        "bus_bytes": bus_bytes,
        "care": check_care(care),
        "accuracy_budget": accuracy_budget,
        "samples": None if samples is None else str(samples),
        "arch": arch,
        "positions_per_clock": positions_per_clock,
        "target": target,
    }
    golden = source.with_name("golden.npz") if source is not None else None
    key = key_of(
        step="compile",
        model=network.digest,
        info=network.info,
        classes=network.class_names,
        golden=file_sha256(golden) if golden is not None and golden.is_file() else None,
        options=options,
        samples=None if given is None else given.digest(),
    )
    return folder.run(
        "compile", key, lambda: _compile(folder, network, source, given, options, progress)
    )
