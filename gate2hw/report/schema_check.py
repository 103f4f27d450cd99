"""Does a report have the shape that `schema` gives, and a reason for each value that is missing?"""

from __future__ import annotations

from typing import Any

from gate2hw.errors import InputError
from gate2hw.report.schema import SCHEMA, Report
from gate2hw.report.shapes import check_shape, wrong

__all__ = ["check_report"]


def _check_reason(where: str, value: Any, reason: Any) -> None:
    if value is None and not (isinstance(reason, str) and reason.strip()):
        raise InputError(f"report.json, {where}: is null without a reason beside it")


def _check_reasons(report: Any) -> None:
    checks = report["checks"]
    simulation = checks["simulation"]
    for name in ("core", "top"):
        where = f"checks.simulation.{name}"
        _check_reason(where, simulation[name], simulation.get(f"{name}_reason"))
    _check_reason("checks.proof", checks["proof"], checks.get("proof_reason"))
    if "streams" in checks:
        _check_reason("checks.streams", checks["streams"], checks.get("streams_reason"))
    for name in ("software", "network"):
        if name in checks:
            _check_reason(f"checks.{name}", checks[name], checks.get(f"{name}_reason"))
    for name, value in checks["post_synthesis"].items():
        reason = checks.get("post_synthesis_reasons", {}).get(name)
        _check_reason(f"checks.post_synthesis.{name}", value, reason)
    for name in ("confusion", "training"):
        if "analysis" in report:
            analysis = report["analysis"]
            _check_reason(f"analysis.{name}", analysis[name], analysis.get(f"{name}_reason"))
    if "asic" in report:
        _check_reason("asic", report["asic"], report.get("asic_reason"))
    for name in ("timing", "power"):
        if asic := report.get("asic"):
            _check_reason(f"asic.{name}", asic[name], asic.get(f"{name}_reason"))
    for name, target in report["targets"].items():
        if not target["fits"]:
            _check_reason(f"targets.{name}", None, target["reason"])
    for name, board in report.get("boards", {}).items():
        if not board["fits"]:
            _check_reason(f"boards.{name}", None, board["reason"])
        else:
            where, reason = f"boards.{name}.simulations", board.get("simulations_reason")
            _check_reason(where, board["simulations"], reason)


def check_report(report: Any) -> None:
    """Raise InputError, naming the field, where `report` does not have the shape of `Report`.

    `report` is what ``json.load`` gives. Beyond types: fractions lie in 0..1, a null has a reason
    beside it, the confusion matrix is square with a row for each named class.
    """
    check_shape("", report, Report)
    if report["schema"] != SCHEMA:
        raise wrong("schema", f"{SCHEMA}; written by another version of gate2hw", report["schema"])
    for name in ("accuracy", "accuracy_soft"):
        value = report["model"][name]
        if value is not None and not 0 <= value <= 1:
            raise wrong(f"model.{name}", "a fraction 0..1", value)
    for target, data in report["targets"].items():
        for resource, use in data.get("utilisation", {}).items():
            if not use["fraction"] >= 0:
                where = f"targets.{target}.utilisation.{resource}.fraction"
                raise wrong(where, "a fraction, not negative", use["fraction"])
    _check_reasons(report)
    confusion = report.get("analysis", {}).get("confusion")
    if confusion is not None:
        n_rows = len(confusion["matrix"])
        n_classes = len(report["model"]["classes"]) or n_rows
        if n_rows != n_classes or any(len(row) != n_rows for row in confusion["matrix"]):
            raise InputError(
                "report.json, analysis.confusion.matrix: must be square, with a row for each of "
                f"the {n_classes} classes"
            )
