"""check_report: a whole report passes, and every missing or wrong field is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gate2hw.errors import InputError
from gate2hw.report import check_report

OPTIONAL = {
    "analysis",
    "build",
    "software",
    "cells_by_type",
    "n_golden",
    "n_random",
    "post_synthesis_reasons",
    "gate2hw",
    "commands",
    "tools",
    "machine",
}
"""Keys a report may lack; the reason of the one null post-synthesis link is tested apart."""

FREE = {"utilisation", "cells_by_type", "post_synthesis", "targets", "tools", "gates", "formula"}
"""Objects whose keys are names, not fields."""


def plain(report: dict[str, Any]) -> Any:
    return json.loads(json.dumps(report))


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all fields the types name."""
    if isinstance(value, dict):
        named = not path or path[-1] not in FREE or path == ("gates",)
        for key, item in value.items():
            if named:
                yield (*path, key)
            yield from fields(item, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from fields(value[0], (*path, 0))


def parent(report: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        report = report[key]
    return report


def test_a_whole_report_passes(report: dict[str, Any]):
    check_report(plain(report))
    del report["analysis"], report["build"]
    check_report(plain(report))
    report["later_addition"] = {"x": 1}
    check_report(plain(report))


def test_every_missing_field_is_named(report: dict[str, Any]):
    whole = plain(report)
    required = [path for path in fields(whole) if path[-1] not in OPTIONAL]
    assert len(required) > 80
    for path in required:
        broken = copy.deepcopy(whole)
        del parent(broken, path)[path[-1]]
        with pytest.raises(InputError, match=str(path[-1])):
            check_report(broken)


def test_every_field_of_a_wrong_type_is_named(report: dict[str, Any]):
    whole = plain(report)
    for path in fields(whole):
        broken = copy.deepcopy(whole)
        owner = parent(broken, path)
        owner[path[-1]] = 5 if isinstance(owner[path[-1]], str) else "x"
        with pytest.raises(InputError, match=str(path[-1])):
            check_report(broken)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), 2, "schema"),
        (("model", "accuracy"), 97.2, "fraction"),
        (("model", "n_test"), True, "an integer"),
        (("gates", "depth"), 3.5, "an integer"),
        (("checks", "proof"), None, "without a reason"),
        (("checks", "proof", "result"), "proved", "proof.result"),
        (("checks", "simulation", "core"), None, "core: is null without a reason"),
        (("checks", "software"), None, "without a reason"),
        (("checks", "post_synthesis", "ecp5-25k"), None, "ecp5-25k: is null without a reason"),
        (("checks", "post_synthesis_reasons"), {}, "ice40-up5k: is null without a reason"),
        (("targets", "ecp5-25k"), {"fits": False}, "targets.ecp5-25k.reason: missing"),
        (("targets", "ecp5-25k"), {"fits": False, "reason": " "}, "without a reason"),
        (("targets", "ecp5-25k"), {"reason": "x"}, "fits"),
        (("targets", "ecp5-25k", "fmax_mhz"), None, "finite number"),
        (("targets", "ecp5-25k", "fmax_mhz"), float("nan"), "finite number"),
        (("analysis", "training"), None, "training: is null without a reason"),
        (("analysis", "confusion", "matrix"), [[1]], "square"),
    ],
)
def test_wrong_values(report: dict[str, Any], path: tuple[str, ...], value: Any, message: str):
    broken = plain(report)
    parent(broken, path)[path[-1]] = value
    with pytest.raises(InputError, match=message):
        check_report(broken)


def test_a_null_with_its_reason_passes(report: dict[str, Any]):
    report["checks"]["proof"] = None
    report["checks"]["proof_reason"] = "skipped by --no-proof"
    report["model"]["accuracy_soft"] = None
    report["targets"]["ecp5-25k"]["core_images_per_s"] = None
    check_report(plain(report))


def test_a_failed_check_holds_its_message(report: dict[str, Any]):
    failed = {"result": "failed", "message": "class 3 differs", "mismatches": None}
    report["checks"]["software"] = failed
    report["checks"]["proof"] = failed
    report["checks"]["simulation"]["top"] = failed
    check_report(plain(report))
    report["checks"]["simulation"]["top"] = {"result": "failed"}
    with pytest.raises(InputError, match=r"top\.message: missing"):
        check_report(plain(report))
