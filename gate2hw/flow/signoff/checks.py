"""The links of the chain that need no simulator: digests and files, scores, proofs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.build import LUTS, BuildFolder, Progress
from gate2hw.flow.signoff.comparing import compare_scores
from gate2hw.flow.signoff.gatecloud import PROOF_TIMEOUT_S
from gate2hw.flow.signoff.sharing import prove_start, start_of
from gate2hw.ir.care import check_care
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.lutnetlist import LutNetlist, load_lutnetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import check_input, classes, random_features, scores
from gate2hw.ir.store import Golden, load_golden, load_netlist, load_network
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.proof.equivalence import Proof, prove_equal
from gate2hw.rtl import Manifest

__all__ = [
    "Chain",
    "check_rtl_files",
    "check_software",
    "load_chain",
    "prove_luts",
    "prove_passes",
    "prover",
]


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
    luts: LutNetlist | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What `compile` was asked for."""
        options: dict[str, Any] = self.compiled.get("options", {})
        return options

    @property
    def is_lossy(self) -> bool:
        """Whether the chain starts at an approximated netlist instead of the model."""
        return self.compiled.get("approximation") is not None

    @property
    def relative(self) -> bool:
        """Whether only the class leaves the hardware, so that all scores may shift alike."""
        return bool(self.options.get("output") == "class")


def _gone(path: Path) -> InputError:
    """A golden file that the build counts on is missing."""
    return InputError(
        f"{path} was there when it was compiled and is gone; put it back or compile again"
    )


def _golden(
    folder: BuildFolder, given: Path | None, network: LogicNetwork, compiled: dict[str, Any]
) -> tuple[Golden | None, Path | None, str | None]:
    path = given or folder.path / compiled["golden"]
    if given is None and not path.is_file():
        reason = compiled.get("golden_reason")
        if reason is None:
            raise _gone(path)
        return None, None, reason
    golden = load_golden(path)
    if golden.digest != compiled["root_digest"]:
        raise InputError(
            f"{path} belongs to another model: digest {golden.digest[:12]}, the build folder's "
            f"has {compiled['root_digest'][:12]}; give the golden file that was made with it"
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
    if network.digest != compiled["model"]["digest"]:
        raise InputError(
            f"{folder.path / 'model.safetensors'} is another model than the one compiled; "
            "compile again"
        )
    for what, digest in (
        ("netlist_raw.npz", raw.digest),
        ("netlist.npz", net.digest),
        ("rtl/manifest.json", manifest.model_digest),
    ):
        if digest != compiled["root_digest"]:
            raise InputError(
                f"{folder.path / what} belongs to another model: digest {digest[:12]}, "
                f"the build is of {compiled['root_digest'][:12]}; compile again"
            )
    found, path, reason = _golden(folder, golden, network, compiled)
    if found is not None and raw.encoder is not None:
        check_input(raw.encoder, found.x)
    check_rtl_files(folder.path / "rtl", manifest, net)
    luts = _load_luts(folder.path / LUTS, raw)
    return Chain(folder, network, raw, net, found, path, reason, manifest, compiled, luts)


def _load_luts(path: Path, raw: Netlist) -> LutNetlist | None:
    """The mapped netlist, if there is one."""
    if not path.is_file():
        return None
    luts = load_lutnetlist(path)
    if luts.digest != raw.digest:
        raise InputError(
            f"{path} belongs to another model: digest {luts.digest[:12]}, netlist_raw.npz has "
            f"{raw.digest[:12]}; compile again"
        )
    return luts


def check_rtl_files(rtl_dir: Path, manifest: Manifest, net: Netlist) -> None:
    """Raise InputError where the Verilog is not what `compile` or `synth` wrote from `net`."""
    if manifest.netlist_digest != net.content_digest():
        raise InputError(f"{rtl_dir}: its Verilog was made from another netlist; compile again")
    manifest.check_files(rtl_dir)


def _check_exact(chain: Chain) -> None:
    """What a lossy build started from: torch = LogicNetwork = its netlist before passes."""
    path = chain.folder.path / "golden.npz"
    if not path.is_file():
        if chain.compiled.get("golden_reason") is None:
            raise _gone(path)
        return
    golden, network = load_golden(path), chain.network
    if golden.digest != network.digest:
        raise InputError(f"{path} belongs to another model than model.safetensors; compile again")
    found = evaluate(network, golden.x)
    compare_scores("torch against the exact LogicNetwork", golden.scores, found, golden.x)
    found = scores(start_of(network, chain.options["opt_level"]), golden.x)
    compare_scores("torch against the exact netlist", golden.scores, found, golden.x)


def check_software(chain: Chain, n_random: int) -> dict[str, Any]:
    """torch = LogicNetwork = netlist before = after passes (= LUTs), on test set and random.

    The stored netlist before passes must also be what the stored model gives; a lossy build
    starts at its approximated netlist, which its own golden file goes with. Scores are
    compared exactly; after the passes of a build whose hardware gives the class alone, the
    differences of scores and the class. The LUTs are compared where the build has them. Returns
    the counts; raises CheckFailedError with the first counter-example.
    """
    raw, golden = chain.raw, chain.golden
    if chain.is_lossy:
        _check_exact(chain)
    network = None if chain.is_lossy else chain.network
    if network is not None:
        fresh = start_of(network, chain.options["opt_level"])
        if fresh.content_digest() != raw.content_digest():
            raise CheckFailedError(
                "netlist_raw.npz is not what the model unrolls to; compile again"
            )
    later: list[tuple[str, Netlist | LutNetlist]] = [("optimised netlist", chain.net)]
    if chain.luts is not None:
        later.append(("LUT netlist", chain.luts))
    n_golden = 0
    if golden is not None:
        if network is not None:
            found = evaluate(network, golden.x)
            compare_scores("torch against the LogicNetwork", golden.scores, found, golden.x)
        found = scores(raw, golden.x)
        n_golden = compare_scores(
            "torch against the netlist before passes", golden.scores, found, golden.x
        )
        if (classes(found) != golden.classes).any():
            raise CheckFailedError("torch's classes are not the winners of its own scores")
        for name, net in later:
            found, what = scores(net, golden.x), f"torch against the {name}"
            compare_scores(what, golden.scores, found, golden.x, relative=chain.relative)
    if raw.encoder is not None and n_random:
        x = random_features(raw.encoder, n_random, np.random.default_rng(1))
        expected = scores(raw, x)
        if network is not None:
            compare_scores(
                "LogicNetwork against the netlist before passes", evaluate(network, x), expected, x
            )
        for name, net in later:
            what = f"netlist before passes against the {name}"
            compare_scores(what, expected, scores(net, x), x, relative=chain.relative)
    result = {
        "method": "reference simulator",
        "n_golden": n_golden,
        "n_random": n_random,
        "mismatches": 0,
    }
    return result if chain.luts is None else {**result, "n_luts": chain.luts.n_gates}


def prove_luts(chain: Chain, work_dir: Path) -> dict[str, Any]:
    """Prove that `luts4.npz` computes every output of the netlist; CheckFailedError if not."""
    from gate2hw.passes.mapping.lutmap import check_mapping

    assert chain.luts is not None
    care = check_care(chain.options.get("care", "none"))
    proof = check_mapping(
        chain.net, chain.luts, care=care, work_dir=work_dir, timeout_s=PROOF_TIMEOUT_S
    )
    if proof.result != "equivalent":
        raise CheckFailedError(
            f"{LUTS} is {proof.result} to netlist.npz ({proof.method}{proof.reason and ': '}"
            f"{proof.reason}); compile again"
        )
    return {"result": proof.result, "method": proof.method, "time_s": round(proof.time_s, 3)}


def prover(chain: Chain, work_dir: Path, *, relative: bool) -> Callable[[Netlist, Netlist], Proof]:
    """What proves netlists of `chain` equal under its care: (before, after) to a Proof."""
    care = check_care(chain.options.get("care", "none"))
    return partial(
        prove_equal, work_dir=work_dir, timeout_s=PROOF_TIMEOUT_S, care=care, relative=relative
    )


def prove_passes(chain: Chain, work_dir: Path, progress: Progress) -> list[dict[str, Any]]:
    """Run the recorded pipeline again, proving every pass; the result must be `netlist.npz`.

    First the step from the unrolled model to the netlist before passes is proved, if there is one.
    Returns one entry for each pass that changed something; `result` is "equivalent" or
    "undecided" (or "simulated", of a first step too large to be proved). Raises CheckFailedError
    where a pass is wrong.
    """

    options = chain.options
    care = check_care(options.get("care", "none"))
    entries = []
    if options["opt_level"] and not chain.is_lossy:
        entries.append(prove_start(chain.network, chain.raw, chain.golden, work_dir, progress))
    outcome = run_pipeline(
        chain.raw,
        options["opt_level"],
        care=care,
        output=options.get("output", "scores"),
        prove=prover(chain, work_dir, relative=chain.relative),
        progress=progress,
    )
    if outcome.net.content_digest() != chain.net.content_digest():
        raise CheckFailedError("netlist.npz is not what the passes make of netlist_raw.npz")
    entries += [
        {
            "name": record.name,
            "result": record.proof,
            "coverage": record.proof_coverage,
            "reason": record.proof_reason,
            "in_parts": "windows" in (record.proof_coverage or ""),
            "time_s": round(record.check_time_s, 3),
        }
        for record in outcome.records
        if record.changed
    ]
    return entries
