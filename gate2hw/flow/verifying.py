"""verify: every link of the chain, on exactly the files of a build folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gate2hw.errors import CheckFailedError, DoesNotFitError, InputError
from gate2hw.flow.asic import asic_checks
from gate2hw.flow.asic.asic import TARGET as ASIC
from gate2hw.flow.build import LUTS, BuildFolder, Progress, key_of, silent
from gate2hw.flow.clock.target_core import core_bench
from gate2hw.flow.signoff import benches
from gate2hw.flow.signoff.checks import (
    Chain,
    check_rtl_files,
    check_software,
    load_chain,
    prove_luts,
    prove_passes,
)
from gate2hw.flow.signoff.formal import FREE_MODULES, prove_streams, rules_digest
from gate2hw.flow.signoff.gatecloud import prove_cells, prove_gates, prove_popcounts
from gate2hw.flow.signoff.sharing import NAME as SHARING
from gate2hw.flow.stream.stage_proofs import prove_stages
from gate2hw.flow.stream.stream_build import load_spec, prove_stream, prove_target_cells
from gate2hw.flow.synthesis import cells_of_target, rtl_of_target
from gate2hw.flow.tops.boardsim import cell_models
from gate2hw.ir.store import file_sha256
from gate2hw.rtl import Manifest
from gate2hw.tools import registry, simulators
from gate2hw.tools.targets import load_target

__all__ = ["verify"]

NO_PROOF = "skipped by --no-proof"
NO_CORE = "a streaming design has no core of its own; its top is simulated"
Work = Callable[[], dict[str, Any]]


@dataclass
class _Verifier:
    """Runs links one by one, records each, and goes on after a failed one."""

    chain: Chain
    simulator: str
    n_random: int
    progress: Progress
    files: tuple[Path, ...] = ()
    links: list[dict[str, Any]] = field(default_factory=list)
    n_links: int = 0
    missing_tools: set[str] = field(default_factory=set)

    def add(self, name: str, result: str, detail: str) -> None:
        self.links.append({"name": name, "result": result, "detail": detail})

    def link(self, step: str, name: str, key: str, work: Work) -> None:
        """Do one link unless it passed before on the same files."""
        folder = self.chain.folder
        self.progress(len(self.links), self.n_links, name)
        if folder.is_done(step, key):
            check = (folder.result(step) or {})["check"]
            self.add(name, "passed", _detail(check) + " (checked before)")
            return
        start = time.perf_counter()
        try:
            check = work()
        except CheckFailedError as error:
            failed = {**error.details, "result": "failed", "message": str(error)}
            folder.put(step, "failed", self.files, {"check": failed, "reason": None}, 0.0)
            self.add(name, "FAILED", str(error))
            return
        time_s = time.perf_counter() - start
        is_open = check.get("result") == "undecided"
        # what is undecided is kept for the report, but tried again by the next run
        done = "undecided" if is_open else key
        folder.put(step, done, self.files, {"check": check, "reason": None}, time_s)
        self.add(name, "undecided" if is_open else "passed", _detail(check))

    def skip(self, step: str, name: str, key: str, reason: str) -> None:
        """Record a link as not checked; what an earlier run found out about it is kept."""
        folder = self.chain.folder
        if folder.is_done(step, key):
            self.link(step, name, key, dict)
            return
        record = folder.steps().get(step)
        if record is None or record["result"]["check"] is None:
            folder.put(step, "skipped", [], {"check": None, "reason": reason}, 0.0)
        self.add(name, "not checked", reason)


def _detail(check: dict[str, Any]) -> str:
    """One line about a passed check."""
    if "properties" in check:
        n_rules = sum(entry["name"].startswith("bad_") for entry in check["properties"])
        doubts = check["not_proved"]
        n_held = n_rules - sum(name.startswith("bad_") for name in doubts)
        text = f"{check['method']}: {n_held} of {n_rules} rules hold in every run"
        return text + (f"; not decided in time: {', '.join(doubts)}" if doubts else "")
    if "n_vectors" in check:
        proved = "cells proved by ABC cec; " if "cells" in check else ""
        vectors = f"{check['n_vectors']:,} vectors, {check['mismatches']} differ"
        if "core" in check:
            vectors += f"; its core alone: {check['core']['n_vectors']:,}"
        return f"{proved}{check['simulator']}: {vectors}"
    if "passes" in check:
        told = {entry["name"]: entry["result"] for entry in check["passes"]}
        what = "kernels simplified once, " if told.pop(SHARING, "") == "equivalent" else ""
        luts = ", the LUT netlist" if "luts" in check else ""
        text = f"{check['method']}: {what}{len(told)} passes{luts} and the gate cloud equivalent"
        return text + "".join(f"; {said}" for said in check.get("not_proved", ()))
    kinds = {"test": check["n_golden"], "random": check["n_random"]}
    counted = " and ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    return f"{check['method']}: {counted} vectors"


def _method(passes: list[dict[str, Any]]) -> str:
    """How the passes were proved: by ABC on the whole, and what was done where it was too large."""
    parts = [f"{entry['name']}: {entry['coverage']}" for entry in passes if entry["in_parts"]]
    return "; ".join(["ABC cec", *parts])


def _proof_work(chain: Chain, progress: Progress) -> dict[str, Any]:
    work_dir = chain.folder.path / "proof"
    if chain.manifest.arch == "stream":
        passes = prove_stream(chain, work_dir, progress)
        gates: dict[str, Any] = {"result": "equivalent"}
    else:
        passes = prove_passes(chain, work_dir, progress)
        progress(0, 0, "proving the Verilog gate cloud")
        gates = prove_gates(chain.net, chain.folder.path / "rtl", chain.manifest, work_dir)
    undecided = [entry for entry in passes if entry["result"] not in ("equivalent", "simulated")]
    if undecided:
        told = "; ".join(f"{entry['name']}: {entry['reason']}" for entry in undecided)
        names = ", ".join(entry["name"] for entry in undecided)
        raise CheckFailedError(f"no proof of {names} ({told}); see --no-proof")
    result: dict[str, Any] = {
        "method": _method(passes),
        "result": "equivalent",
        "passes": passes,
        "not_proved": [
            f"{entry['name']} is not proved ({entry['reason']}): {entry['coverage']}"
            for entry in passes
            if entry["result"] == "simulated"
        ],
        "gate_cloud": gates,
        "head": "checked by simulation: scores and class compared bit for bit",
    }
    if chain.luts is not None:
        progress(0, 0, "proving the LUT netlist")
        result["luts"] = prove_luts(chain, work_dir)
    return result


def _links_without_golden(run: _Verifier, key: str, reason: str) -> None:
    """What torch computed is not known; the model file and its netlists are there all the same."""
    chain, n_random = run.chain, run.n_random
    exact = "torch = exact model" if chain.is_lossy else "torch = LogicNetwork"
    run.skip("verify.software", exact, key, reason)
    root = "approximated netlist" if chain.is_lossy else "LogicNetwork = netlist before"
    step, name = "verify.network", f"{root} = after passes"
    if n_random:
        run.link(step, name, key, lambda: check_software(chain, n_random))
    else:
        run.skip(step, name, key, "no random vectors were asked for, and there are no others")


def _generic_links(run: _Verifier, proof: bool, sources_key: dict[str, Any]) -> None:
    chain, n_random = run.chain, run.n_random
    key = key_of(step="software", n_random=n_random, **sources_key)
    root = "approximated netlist" if chain.is_lossy else "torch = netlist before"
    if chain.golden_reason is None:
        name = f"{root} = after passes"
        run.link("verify.software", name, key, lambda: check_software(chain, n_random))
    else:
        _links_without_golden(run, key, chain.golden_reason)
    name = "every pass and the Verilog gates proved"
    key = key_of(step="proof", tools=registry.versions(["yosys", "abc"]), **sources_key)
    if proof:
        run.link("verify.proof", name, key, lambda: _proof_work(chain, run.progress))
    else:
        run.skip("verify.proof", name, key, NO_PROOF)
    _stream_link(run, proof, sources_key)
    missing = simulators.available(run.simulator)
    versions = simulators.versions(run.simulator)
    for kind in benches.KINDS:
        step, name = f"verify.{kind}", f"Verilog {kind} simulated"
        key = key_of(step=step, n_random=n_random, simulator=versions, **sources_key)
        if kind == "core" and chain.manifest.arch == "stream":
            run.skip(step, name, key, NO_CORE)
            continue
        if missing is not None:
            run.missing_tools.add(missing)
            run.skip(step, name, key, missing)
            continue
        bench = benches.Bench(
            kind=kind,
            sources=_sources(chain.folder.path / "rtl", chain.manifest, kind),
            manifest=chain.manifest,
            manifest_path=chain.folder.path / "rtl" / "manifest.json",
            work_dir=chain.folder.path / "sim",
            simulator=run.simulator,
            n_random=n_random,
        )
        run.link(step, name, key, partial(benches.run, bench, chain))


def _stream_link(run: _Verifier, proof: bool, sources_key: dict[str, Any]) -> None:
    """No frame lost, doubled or stuck, whatever the data; where the architecture is known to it."""
    chain = run.chain
    if chain.manifest.arch not in FREE_MODULES:
        return
    step, name = "verify.streams", "handshakes of both streams proved"
    tools = registry.versions(["yosys", "abc"])
    key = key_of(step=step, tools=tools, rules=rules_digest(), **sources_key)
    if not proof:
        run.skip(step, name, key, NO_PROOF)
        return
    rtl_dir = chain.folder.path / "rtl"

    def work() -> dict[str, Any]:
        sources = _sources(rtl_dir, chain.manifest, "top")
        work_dir = chain.folder.path / "proof" / "streams"
        if chain.manifest.arch == "stream":
            spec = load_spec(chain.folder.path)
            return prove_stages(spec, rtl_dir, work_dir, progress=run.progress)
        return prove_streams(sources, chain.manifest, rtl_dir / "manifest.json", work_dir)

    run.link(step, name, key, work)


def _sources(rtl_dir: Path, manifest: Manifest, kind: str) -> tuple[Path, ...]:
    """The Verilog files of the core, or of the core and the top."""
    unwanted = {manifest.modules["top"] + ".v"} if kind == "core" else set()
    return tuple(rtl_dir / name for name in manifest.files if name not in unwanted)


def _target_links(run: _Verifier, target: str, proof: bool, sources_key: dict[str, Any]) -> None:
    chain = run.chain
    device = load_target(target)
    result = chain.folder.result(f"synth.{target}") or {}
    step, name = f"verify.{target}", f"{target}: netlist after synthesis simulated"
    if not result["fits"]:
        raise DoesNotFitError(
            f"{target} was refused by synth, there is nothing to check: it {result['reason']}"
        )
    rtl_dir, manifest = rtl_of_target(chain.folder, device)
    check_rtl_files(rtl_dir, manifest, chain.net)
    netlist = chain.folder.path / target / f"{manifest.modules['top']}_synth.v"
    if not netlist.is_file():
        raise InputError(f"{netlist} is missing; run gate2hw synth again")
    record = chain.folder.steps()[f"synth.{target}"]
    if not chain.folder.files_unchanged(record):
        raise InputError(
            f"{chain.folder.path / target}: files have changed since synth; run gate2hw synth "
            f"{chain.folder.path} --target {target}"
        )
    cells = cells_of_target(chain.folder, device, manifest)
    is_ours = result.get("mapper") == "gate2hw"
    run.files = tuple(chain.folder.path / name for name in record["files"])
    run.files += tuple(rtl_dir / name for name in manifest.files)
    key = key_of(
        step=step,
        files=record["files"],
        n_random=run.n_random,
        simulator=simulators.versions(run.simulator),
        proof=proof,
        **sources_key,
    )
    missing = simulators.available(run.simulator)
    if missing is not None:
        run.missing_tools.add(missing)
        run.skip(step, name, key, missing)
        return
    work_dir = chain.folder.path / target / "sim"
    models = cell_models(device.family, [netlist], work_dir / "cells")
    bench = benches.Bench(
        kind="top",
        sources=(netlist, *models),
        manifest=manifest,
        manifest_path=rtl_dir / "manifest.json",
        work_dir=work_dir,
        simulator=run.simulator,
        n_random=run.n_random,
    )

    def work() -> dict[str, Any]:
        work_dir = chain.folder.path / target / "proof"
        if proof and is_ours and manifest.arch == "stream":
            cells_dir = cells.parent
            proved = prove_target_cells(
                chain.folder.path, cells_dir, manifest, device.family, work_dir
            )
        elif proof and is_ours:
            proved = {
                "gates": prove_cells(chain.net, cells, manifest, device.family, work_dir),
            }
            if manifest.popcount == "luts":
                proved["popcounts"] = prove_popcounts(
                    chain.net, manifest, device.family, work_dir, cells.parent
                )
        elif proof and rtl_dir != chain.folder.path / "rtl" and manifest.arch != "stream":
            proved = {"gates": prove_gates(chain.net, rtl_dir, manifest, work_dir)}
        else:
            proved = {}
        of_cells = cells.parent if is_ours else None
        core = core_bench(bench, chain.manifest, rtl_dir, of_cells, device.family)
        alone = {} if core is None else {"core": benches.run(core, chain)}
        return {**benches.run(bench, chain), **alone, **({"cells": proved} if proved else {})}

    run.link(step, name, key, work)


def _asic_link(run: _Verifier, target: str, proof: bool, sources_key: dict[str, Any]) -> None:
    check = asic_checks.prepare(run.chain, run.simulator, run.n_random)
    step, name = f"verify.{target}", f"{target}: mapped netlist simulated"
    run.files = check.files
    key = key_of(step=step, n_random=run.n_random, proof=proof, **check.key, **sources_key)
    if check.missing is not None:
        run.missing_tools.add(check.missing)
        run.skip(step, name, key, check.missing)
        return
    run.link(step, name, key, partial(check.work, proof))


def verify(
    out_dir: Path | str,
    *,
    target: str | None = None,
    simulator: str = "verilator",
    n_random: int = 1000,
    golden: Path | str | None = None,
    proof: bool = True,
    links: Literal["all", "generic", "target"] = "all",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Check every link of the chain on exactly the files of the build folder `out_dir`.

    The generic links are: scores of torch's golden file against both netlists (without one, those
    of the LogicNetwork), ABC proofs of the step that simplifies kernels, of every pass and of the
    Verilog gate cloud, and simulation of core and top. With `target`, also
    that target's RTL and its netlist after synthesis. `links` leaves out a half. A link that
    passed before on the same files is not done again.

    Returns ``{"links": [{name, result, detail}], "failed": bool, "undecided": [sentences],
    "not_checked": [reasons]}``; a link's result is passed, FAILED, undecided (a proof that took
    too long) or not checked, and the reasons are missing tools.
    Raises InputError where files are missing, altered or belong to another model.
    """
    if simulator not in ("verilator", "icarus"):
        raise InputError(f"unknown simulator {simulator!r}; allowed: icarus, verilator")
    folder = BuildFolder.existing(out_dir)
    known = target if target in (None, ASIC) else load_target(str(target)).name
    if target is not None and folder.result(f"synth.{known}") is None:
        raise InputError(
            f"{out_dir} was not synthesised for {target}; run: gate2hw synth {out_dir} "
            f"--target {target}" + (" --liberty FILE" if target == ASIC else "")
        )
    chain = load_chain(folder, None if golden is None else Path(golden))
    sources_key = {
        "model": chain.network.digest,
        "raw": chain.raw.content_digest(),
        "netlist": chain.net.content_digest(),
        "luts": None if chain.luts is None else chain.luts.content_digest(),
        "rtl": file_sha256(folder.path / "rtl" / "manifest.json"),
        "golden": None if chain.golden_path is None else file_sha256(chain.golden_path),
    }
    # a verdict is about these files: where one changes, `report` calls it stale
    names = ("model.safetensors", "netlist_raw.npz", "netlist.npz", LUTS)
    rtl_files = tuple(folder.path / "rtl" / name for name in chain.manifest.files)
    rtl_files += (folder.path / "rtl" / "manifest.json",)
    rtl_files += tuple(folder.path / name for name in names if (folder.path / name).is_file())
    run = _Verifier(chain, simulator, n_random, progress, rtl_files)
    n_generic = 4 + (chain.golden_reason is not None) + (chain.manifest.arch in FREE_MODULES)
    run.n_links = n_generic * (links != "target") + (target is not None and links != "generic")
    if links != "target":
        _generic_links(run, proof, sources_key)
    if target is not None and links != "generic":
        links_of = _asic_link if target == ASIC else _target_links
        links_of(run, target, proof, sources_key)
    progress(run.n_links, run.n_links, "done")
    return {
        "links": run.links,
        "failed": any(link["result"] == "FAILED" for link in run.links),
        "undecided": [
            f"{link['name']}: {link['detail']}"
            for link in run.links
            if link["result"] == "undecided"
        ],
        "not_checked": [
            link["detail"]
            for link in run.links
            if link["result"] == "not checked" and link["detail"] in run.missing_tools
        ],
        "golden_reason": chain.golden_reason,
    }
