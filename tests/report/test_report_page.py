"""The page, the plots, the terminal summary and the files."""

from __future__ import annotations

import base64
import io
import json
import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gate2hw.errors import InputError
from gate2hw.report import html, summary, write_report
from gate2hw.report.chain import best_target, check_lines, lossy_sentence, verdict
from gate2hw.report.numerals import number, percent, si
from gate2hw.report.plots import confusion_plot, never_read_plot
from gate2hw.report.schema_check import check_report

FAILED = {"result": "failed", "message": "sample 3: <b>14</b> is not 15", "mismatches": None}


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots out of pages whose text alone matters: they take a second."""
    for name in ("_model_plots", "_netlist_plots", "_target_plots"):
        monkeypatch.setattr(html, name, lambda _: [])


def page_of(report: dict[str, Any], folder: Path) -> str:
    return write_report(report, folder)[1].read_text(encoding="utf-8")


def terminal_of(report: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    for part in summary(report):
        console.print(part)
    stream: Any = console.file
    return str(stream.getvalue())


def plots_of(page: str) -> dict[str, str]:
    found = re.findall(r'base64,([^"]*)" alt="([^.]*)\.', page)
    return {title: base64.b64decode(text).decode() for text, title in found}


@pytest.mark.usefixtures("without_plots")
def test_the_page_holds_the_numbers(report: dict[str, Any], tmp_path: Path):
    page = page_of(report, tmp_path)
    gates = report["gates"]
    for value in (gates["unique"], gates["instantiated"], gates["optimised"]):
        assert f"<b>{value:,}</b>" in page
    for text in ("1,034,375", "66.2", "60.4", "needs 6,212 logic cells", "MISSED", "SB_CARRY"):
        assert text in page
    assert "fastest that meets its clock of 4 targets" in " ".join(page.split())
    assert "gate2hw synth build/digits --target ice40-hx8k" in page
    assert "not found" in page


def test_the_page_is_self_contained(report: dict[str, Any], tmp_path: Path):
    page = page_of(report, tmp_path)
    assert not re.search(r"<(script|link|iframe|object)\b", page)
    assert all(s.startswith("data:") for s in re.findall(r'src="([^"]*)"', page))
    assert all(s.startswith("#") for s in re.findall(r'href="([^"]*)"', page))
    assert "url(http" not in page
    assert "@import" not in page


def test_every_plot_is_a_small_svg_with_a_caption(report: dict[str, Any], tmp_path: Path):
    report["targets"]["ecp5-25k"]["area"] = {"gates": 10, "popcount": 30, "stream": 5}
    plots = plots_of(page_of(report, tmp_path))
    assert list(plots) == [
        "Utilisation",
        "Where the LUTs are",
        "Gates per layer",
        "Gates per function",
        "Depth",
        "Where the logic is (estimate)",
        "Training",
        "Pixels never read",
        "Confusion matrix",
    ]
    for title, svg in plots.items():
        ET.fromstring(svg)
        assert len(svg) < 60_000, title
        assert "<text" in svg
    assert "conv1" in plots["Gates per layer"]
    dead = report["analysis"]["encoder"]["features_never_read"]
    assert dead == 8
    assert plots["Pixels never read"].count("×") == dead


def test_names_from_users_are_escaped(report: dict[str, Any], tmp_path: Path):
    evil = "<script>alert(1)</script>"
    report["model"]["classes"] = [f"{evil}{i} $x_{{" for i in range(10)]
    report["model"]["name"] = report["model"]["dataset"] = evil
    report["analysis"]["layers"][0]["name"] = 'a"><script>\x00'
    report["checks"]["proof"] = FAILED
    page = page_of(report, tmp_path)
    assert "<script" not in page
    assert "<b>14" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for svg in plots_of(page).values():
        ET.fromstring(svg)


@pytest.mark.usefixtures("without_plots")
def test_links_not_checked_carry_their_reason(report: dict[str, Any], tmp_path: Path):
    checks = report["checks"]
    checks["simulation"] = {
        "core": None,
        "core_reason": "reason of core",
        "top": None,
        "top_reason": "reason of top",
    }
    checks |= {"proof": None, "proof_reason": "reason of proof"}
    checks |= {"software": None, "software_reason": "reason of software"}
    checks["post_synthesis"] = {"ecp5-25k": None}
    checks["post_synthesis_reasons"] = {"ecp5-25k": "reason of ecp5"}
    page = page_of(report, tmp_path)
    assert len(re.findall(r"</span> not checked</span>", page)) == 5
    assert "</span> passed</span>" not in page
    shown = terminal_of(report)
    for name in ("core", "top", "proof", "software", "ecp5"):
        assert f"reason of {name}" in page
        assert f"reason of {name}" in shown
    assert "0 of 5 checks passed, 5 not checked" in shown


@pytest.mark.parametrize(
    ("proof", "status", "told"),
    [
        ([], "passed", "pdr: 2 of 2 rules hold in every run"),
        (["bad_reset"], "not checked", "1 of 2 rules hold in every run; not decided in time: bad_"),
        (None, "not checked", "skipped"),
        (FAILED, "FAILED", FAILED["message"]),
    ],
)
def test_the_proof_of_the_handshakes_is_a_link(
    report: dict[str, Any], proof: Any, status: str, told: str
):
    names = ("bad_reset", "bad_frame_lost", "can_answer")
    if isinstance(proof, list):
        rules = [{"name": name} for name in names]
        proof = {"method": "pdr", "properties": rules, "not_proved": proof}
    report["checks"] |= {"streams": proof, "streams_reason": "skipped"}
    (line,) = (line for line in check_lines(report) if "Handshakes" in line.link)  # type: ignore[arg-type]
    assert line.status == status
    assert told in line.detail


@pytest.mark.parametrize("place", ["software", "proof", "core", "top", "ecp5-25k"])
@pytest.mark.parametrize("kind", ["counted", "message"])
@pytest.mark.usefixtures("without_plots")
def test_one_failed_link_fails_the_chain(
    report: dict[str, Any], tmp_path: Path, place: str, kind: str
):
    checks = report["checks"]
    owner = {"core": checks["simulation"], "top": checks["simulation"]}.get(place, checks)
    owner = checks["post_synthesis"] if place == "ecp5-25k" else owner
    if kind == "message":
        owner[place] = FAILED
    elif place == "proof":
        owner[place]["result"] = "different"
    else:
        owner[place]["mismatches"] = 3
    lines = check_lines(report)  # type: ignore[arg-type]
    assert [line.status for line in lines].count("FAILED") == 1
    assert verdict(lines) == ("FAILED", f"1 of {len(lines)} checks FAILED")
    page = page_of(report, tmp_path)
    assert "</span> FAILED</span>" in page
    assert "Do not use this hardware" in page
    assert "✗ FAILED" in terminal_of(report)


def test_nothing_compared_is_not_a_pass(report: dict[str, Any]):
    report["checks"]["simulation"]["core"] |= {"n_vectors": 0, "n_golden": 0, "n_random": 0}
    report["checks"]["software"] |= {"n_golden": 0, "n_random": 0}
    report["checks"]["proof"]["result"] = "undecided"
    status = [line.status for line in check_lines(report)]  # type: ignore[arg-type]
    assert status[:4] == ["not checked", "not checked", "not checked", "passed"]


@pytest.mark.usefixtures("without_plots")
def test_all_passed(report: dict[str, Any], tmp_path: Path):
    del report["checks"]["post_synthesis"]["ice40-up5k"]
    assert "All 7 checks passed." in page_of(report, tmp_path)


def test_same_report_same_bytes(report: dict[str, Any], tmp_path: Path):
    first = [path.read_bytes() for path in write_report(report, tmp_path)]
    again = [path.read_bytes() for path in write_report(json.loads(first[0]), tmp_path)]
    assert first == again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


@pytest.mark.usefixtures("without_plots")
def test_json_is_sorted_and_plain(report: dict[str, Any], tmp_path: Path):
    report["gates"]["unique"] = np.int64(248)
    report["build"]["machine"] = Path("a/b")
    text = write_report(report, tmp_path)[0].read_text()
    assert text.startswith('{\n  "analysis"')
    assert json.loads(text)["build"]["machine"] == "a/b"


def test_a_bad_report_leaves_no_file(report: dict[str, Any], tmp_path: Path):
    del report["gates"]["depth"]
    with pytest.raises(InputError, match=r"gates\.depth"):
        write_report(report, tmp_path)
    report["gates"]["depth"] = float("nan")
    with pytest.raises(InputError, match="JSON"):
        write_report(report, tmp_path)
    report["gates"]["depth"] = object()
    with pytest.raises(InputError, match="object is not a JSON value"):
        write_report(report, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_report_with_next_to_nothing(report: dict[str, Any], tmp_path: Path):
    del report["analysis"], report["build"], report["checks"]["software"]
    report |= {"targets": {}, "passes": []}
    report["checks"]["post_synthesis"] = {}
    report["model"] |= {"accuracy": None, "accuracy_soft": None, "classes": []}
    page = page_of(report, tmp_path)
    for text in ("not measured", "No target was synthesised", "No pass was run", "not recorded"):
        assert text in page
    assert "accuracy not measured" in terminal_of(report)


def test_optional_fields_may_be_missing(report: dict[str, Any], tmp_path: Path):
    report["build"] = {"commands": ["gate2hw demo"]}
    for target in report["targets"].values():
        target.pop("cells_by_type", None)
        target |= {"utilisation": {}, "core_images_per_s": None} if target["fits"] else {}
    page = page_of(report, tmp_path)
    assert "gate2hw demo" in page
    assert "Cells by type" not in page
    assert "Utilisation" not in page
    terminal_of(report)


@pytest.mark.usefixtures("without_plots")
def test_refused_everywhere(report: dict[str, Any], tmp_path: Path):
    report["targets"] = {"ice40-up5k": {"fits": False, "reason": "[bold]118 %"}}
    assert best_target(report) is None  # type: ignore[arg-type]
    assert "fits none of its 1 target" in page_of(report, tmp_path)
    assert "does not fit: [bold]118 %" in terminal_of(report)


def test_best_target_prefers_a_met_clock(report: dict[str, Any]):
    found = best_target(report)  # type: ignore[arg-type]
    assert found is not None
    assert found[0] == "ecp5-85k"
    del report["targets"]["ecp5-85k"], report["targets"]["ice40-hx8k"]
    found = best_target(report)  # type: ignore[arg-type]
    assert found is not None
    assert found[0] == "ecp5-25k"


@pytest.mark.parametrize("shape", [[20], [700], [3, 8, 8], [9, 4, 4]])
def test_inputs_of_every_shape_are_drawn(report: dict[str, Any], shape: list[int]):
    bits = np.arange(int(np.prod(shape))).reshape(shape) % 3
    report["analysis"]["encoder"] |= {
        "shape": shape,
        "bits_read": bits.tolist(),
        "never_read": (bits == 0).tolist(),
    }
    plot = never_read_plot(report["analysis"]["encoder"])
    assert plot.title == ("Pixels" if len(shape) == 3 else "Features") + " never read"
    ET.fromstring(plot.svg)


def test_many_classes_and_foreign_scripts(report: dict[str, Any]):
    n_classes = 100
    matrix = np.diag(np.arange(n_classes)).tolist()
    report["analysis"]["confusion"]["matrix"] = matrix
    report["model"]["classes"] = [f"数字{i}" for i in range(n_classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot = confusion_plot(report["analysis"]["confusion"], report["model"]["classes"])
    assert len(plot.svg) < 60_000


def test_numbers_for_people():
    assert [number(v) for v in (0.01234, 0.5, 3.456, 62.34, 1204.4)] == [
        "0.0123",
        "0.50",
        "3.46",
        "62.3",
        "1,204",
    ]
    assert [si(v) for v in (950, 45_300, 1_620_000, 2.5e9)] == [
        "950",
        "45.3\u00a0k",
        "1.62\u00a0M",
        "2.5\u00a0G",
    ]
    assert percent(0.9722) == "97.22\u00a0%"


def test_a_lossy_build_shows_its_curve_and_both_accuracies(report):
    report["luts4"] = {"luts": 40, "depth": 2}
    points = [(0, 100, 60, 0.98), (5, 80, 50, 0.975)]
    report["approximation"] = {
        "budget": 0.01,
        "exact_digest": "e" * 64,
        "n_training": 500,
        "n_validation": 200,
        "validation": {"exact": 0.98, "approximate": 0.975},
        "test": {"exact": 0.9712, "approximate": 0.9634},
        "curve": [
            {"n_replaced": n, "n_gates": gates, "n_outputs": 20, "cost": luts, "score": score}
            for n, gates, luts, score in points
        ],
    }
    check_report(report)
    page = html.render_html(report)
    assert "Accuracy against size" in page
    assert "97.12" in page
    assert "96.34" in page
    assert "40 LUT4, 2 levels" in page
    for text in (page, terminal_of(report)):
        sentence = "checked by scores only, as accuracy on 200 validation images and on the test"
        assert sentence in " ".join(text.split())
    links = [line.link for line in check_lines(report)]
    assert links[0] == "Approximated netlist = netlist after passes"


def test_an_exact_build_has_no_sentence_about_scores(report):
    assert lossy_sentence(report) == ""
    assert "scores only" not in terminal_of(report)


def test_the_step_before_the_passes_is_named_where_it_was_checked(report):
    assert check_lines(report)[1].link.startswith("Netlist before passes = after each pass")
    n_lines = len(check_lines(report))
    entry = {"name": "unroll_shared", "result": "equivalent", "coverage": "all codes"}
    report["checks"]["proof"]["passes"] = [entry]
    check_report(report)
    proved = check_lines(report)[1]
    assert proved.link.startswith("Unrolled model = netlist before passes = after each pass")
    assert len(check_lines(report)) == n_lines


def test_a_step_that_was_only_simulated_is_no_part_of_the_proof(report):
    without = check_lines(report)[1]
    entry = {"name": "unroll_shared", "result": "simulated", "coverage": "9 vectors agree"}
    report["checks"]["proof"]["passes"] = [{**entry, "reason": "too large"}]
    report["checks"]["proof"]["not_proved"] = ["unroll_shared is not proved: 9 vectors agree"]
    check_report(report)
    step, proof = check_lines(report)[1:3]
    assert (step.link, step.status) == ("Model = netlist before passes", "passed")
    assert step.detail == "not proved (too large): 9 vectors agree"
    assert proof == without
    entry["result"] = "undecided"
    report["checks"]["proof"]["passes"] = [entry]
    assert check_lines(report)[1].status == "not checked"


def test_without_a_golden_file_the_network_has_a_line_of_its_own(report):
    checks = report["checks"]
    checks |= {"network": checks["software"] | {"n_golden": 0}, "network_reason": None}
    checks |= {"software": None, "software_reason": "no golden file"}
    check_report(report)
    torch, network = check_lines(report)[:2]
    assert (torch.link, torch.status) == ("Torch model = LogicNetwork", "not checked")
    assert network.link == "LogicNetwork = netlist before passes = netlist after passes"
    assert network.detail == "reference simulator: 1,000 vectors, 0 mismatches"
    checks["network"] = None
    with pytest.raises(InputError, match="without a reason"):
        check_report(report)


@pytest.mark.usefixtures("without_plots")
def test_the_tries_of_a_search_and_its_slowest_path_are_told(
    report: dict[str, Any], tmp_path: Path
) -> None:
    name, target = next((n, t) for n, t in report["targets"].items() if t["fits"])
    target["critical"] = {"block": "gates", "places": ["dense2, kernel 7 (LUT <9>)", "sum"]}
    nets = (("advance", "advance", 1425), ("bits[4]", "stored bit: feature 1 > 3", 40))
    keys = ("net", "place", "n_sinks")
    target["fan_out"] = [dict(zip(keys, net, strict=True)) for net in nets]
    row = {"fits": True, "seed": 2, "luts": 11, "ffs": 22, "latency_cycles": 33}
    row |= {"fmax_mhz": 123.4, "critical_block": "popcount"}
    refused = {"fits": False, "name": "gates=9,popcount=9", "seed": 1}
    target["tries"] = [{**row, "name": "gates=1,popcount=2"}, refused]
    check_report(report)
    page = " ".join(page_of(report, tmp_path).split())
    assert f"Registers tried on {name}" in page
    assert "slowest path lies in gates: dense2, kernel 7 (LUT &lt;9&gt;) → sum." in page
    assert "clock aside: advance (1,425), stored bit: feature 1 &gt; 3 (40)." in page
    for text in ("gates=1,popcount=2", "123", ">popcount<"):
        assert text in page
    assert "gates=9" not in page
    target["tries"][0]["seed"] = "two"
    with pytest.raises(InputError, match=rf"targets\.{name}\.tries\[0\]\.seed"):
        check_report(report)
