"""compile: a trained model to an optimised netlist and generic RTL."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate2hw import __version__
from gate2hw.errors import InputError, ModelFileError
from gate2hw.flow.build import BuildFolder, Progress, Step, key_of, silent
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import (
    atomic_path,
    file_sha256,
    load_golden,
    load_network,
    save_netlist,
    save_network,
)
from gate2hw.ir.unroll import unroll

if TYPE_CHECKING:
    import torch

__all__ = ["compile", "model_path"]

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


def _compile(
    folder: BuildFolder,
    network: LogicNetwork,
    source: Path | None,
    options: dict[str, Any],
    progress: Progress,
) -> tuple[list[Path], dict[str, Any]]:
    from gate2hw.passes.manager import run_pipeline
    from gate2hw.passes.pipelines import pipeline
    from gate2hw.rtl import RtlOptions, emit_rtl

    pipeline(options["opt_level"])
    rtl_options = RtlOptions(
        name=options["name"], output=options["output"], bus_bytes=options["bus_bytes"]
    )
    # what was checked or placed before belongs to RTL that is about to be replaced
    folder.drop(lambda step: step != "train")
    for stale in (folder.path / "rtl").glob("*.v"):
        stale.unlink()
    progress(0, 4, "unrolling")
    files, golden_reason = _write_model(folder, network, source)
    raw = unroll(network)
    save_netlist(folder.path / "netlist_raw.npz", raw)
    progress(1, 4, f"optimising {raw.n_gates:,} gates")
    outcome = run_pipeline(raw, options["opt_level"])
    net = outcome.net
    save_netlist(folder.path / "netlist.npz", net)
    progress(2, 4, f"writing Verilog of {net.n_gates:,} gates")
    rtl_dir = folder.path / "rtl"
    manifest = emit_rtl(net, rtl_dir, rtl_options, version=__version__)
    progress(4, 4, "compiled")
    files += [folder.path / "netlist_raw.npz", folder.path / "netlist.npz"]
    files += [rtl_dir / name for name in manifest.files] + [rtl_dir / "manifest.json"]
    result = {
        "options": options,
        "model": {
            "digest": network.digest,
            "dataset": network.dataset,
            "classes": list(network.class_names),
        },
        "gates": {
            "unique": network.n_unique_gates,
            "instantiated": raw.n_gates,
            "optimised": net.n_gates,
            "depth": net.depth,
        },
        "passes": [asdict(record) for record in outcome.records],
        "inputs": {"total": net.n_inputs, "used": len(net.used_inputs())},
        "golden_reason": golden_reason,
        "manifest": "rtl/manifest.json",
    }
    return files, result


def compile(
    model: Path | str | LogicNetwork | torch.nn.Module,
    out_dir: Path | str,
    *,
    name: str = "lgn",
    opt_level: int = 3,
    output: str = "class",
    bus_bytes: int = 1,
    progress: Progress = silent,
) -> Step:
    """Compile `model` into the build folder `out_dir`: netlists and RTL.

    `model` is a model file, its folder, a LogicNetwork or a torch module. `name` prefixes every
    Verilog module, `opt_level` is 0..3, `output` is ``"class"`` or ``"scores"``, `bus_bytes` (1, 2,
    4, 8) is the width of the streams. Returns the step; its result holds the gate counts and the
    record of every pass. Raises InputError or ModelFileError for what cannot be used.
    """
    network, source = _load(model)
    folder = BuildFolder(out_dir)
    options = {
        "name": name,
        "opt_level": opt_level,
        "output": output,
        "bus_bytes": bus_bytes,
    }
    golden = source.with_name("golden.npz") if source is not None else None
    key = key_of(
        step="compile",
        model=network.digest,
        info=network.info,
        classes=network.class_names,
        golden=file_sha256(golden) if golden is not None and golden.is_file() else None,
        options=options,
    )
    return folder.run("compile", key, lambda: _compile(folder, network, source, options, progress))
