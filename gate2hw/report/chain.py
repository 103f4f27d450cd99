"""The chain of checks and the headline numbers, in words; the page and the terminal share them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from gate2hw.report.schema import (
    Checks,
    Comparison,
    FailedCheck,
    FittedTarget,
    Proof,
    Report,
    SoftwareCheck,
    StreamProof,
    Target,
)
from gate2hw.report.schema_boards import FittedBoard

__all__ = [
    "MARKS",
    "CheckLine",
    "Status",
    "best_target",
    "check_lines",
    "class_names",
    "clock_text",
    "lossy_sentence",
    "sample_word",
    "utilisation_of",
    "verdict",
]

Status: TypeAlias = Literal["passed", "FAILED", "not checked"]

SHARING = "unroll_shared"
"""The name of the step that simplifies kernels before they are unrolled."""

MARKS: dict[Status, str] = {"passed": "✓", "FAILED": "✗", "not checked": "–"}
"""Symbol of each status; always shown with its word."""


@dataclass(frozen=True)
class CheckLine:
    """One link of the chain: `detail` says how it was checked, or why it was not."""

    link: str
    status: Status
    detail: str


def _failed(check: Any) -> str | None:
    """What differed, if `check` failed before it could count."""
    return str(check["message"]) if check.get("result") == "failed" else None


def _counted(link: str, by: str, vectors: dict[str, int], mismatches: int) -> CheckLine:
    """A link checked by vectors; `vectors` counts them by kind."""
    n_vectors = sum(vectors.values())
    if mismatches:
        detail = f"{by}: {mismatches:,} of {n_vectors:,} vectors differ"
        return CheckLine(link, "FAILED", detail)
    if n_vectors < 1:
        return CheckLine(link, "not checked", f"{by}: no vector was compared")
    kinds = [f"{number:,} {kind}" for kind, number in vectors.items() if number]
    detail = f" ({', '.join(kinds)})" if len(kinds) > 1 else ""
    return CheckLine(link, "passed", f"{by}: {n_vectors:,} vectors{detail}, 0 mismatches")


def _simulated(link: str, check: Comparison | FailedCheck | None, reason: str | None) -> CheckLine:
    if check is None:
        return CheckLine(link, "not checked", reason or "")
    if message := _failed(check):
        return CheckLine(link, "FAILED", message)
    run = cast(Comparison, check)
    vectors = {"test": run.get("n_golden", 0), "random": run.get("n_random", 0)}
    vectors["other"] = run["n_vectors"] - sum(vectors.values())
    return _counted(link, run["simulator"], vectors, run["mismatches"])


def _software(checks: Checks, is_lossy: bool) -> Iterator[CheckLine]:
    without_golden = "network" in checks
    if is_lossy:
        torch, root = "Torch model = exact model", "Approximated netlist"
    else:
        torch = "Torch model = LogicNetwork"
        root = "LogicNetwork" if without_golden else "Torch model"
        root += " = netlist before passes"
    link = f"{root} = netlist after passes"
    if "software" in checks:
        reason = checks.get("software_reason")
        yield _compared(torch if without_golden else link, checks["software"], reason)
    if "network" in checks:
        yield _compared(link, checks["network"], checks.get("network_reason"))


def _compared(
    link: str, check: SoftwareCheck | FailedCheck | None, reason: str | None
) -> CheckLine:
    if check is None:
        return CheckLine(link, "not checked", reason or "")
    if message := _failed(check):
        return CheckLine(link, "FAILED", message)
    run = cast(SoftwareCheck, check)
    vectors = {"test": run["n_golden"], "random": run["n_random"]}
    return _counted(link, run["method"], vectors, run["mismatches"])


def _proved(checks: Checks, on_legal_codes: bool) -> Iterator[CheckLine]:
    """What is proved, and the step before it where that was only compared on vectors."""
    proof = checks["proof"]
    passes = cast(Proof, proof).get("passes", []) if proof else []
    luts = " = LUTs" if proof and "luts" in proof else ""
    link = f"Netlist before passes = after each pass{luts} = gates in Verilog"
    for entry in passes:
        if entry["name"] != SHARING:
            continue
        if entry["result"] == "equivalent":
            link = f"Unrolled model = n{link[1:]}"
        else:
            why = f" ({entry['reason']})" if entry.get("reason") else ""
            detail = f"not proved{why}: {entry['coverage'] or 'nothing was compared'}"
            status: Status = "passed" if entry["result"] == "simulated" else "not checked"
            yield CheckLine("Model = netlist before passes", status, detail)
    yield _proof_line(link, checks, on_legal_codes)


def _proof_line(link: str, checks: Checks, on_legal_codes: bool) -> CheckLine:
    proof = checks["proof"]
    if proof is None:
        return CheckLine(link, "not checked", checks.get("proof_reason") or "")
    if message := _failed(proof):
        return CheckLine(link, "FAILED", message)
    run = cast(Proof, proof)
    found: dict[str, Status] = {"equivalent": "passed", "different": "FAILED"}
    status = found.get(run["result"], "not checked")
    codes = " on all codes that the encoder can make" if on_legal_codes else ""
    return CheckLine(link, status, f"{run['method']}: {run['result']}{codes}")


def _handshakes(checks: Checks) -> Iterator[CheckLine]:
    """The proof of both streams, where there is one or it was asked for."""
    if "streams" not in checks:
        return
    link, proof = "Handshakes of both streams", checks["streams"]
    if proof is None:
        yield CheckLine(link, "not checked", checks.get("streams_reason") or "")
    elif message := _failed(proof):
        yield CheckLine(link, "FAILED", message)
    else:
        run = cast(StreamProof, proof)
        doubts = run["not_proved"]
        n_rules = sum(rule["name"].startswith("bad_") for rule in run["properties"])
        n_held = n_rules - sum(name.startswith("bad_") for name in doubts)
        text = f"{run['method']}: {n_held} of {n_rules} rules hold in every run"
        undecided = f"; not decided in time: {', '.join(doubts)}" if doubts else ""
        yield CheckLine(link, "not checked" if doubts else "passed", text + undecided)


def check_lines(report: Report) -> list[CheckLine]:
    """Every link of `report`, in the order of the chain."""
    checks = report["checks"]
    simulation = checks["simulation"]
    options = report.get("build", {}).get("options", {})
    on_legal_codes = options.get("care") == "thermometer"
    lines = [
        *_software(checks, report.get("approximation") is not None),
        *_proved(checks, on_legal_codes),
        *_handshakes(checks),
    ]
    lines += [
        _simulated(
            "Model = Verilog core, simulated", simulation["core"], simulation.get("core_reason")
        ),
        _simulated(
            "Model = Verilog top with its streams, simulated",
            simulation["top"],
            simulation.get("top_reason"),
        ),
    ]
    reasons = checks.get("post_synthesis_reasons", {})
    lines += [
        _simulated(f"Model = netlist after synthesis, {name}", check, reasons.get(name))
        for name, check in checks["post_synthesis"].items()
    ]
    if not checks["post_synthesis"]:
        reason = "no target was synthesised"
        lines.append(CheckLine("Model = netlist after synthesis", "not checked", reason))
    return lines


def lossy_sentence(report: Report) -> str:
    """What no link of a lossy build covers, in one sentence; empty for an exact build."""
    lossy = report.get("approximation")
    if lossy is None:
        return ""
    on_test = " and on the test set" if lossy.get("test") is not None else ""
    return (
        "The chain starts at the approximated netlist: the way there from the trained model is "
        f"checked by scores only, as accuracy on {lossy['n_validation']:,} validation "
        f"{sample_word(report)}{on_test}, and nothing of it is proved."
    )


def verdict(lines: list[CheckLine]) -> tuple[Status, str]:
    """The chain in one sentence; it passed only if every link did."""
    count = {status: sum(line.status == status for line in lines) for status in MARKS}
    n_lines = len(lines)
    if count["FAILED"]:
        return "FAILED", f"{count['FAILED']} of {n_lines} checks FAILED"
    if count["not checked"]:
        return (
            "not checked",
            f"{count['passed']} of {n_lines} checks passed, {count['not checked']} not checked",
        )
    return "passed", f"all {n_lines} checks passed"


def _fitted(targets: dict[str, Target]) -> Iterator[tuple[str, FittedTarget]]:
    for name, target in targets.items():
        if target["fits"]:
            yield name, target


def best_target(report: Report) -> tuple[str, FittedTarget] | None:
    """The fitting target with the most images/s; one that meets its clock goes first."""
    fitted = list(_fitted(report["targets"]))
    if not fitted:
        return None
    return max(fitted, key=lambda item: (item[1]["clock_met"], item[1]["images_per_s"]))


def clock_text(target: FittedTarget | FittedBoard) -> str:
    """``"✓ met"`` or ``"✗ MISSED"``: the constraint, not the highest clock."""
    return (
        f"{MARKS['passed']}\u00a0met" if target["clock_met"] else f"{MARKS['FAILED']}\u00a0MISSED"
    )


def sample_word(report: Report) -> str:
    """``"images"`` for inputs with rows and columns, else ``"samples"``."""
    shape = report["analysis"]["encoder"]["shape"] if "analysis" in report else [0, 0, 0]
    return "images" if len(shape) == 3 else "samples"


def utilisation_of(target: FittedTarget) -> list[tuple[str, int, int, float]]:
    """(resource, used, available, fraction) of each resource in use, fullest first."""
    rows = [
        (name, use["used"], use["available"], use["fraction"])
        for name, use in target["utilisation"].items()
        if use["used"]
    ]
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def class_names(report: Report) -> list[str]:
    """The classes' names; their numbers where the model has none."""
    names = report["model"]["classes"]
    confusion = report["analysis"]["confusion"] if "analysis" in report else None
    if names or confusion is None:
        return names
    return [str(index) for index in range(len(confusion["matrix"]))]
