"""report: everything the build folder knows, as report.json and one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final

from gate2hw import __version__
from gate2hw.errors import InputError
from gate2hw.flow.build import BuildFolder
from gate2hw.ir.store import load_golden, load_netlist, load_network
from gate2hw.report import analyse, write_report
from gate2hw.tools import registry

__all__ = ["report"]

ASIC = "synth.asic"
NOT_RUN = "not run yet: gate2hw verify {folder}"


def _checks(folder: BuildFolder, steps: dict[str, Any]) -> dict[str, Any]:
    hint = NOT_RUN.format(folder=folder.path)

    def of(step: str) -> tuple[Any, str | None]:
        record = steps.get(step)
        if record is None:
            return None, hint
        if not folder.files_unchanged(record):
            return None, f"stale: files have changed since; run gate2hw verify {folder.path}"
        return record["result"].get("check"), record["result"].get("reason")

    simulation: dict[str, Any] = {}
    for bench in ("core", "top"):
        simulation[bench], simulation[f"{bench}_reason"] = of(f"verify.{bench}")
    proof, proof_reason = of("verify.proof")
    software, software_reason = of("verify.software")
    network: dict[str, Any] = {}
    if "verify.network" in steps:
        network["network"], network["network_reason"] = of("verify.network")
    streams: dict[str, Any] = {}
    if "verify.streams" in steps:
        streams["streams"], streams["streams_reason"] = of("verify.streams")
    post: dict[str, Any] = {}
    post_reasons: dict[str, str] = {}
    for step in steps:
        if not step.startswith("synth."):
            continue
        name = step.removeprefix("synth.")
        check, reason = of(f"verify.{name}")
        post[name] = check
        if check is None:
            default = f"not run yet: gate2hw verify {folder.path} --target {name}"
            fits = steps[step]["result"]["fits"]
            text = reason if reason not in (None, hint) else default
            post_reasons[name] = str(text) if fits else "the design does not fit this target"
    return {
        "software": software,
        "software_reason": software_reason,
        **network,
        "simulation": simulation,
        "proof": proof,
        "proof_reason": proof_reason,
        **streams,
        "post_synthesis": post,
        "post_synthesis_reasons": post_reasons,
    }


def _target(folder: BuildFolder, step: str, record: dict[str, Any]) -> dict[str, Any]:
    """The figures of a target; refused where its files are not what `synth` wrote."""
    result: dict[str, Any] = record["result"]
    if folder.files_unchanged(record):
        return result
    name = step.removeprefix("synth.")
    reason = f"stale: files have changed since; run gate2hw synth {folder.path} --target {name}"
    return {"fits": False, "reason": reason}


def _asked(result: dict[str, Any]) -> str:
    """The options that say which clock, registers and placement a run of `synth` looked for."""
    asked: dict[str, Any] = result.get("asked", {})
    text = f"--seed {asked.get('seed', result['seed'])} "
    if asked.get("clock_mhz") is not None:
        text += f"--clock-mhz {asked['clock_mhz']:g} "
    for name, option in (("latency_cycles", "latency-cycles"), ("stages", "stages")):
        if asked.get(name) is not None:
            text += f"--{option} {asked[name]} "
    return text


_OF_BOARD: Final = (
    *("fits", "target", "interface", "baud", "clock_mhz", "pll", "fmax_mhz", "clock_met", "luts"),
    *("ffs", "utilisation", "bitstream"),
)


def _board(folder: BuildFolder, steps: dict[str, Any], name: str) -> dict[str, Any]:
    """A board's figures, and what its simulation said if it was of what `board` last made."""
    record = steps[f"board.{name}"]
    result = record["result"]
    again = f"gate2hw board {folder.path} --board {name}"
    if not folder.files_unchanged(record):
        return {"fits": False, "reason": f"stale: files have changed since; run {again}"}
    if not result["fits"]:
        return {"fits": False, "reason": result["reason"]}
    entry = {key: result[key] for key in _OF_BOARD}
    simulated = steps.get(f"simulate.{name}", {"result": {"board": None}})["result"]
    if simulated["board"] != record["key"]:
        return {**entry, "simulations": None, "simulations_reason": f"not run: {again} --simulate"}
    if "failed" in simulated:
        return {**entry, "simulations": {"result": "failed", "message": simulated["failed"]}}
    return {**entry, "simulations": simulated["simulations"]}


def _boards(folder: BuildFolder, steps: dict[str, Any]) -> dict[str, Any]:
    """The entry of the boards that the model was built for, if it was for any."""
    names = [step.removeprefix("board.") for step in steps if step.startswith("board.")]
    return {"boards": {name: _board(folder, steps, name) for name in names}} if names else {}


def _board_command(folder: BuildFolder, name: str, result: dict[str, Any], simulated: bool) -> str:
    text = f"gate2hw board {folder.path} --board {name} --interface {result['interface']}"
    for option in ("clock_mhz", "baud", "seed"):
        value = result["asked"][option]
        shown = f"{value:g}" if isinstance(value, float) else value
        text += "" if value is None else f" --{option.replace('_', '-')} {shown}"
    return f"{text} --simulate" if simulated else text


def _asic(folder: BuildFolder, steps: dict[str, Any]) -> dict[str, Any]:
    """The entry of the design in standard cells, if there is one."""
    if ASIC not in steps:
        return {}
    if not folder.files_unchanged(steps[ASIC]):
        reason = "stale: files have changed since; run gate2hw synth --target asic again"
        return {"asic": None, "asic_reason": reason}
    return {"asic": steps[ASIC]["result"], "asic_reason": None}


def _asic_command(folder: BuildFolder, result: dict[str, Any]) -> str:
    text = (
        f"gate2hw synth {shlex.quote(str(folder.path))} --target asic "
        f"--liberty {shlex.quote(result['liberty'])} "
        f"--clock-mhz {result['clock_mhz']:g} --sta {result['sta']}"
    )
    if result["popcount"] != "cells":
        text += f" --popcount {result['popcount']}"
    if result["cells_path"] is not None:
        text += f" --cells {shlex.quote(result['cells_path'])}"
    return text if result["stages"] is None else f"{text} --stages {result['stages']}"


def _commands(folder: BuildFolder, steps: dict[str, Any]) -> list[str]:
    compiled = steps["compile"]["result"]
    options = compiled["options"]
    commands = [
        f"gate2hw compile {folder.path} -o {folder.path} --name {options['name']} "
        f"-O{options['opt_level']} --output {options['output']} --bus-bytes {options['bus_bytes']} "
        f"--care {options['care']}"
    ]
    if options.get("arch", "unrolled") != "unrolled":
        commands[0] += f" --arch {options['arch']}"
        commands[0] += f" --positions-per-clock {options['positions_per_clock']}"
        commands[0] += f" --target {options['target']}" if options["target"] else ""
    if compiled["approximation"]:
        commands[0] += f" --accuracy-budget {options['accuracy_budget']:g}"
        if options["samples"]:
            commands[0] += f" --samples {options['samples']}"
    commands.append(f"gate2hw verify {folder.path}")
    for step, record in steps.items():
        if step.startswith("board."):
            name = step.removeprefix("board.")
            is_simulated = f"simulate.{name}" in steps
            commands.append(_board_command(folder, name, record["result"], is_simulated))
        elif step == ASIC:
            commands.append(_asic_command(folder, record["result"]))
        elif step.startswith("synth."):
            name, result = step.removeprefix("synth."), record["result"]
            commands.append(
                f"gate2hw synth {folder.path} --target {name} "
                f"{_asked(result)}--mapper {result['mapper']}"
                + (f" --popcount {result['popcount']}" if result["fits"] else "")
            )
    return commands


def report(out_dir: Path | str) -> dict[str, Any]:
    """Write `report.json` and `report.html` of the build folder `out_dir`.

    Returns ``{"report": ..., "json": path, "html": path}``. Nothing is computed or checked anew:
    a link that `verify` has not checked is null, with the reason beside it.
    """
    folder = BuildFolder.existing(out_dir)
    steps = folder.steps()
    if "compile" not in steps:
        raise InputError(f"{out_dir}: not compiled yet; run: gate2hw compile MODEL -o {out_dir}")
    if not folder.files_unchanged(steps["compile"]):
        raise InputError(f"{out_dir}: files have changed since it was compiled; compile again")
    compiled = steps["compile"]["result"]
    network = load_network(folder.path / "model.safetensors")
    golden_path = folder.path / compiled["golden"]
    golden = load_golden(golden_path) if golden_path.is_file() else None
    if golden is not None and golden.digest != compiled["root_digest"]:
        raise InputError(
            f"{golden_path} belongs to another model than {folder.path / 'model.safetensors'}; "
            "compile again"
        )
    analysis = analyse(
        network,
        load_netlist(folder.path / "netlist.npz"),
        golden,
        folder.path / "history.csv",
    )
    report_dict: dict[str, Any] = {
        "schema": 1,
        "model": {
            "name": compiled["options"]["name"],
            "digest": compiled["root_digest"],
            "dataset": network.dataset,
            "classes": list(network.class_names),
            "n_test": 0 if golden is None else len(golden.x),
            "accuracy_soft": network.info.get("accuracy_soft"),
            "accuracy": None if golden is None else golden.accuracy,
        },
        "gates": compiled["gates"],
        "luts4": compiled["luts4"],
        "approximation": compiled["approximation"],
        "passes": compiled["passes"],
        "checks": _checks(folder, steps),
        "targets": {
            step.removeprefix("synth."): _target(folder, step, record)
            for step, record in steps.items()
            if step.startswith("synth.") and step != ASIC
        },
        **_boards(folder, steps),
        **_asic(folder, steps),
        "analysis": analysis,
        "build": {
            "gate2hw": __version__,
            "options": compiled["options"],
            "commands": _commands(folder, steps),
            "tools": registry.versions(registry.TOOLS),
        },
    }
    json_path, html_path = write_report(report_dict, folder.path)
    return {"report": report_dict, "json": str(json_path), "html": str(html_path)}
