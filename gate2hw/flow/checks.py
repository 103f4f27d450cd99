"""The links of the chain that need no simulator: digests and files, scores, proofs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.build import BuildFolder, Progress
from gate2hw.flow.gatecloud import PROOF_TIMEOUT_S
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import check_input, classes, random_features, scores
from gate2hw.ir.store import Golden, load_golden, load_netlist, load_network
from gate2hw.ir.unroll import unroll
from gate2hw.passes.equivalence import Proof, prove_equal
from gate2hw.passes.manager import run_pipeline
from gate2hw.rtl import Manifest

__all__ = ["Chain", "check_rtl_files", "check_software", "load_chain", "prove_passes"]


@dataclass(frozen=True)
class Chain:
    """What a build folder holds of the chain, loaded and of one digest."""

    folder: BuildFolder
    network: LogicNetwork
    raw: Netlist
    net: Netlist
    golden: Golden | None
    golden_path: Path | None
    golden_reason: str | None
    manifest: Manifest
    compiled: dict[str, Any] = field(default_factory=dict)


def _golden(
    folder: BuildFolder, given: Path | None, network: LogicNetwork, compiled: dict[str, Any]
) -> tuple[Golden | None, Path | None, str | None]:
    path = given or folder.path / "golden.npz"
    if given is None and not path.is_file():
        return None, None, compiled.get("golden_reason") or "the build folder has no golden file"
    golden = load_golden(path)
    if golden.digest != network.digest:
        raise InputError(
            f"{path} belongs to another model: digest {golden.digest[:12]}, the build folder's "
            f"model has {network.digest[:12]}; give the golden file that was trained with it"
        )
    thermometer = network.thermometer
    if golden.x.shape[1:] != thermometer.input_shape:
        raise InputError(
            f"{path}: inputs have shape {golden.x.shape[1:]}, the model expects "
            f"{thermometer.input_shape}"
        )
    if golden.scores.shape[1] != network.group_sum.n_classes:
        raise InputError(
            f"{path}: scores of {golden.scores.shape[1]} classes, the model has "
            f"{network.group_sum.n_classes}"
        )
    return golden, path, None


def load_chain(folder: BuildFolder, golden: Path | None = None) -> Chain:
    """Load the files of a build folder; InputError where they do not belong together."""
    compiled = folder.result("compile")
    if compiled is None:
        raise InputError(
            f"{folder.path}: not compiled yet; run: gate2hw compile MODEL -o {folder.path}"
        )
    network = load_network(folder.path / "model.safetensors")
    raw = load_netlist(folder.path / "netlist_raw.npz")
    net = load_netlist(folder.path / "netlist.npz")
    manifest = Manifest.load(folder.path / "rtl" / "manifest.json")
    for what, digest in (
        ("netlist_raw.npz", raw.digest),
        ("netlist.npz", net.digest),
        ("rtl/manifest.json", manifest.model_digest),
    ):
        if digest != network.digest:
            raise InputError(
                f"{folder.path / what} belongs to another model: digest {digest[:12]}, "
                f"model.safetensors has {network.digest[:12]}; compile again"
            )
    found, path, reason = _golden(folder, golden, network, compiled)
    if found is not None and raw.encoder is not None:
        check_input(raw.encoder, found.x)
    check_rtl_files(folder.path / "rtl", manifest, net)
    return Chain(folder, network, raw, net, found, path, reason, manifest, compiled)


def check_rtl_files(rtl_dir: Path, manifest: Manifest, net: Netlist) -> None:
    """Raise InputError where the Verilog is not what `compile` or `synth` wrote from `net`."""
    if manifest.netlist_digest != net.content_digest():
        raise InputError(f"{rtl_dir}: its Verilog was made from another netlist; compile again")
    manifest.check_files(rtl_dir)


def _compare(
    what: str,
    expected: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
    x: npt.NDArray[Any],
) -> int:
    """Number of vectors whose scores differ; raises CheckFailedError with the first of them."""
    bad = np.flatnonzero((expected != found).any(axis=1))
    if len(bad):
        first = int(bad[0])
        raise CheckFailedError(
            f"{what}: {len(bad)} of {len(x)} vectors differ; vector {first}, "
            f"input {x[first].ravel().tolist()}: expected scores {expected[first].tolist()}, "
            f"found {found[first].tolist()}"
        )
    return len(x)


def check_software(chain: Chain, n_random: int) -> dict[str, Any]:
    """torch = LogicNetwork = raw netlist = optimised netlist, on the test set and random inputs.

    The stored raw netlist must also be what `unroll` makes of the stored model. Returns the
    counts; raises CheckFailedError with the first counter-example.
    """
    raw, net, golden = chain.raw, chain.net, chain.golden
    if unroll(chain.network).content_digest() != raw.content_digest():
        raise CheckFailedError("netlist_raw.npz is not what the model unrolls to; compile again")
    n_golden = 0
    if golden is not None:
        found = scores(raw, golden.x)
        n_golden = _compare("torch against the raw netlist", golden.scores, found, golden.x)
        if (classes(found) != golden.classes).any():
            raise CheckFailedError("torch's classes are not the winners of its own scores")
        found = scores(net, golden.x)
        _compare("torch against the optimised netlist", golden.scores, found, golden.x)
    if raw.encoder is not None and n_random:
        x = random_features(raw.encoder, n_random, np.random.default_rng(1))
        _compare("raw against optimised netlist", scores(raw, x), scores(net, x), x)
    return {
        "method": "reference simulator",
        "n_golden": n_golden,
        "n_random": n_random,
        "mismatches": 0,
    }


def prove_passes(chain: Chain, work_dir: Path, progress: Progress) -> list[dict[str, Any]]:
    """Run the recorded pipeline again, proving every pass; the result must be `netlist.npz`.

    Returns one entry for each pass that changed something; `result` is "equivalent" or
    "undecided". Raises CheckFailedError where a pass is wrong.
    """

    def prove(before: Netlist, after: Netlist) -> Proof:
        return prove_equal(before, after, work_dir=work_dir, timeout_s=PROOF_TIMEOUT_S)

    outcome = run_pipeline(
        chain.raw, chain.compiled["options"]["opt_level"], prove=prove, progress=progress
    )
    if outcome.net.content_digest() != chain.net.content_digest():
        raise CheckFailedError("netlist.npz is not what the passes make of netlist_raw.npz")
    return [
        {"name": record.name, "result": record.proof, "time_s": round(record.check_time_s, 3)}
        for record in outcome.records
        if record.changed
    ]
