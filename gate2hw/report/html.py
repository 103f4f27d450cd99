"""One self-contained HTML page of a report: no script, no external resource."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from gate2hw.report.asic import asic_plots, asic_sentence, path_lines, power_mw
from gate2hw.report.boards import board_rows
from gate2hw.report.chain import (
    MARKS,
    best_target,
    check_lines,
    class_names,
    clock_text,
    lossy_sentence,
    sample_word,
    utilisation_of,
    verdict,
)
from gate2hw.report.numerals import count, number, percent, si
from gate2hw.report.schema import FittedTarget, Report
from gate2hw.report.templates import page_template

if TYPE_CHECKING:
    from gate2hw.report.style import Plot

__all__ = ["render_html"]

TEMPLATE = "page.html.j2"


def _data_uri(svg: str) -> str:
    """An image of its own, so that ids of one plot cannot meet those of another."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _model_plots(report: Report) -> list[Plot]:
    # plotting takes a second to import: only a page needs it
    from gate2hw.report import plots

    if "analysis" not in report:
        return []
    analysis = report["analysis"]
    found = []
    if analysis["training"] is not None:
        found.append(plots.training_plot(analysis["training"]))
    found.append(plots.never_read_plot(analysis["encoder"]))
    if analysis["confusion"] is not None:
        found.append(plots.confusion_plot(analysis["confusion"], class_names(report)))
    return found


def _netlist_plots(report: Report) -> list[Plot]:
    from gate2hw.report import plots
    from gate2hw.report.lossy import approximation_plot

    if "analysis" not in report:
        return []
    analysis = report["analysis"]
    found = [
        plots.layer_plot(analysis["layers"]),
        plots.function_plot(analysis["functions"]),
        plots.level_plot(analysis["levels"]),
        plots.area_plot(analysis["area_estimate"]),
    ]
    lossy = report.get("approximation")
    if lossy is not None:
        found.append(approximation_plot(lossy))
    return found


def _target_plots(fitted: dict[str, FittedTarget]) -> list[Plot]:
    from gate2hw.report import plots

    found = []
    used = {name: target for name, target in fitted.items() if utilisation_of(target)}
    if used:
        found.append(plots.utilisation_plot(used))
    areas = {name: area for name, target in fitted.items() if (area := target.get("area"))}
    if areas:
        found.append(plots.area_share_plot(areas))
    return found


def render_html(report: Report) -> str:
    """The page of a checked report; the same report gives the same page.

    Every text of `report` is escaped: names come from users.
    """
    lines = check_lines(report)
    status, sentence = verdict(lines)
    fitted = {name: target for name, target in report["targets"].items() if target["fits"]}
    page = page_template(
        TEMPLATE,
        count=count,
        number=number,
        percent=percent,
        si=si,
        data_uri=_data_uri,
        clock_text=clock_text,
        power_mw=power_mw,
        path_lines=path_lines,
        asic_sentence=asic_sentence,
    )
    return page.render(
        report=report,
        model=report["model"],
        gates=report["gates"],
        luts4=report.get("luts4"),
        lossy=report.get("approximation"),
        analysis=report.get("analysis"),
        build=report.get("build", {}),
        lines=lines,
        marks=MARKS,
        status=status,
        sentence=sentence,
        lossy_sentence=lossy_sentence(report),
        best=best_target(report),
        samples=sample_word(report),
        classes=class_names(report),
        model_plots=_model_plots(report),
        netlist_plots=_netlist_plots(report),
        target_plots=_target_plots(fitted),
        boards=board_rows(report),
        asic=report.get("asic"),
        asic_plots=asic_plots(asic) if (asic := report.get("asic")) else [],
    )
