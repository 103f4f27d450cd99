"""Streaming designs in a build folder: chosen, compiled, stored, loaded, proved."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from gate2hw import __version__
from gate2hw.errors import CheckFailedError, ModelFileError
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.signoff.checks import Chain, prover
from gate2hw.flow.signoff.comparing import compare_scores
from gate2hw.flow.signoff.gatecloud import prove_gates
from gate2hw.flow.signoff.sharing import prove_start
from gate2hw.flow.stream.stream_cells import (
    TAIL,
    has_luts,
    load_luts,
    map_parts,
    of_part,
    parts_of,
    prove_mapping,
    prove_part_cells,
    stream_clouds,
)
from gate2hw.flow.stream.streaming import Streamed, composed, stream_spec
from gate2hw.ir.care import check_care
from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import random_features, scores
from gate2hw.ir.store import load_netlist, save_netlist, write_text
from gate2hw.passes.proof.equivalence import Proof
from gate2hw.rtl import Manifest, RtlOptions
from gate2hw.rtl.stream_spec import InputSpec, PoolSpec, Stage, StreamSpec, WindowSpec
from gate2hw.tools import yosys
from gate2hw.tools.targets import Family

__all__ = [
    "StreamBuild",
    "clouds_for_target",
    "compile_stream",
    "emit_for_target",
    "is_mapped",
    "load_spec",
    "luts_of",
    "prove_stream",
    "prove_target_cells",
]

N_COMPARED: Final = 256
N_PROOF_VECTORS: Final = 4096
BLOCK_RAMS: Final = {"ice40": (30, 16)}
"""(at least so many in every part, bits wide) where a family has no memories beside block RAMs."""
_FOLDER: Final = "stream"
_SPEC: Final = "spec.json"
_ARRAYS: Final = ("net", "taps")


def _save_spec(folder: Path, spec: StreamSpec) -> list[Path]:
    """Write the design as a JSON file and one netlist for each stage; returns the files."""
    home = folder / _FOLDER
    files, stages = [], []
    for stage in spec.stages:
        fields = {key: value for key, value in vars(stage).items() if key not in _ARRAYS}
        if isinstance(stage, WindowSpec):
            files.append(home / f"{stage.name}.npz")
            save_netlist(files[-1], stage.net)
            fields["taps"] = stage.taps.tolist()
        stages.append(fields)
    if spec.tail is not None:
        files.append(home / "tail.npz")
        save_netlist(files[-1], spec.tail)
    content = {
        "input": asdict(spec.input),
        "stages": stages,
        "channels": spec.channels,
        "map_shape": spec.map_shape,
        "group_ptr": spec.group_ptr,
        "lanes": spec.lanes,
        "tail": spec.tail is not None,
    }
    files.append(home / _SPEC)
    write_text(files[-1], json.dumps(content, sort_keys=True) + "\n")
    return files


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def load_spec(folder: Path) -> StreamSpec:
    """The streaming design in a build folder; ModelFileError where it is missing or damaged."""
    home = folder / _FOLDER
    try:
        content = json.loads((home / _SPEC).read_text(encoding="utf-8"))
        stages: list[Stage] = []
        for fields in content["stages"]:
            values = {key: _tuples(value) for key, value in fields.items() if key != "taps"}
            if "taps" in fields:
                taps = np.array(fields["taps"], np.int32).reshape(-1, 3)
                net = load_netlist(home / f"{fields['name']}.npz")
                stages.append(WindowSpec(**values, net=net, taps=taps))
            else:
                stages.append(PoolSpec(**values))
        return StreamSpec(
            input=InputSpec(**{k: _tuples(v) for k, v in content["input"].items()}),
            stages=tuple(stages),
            channels=_tuples(content["channels"]),
            map_shape=_tuples(content["map_shape"]),
            group_ptr=_tuples(content["group_ptr"]),
            tail=load_netlist(home / "tail.npz") if content["tail"] else None,
            lanes=content["lanes"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{home / _SPEC} cannot be used ({error}); compile the model again"
        ) from error


def _compare(expected: Netlist, found: Netlist, n: int, relative: bool) -> int:
    """Compare the composed netlist with the one before passes on `n` random inputs."""
    assert expected.encoder is not None
    x = random_features(expected.encoder, n, np.random.default_rng(3))
    x[0], x[1] = 0, expected.encoder.max_value
    what = "netlist before passes against the trees of the streaming design"
    return compare_scores(what, scores(expected, x), scores(found, x), x, relative=relative)


class StreamBuild:
    """What `compile_stream` made: netlist, manifest, files, records of the passes, result."""

    def __init__(
        self,
        net: Netlist,
        manifest: Manifest,
        files: list[Path],
        streamed: Streamed,
        luts: dict[str, int] | None,
        plan: dict[str, Any],
    ) -> None:
        self.net = net
        self.manifest = manifest
        self.files = files
        self.records = streamed.records
        self.luts = luts
        self.plan = plan
        spec = streamed.spec
        nets = [stage.net for stage in spec.stages if isinstance(stage, WindowSpec)]
        nets += [] if spec.tail is None else [spec.tail]
        self.n_gates = sum(net.n_gates for net in nets)
        self.depth = max(net.depth for net in nets)


def compile_stream(
    folder: Path,
    network: LogicNetwork,
    root: Netlist,
    options: dict[str, Any],
    rtl_options: RtlOptions,
    progress: Progress = silent,
) -> StreamBuild:
    """Write the streaming design of `network` into a build folder.

    ``netlist.npz`` becomes what the hardware computes, unrolled; it is compared with `root`, the
    netlist before passes. Raises InputError for a network or lanes that cannot be streamed.
    """
    from gate2hw.rtl.stream_emit import emit_stream

    progress(1, 5, "simplifying the trees of each layer")
    streamed = stream_spec(
        network,
        level=options["opt_level"],
        care=check_care(options["care"]),
        output=options["output"],
        lanes=options["positions_per_clock"],
    )
    net = composed(network, streamed.spec)
    _compare(root, net, N_COMPARED, options["output"] == "class")
    for stale in (folder / _FOLDER).glob("*"):
        stale.unlink()
    files = _save_spec(folder, streamed.spec)
    luts = None
    progress(2, 5, "mapping to LUTs")
    if options["opt_level"]:
        parts = [(name, part) for name, part, _ in parts_of(streamed.spec)]
        care = check_care(options["care"])
        mapped, n_luts, depth = map_parts(
            folder / _FOLDER, parts, streamed.starts, level=options["opt_level"], care=care
        )
        files += mapped
        luts = {"luts": n_luts, "depth": depth}
    save_netlist(folder / "netlist.npz", net)
    files.append(folder / "netlist.npz")
    progress(3, 5, "writing Verilog")
    manifest, plan = emit_stream(
        streamed.spec, net, folder / "rtl", rtl_options, version=__version__
    )
    rtl_dir = folder / "rtl"
    files += [rtl_dir / name for name in [*manifest.files, "manifest.json"]]
    progress(5, 5, "compiled")
    return StreamBuild(net, manifest, files, streamed, luts, plan.to_json())


def emit_for_target(
    folder: Path, net: Netlist, rtl_dir: Path, options: RtlOptions, family: str
) -> Manifest:
    """The design of a build folder once more: with other options (the form of its popcounts), and
    memories as the family has them."""
    from gate2hw.rtl.stream_emit import emit_stream

    for stale in rtl_dir.glob("*"):
        stale.unlink()
    blocks = BLOCK_RAMS.get(family)
    manifest, _ = emit_stream(
        load_spec(folder), net, rtl_dir, options, version=__version__, blocks=blocks
    )
    return manifest


def clouds_for_target(
    folder: Path, out: Path, manifest: Manifest, family: Family
) -> list[yosys.Cloud]:
    """The gate modules of a build folder's design as LUT cells of `family`, written into `out`."""
    return stream_clouds(folder / _FOLDER, load_spec(folder), out, manifest, family)


def prove_target_cells(
    folder: Path, out: Path, manifest: Manifest, family: Family, work_dir: Path
) -> dict[str, Any]:
    """Prove what `clouds_for_target` wrote; CheckFailedError where it is not the netlists."""
    return prove_part_cells(load_spec(folder), out, manifest, family, work_dir)


def is_mapped(folder: Path) -> bool:
    """Whether the trees of a build folder's design were mapped to LUTs."""
    return has_luts(folder / _FOLDER)


def luts_of(folder: Path) -> dict[str, LutNetlist]:
    """The LUTs of a build folder's design by the instance in the top that holds them: each layer
    that streams, and ``core`` for the dense ones."""
    luts = load_luts(folder / _FOLDER, load_spec(folder))
    return {"core" if name == TAIL else name: net for name, net in luts.items()}


def _entry(name: str, proof: Proof) -> dict[str, Any]:
    return {
        "name": name,
        "result": proof.result,
        "coverage": proof.coverage,
        "reason": proof.reason,
        "in_parts": "windows" in (proof.coverage or ""),
        "time_s": round(proof.time_s, 3),
    }


def prove_stream(chain: Chain, work_dir: Path, progress: Progress) -> list[dict[str, Any]]:
    """Make the design again from the model; prove the passes of every stage, and each module.

    First the step from the model to the netlist before passes; then, for each stage, its trees
    after the passes against those before, and its Verilog module against them; in the end all
    trees at all positions (``netlist.npz``) against the netlist before passes. What is too large
    for the last proof is compared on random inputs, and called "simulated".
    Raises CheckFailedError where something differs.
    """
    options = chain.options
    relative = options["output"] == "class"
    streamed = stream_spec(
        chain.network,
        level=options["opt_level"],
        care=check_care(options["care"]),
        output=options["output"],
        lanes=options["positions_per_clock"],
    )
    spec = load_spec(chain.folder.path)
    fresh = composed(chain.network, streamed.spec).content_digest()
    stored = composed(chain.network, spec).content_digest()
    if not fresh == stored == chain.net.content_digest():
        raise CheckFailedError("netlist.npz is not what the streaming design computes")
    work_dir.mkdir(parents=True, exist_ok=True)
    entries = []
    if options["opt_level"]:
        entries.append(prove_start(chain.network, chain.raw, chain.golden, work_dir, progress))
    for name, before, after in streamed.parts:
        progress(0, 0, f"proving {name}")
        prove = prover(chain, work_dir, relative=relative and name == TAIL)
        entries.append(_entry(name, prove(before, after)))
    # pools whose windows overlap are gates too, made without a pass
    modules = [(name, net) for name, net, _ in parts_of(spec)]
    for name, net in modules:
        progress(0, 0, f"proving the Verilog of {name}")
        prove_gates(net, chain.folder.path / "rtl", of_part(chain.manifest, name), work_dir)
    progress(0, 0, "proving the LUTs of all trees")
    care = check_care(options["care"])
    prove_mapping(chain.folder.path / _FOLDER, modules, care, work_dir)
    progress(0, 0, "proving all positions")
    entries.append(_whole(chain, work_dir, relative))
    return entries


def _whole(chain: Chain, work_dir: Path, relative: bool) -> dict[str, Any]:
    """The trees at every position against the netlist before passes."""
    name = "trees at all positions"
    proof = prover(chain, work_dir, relative=relative)(chain.raw, chain.net)
    entry = _entry(name, proof)
    if proof.result == "different":
        raise CheckFailedError(f"{name}: {proof.reason}")
    if proof.result != "equivalent":
        n = _compare(chain.raw, chain.net, N_PROOF_VECTORS, relative)
        entry |= {"result": "simulated", "coverage": f"{n:,} random inputs"}
    return entry
