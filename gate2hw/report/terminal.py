"""The end of a run on the terminal: target table and chain of checks."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from gate2hw.report.asic import asic_sentence
from gate2hw.report.boards import BoardRow, board_rows
from gate2hw.report.chain import (
    MARKS,
    CheckLine,
    check_lines,
    clock_text,
    lossy_sentence,
    sample_word,
    verdict,
)
from gate2hw.report.numerals import count, number, percent
from gate2hw.report.schema import Report

__all__ = ["summary"]

_STYLES = {"passed": "green", "FAILED": "bold red", "not checked": "yellow"}


def _model_lines(report: Report) -> tuple[Text, Text]:
    model, gates = report["model"], report["gates"]
    text = Text(f"{model['name']}: ")
    if model["accuracy"] is None:
        text.append("accuracy not measured")
    else:
        text.append(f"{percent(model['accuracy'])} right", style="bold")
        text.append(f" on {model['n_test']:,} test {sample_word(report)}")
    if model["accuracy_soft"] is not None:
        text.append(f" (soft {percent(model['accuracy_soft'])})")
    sizes = (
        f"gates: {gates['unique']:,} unique, {gates['instantiated']:,} instantiated, "
        f"{gates['optimised']:,} after passes, {gates['depth']} levels"
    )
    luts = report.get("luts4")
    if luts is not None:
        sizes += f"; {luts['luts']:,} LUT4"
    lossy = report.get("approximation")
    if lossy is not None:
        sizes += f"; lossy, budget {percent(lossy['budget'])}"
    return text, Text(sizes)


def _target_table(report: Report) -> Table:
    table = Table(header_style="bold")
    table.add_column("target", no_wrap=True, overflow="fold")
    for name in ("LUTs", "FFs", "MHz", "clock MHz", "latency ns", f"{sample_word(report)}/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, target in report["targets"].items():
        if target["fits"]:
            clock = f"{number(target['clock_mhz'])} {clock_text(target)}"
            table.add_row(
                Text(name),
                count(target["luts"]),
                count(target["ffs"]),
                number(target["fmax_mhz"]),
                Text(clock, style="" if target["clock_met"] else _STYLES["FAILED"]),
                number(target["latency_ns"]),
                count(target["images_per_s"]),
            )
        else:
            table.add_row(Text(name), Text("no", style=_STYLES["FAILED"]))
    return table


def _board_lines(row: BoardRow) -> Iterator[Text]:
    if row.board is None:
        yield Text(f"{row.name} is not built: {row.simulated}", style="red")
        return
    board = row.board
    yield Text(
        f"{row.name}: {row.line}, {row.clock} ({clock_text(board)}), routed at "
        f"{number(board['fmax_mhz'])} MHz, {count(board['luts'])} LUTs, {board['bitstream']}",
        style="" if board["clock_met"] else _STYLES["FAILED"],
    )
    yield Text(f"  from its pins: {row.simulated}", "" if row.is_right else _STYLES["FAILED"])


def _check_table(lines: list[CheckLine]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column()
    for line in lines:
        mark = Text(f"{MARKS[line.status]} {line.status}", style=_STYLES[line.status])
        table.add_row(mark, Text(line.link), Text(line.detail))
    return table


def summary(report: Report) -> list[Text | Table]:
    """Renderables for ``rich``, in order: the model, the targets, the chain, the verdict."""
    lines = check_lines(report)
    parts: list[Text | Table] = [*_model_lines(report)]
    if report["targets"]:
        parts.append(_target_table(report))
    for name, target in report["targets"].items():
        if not target["fits"]:
            parts.append(Text(f"{name} does not fit: {target['reason']}", style="red"))
    for row in board_rows(report):
        parts += _board_lines(row)
    if asic := report.get("asic"):
        parts.append(Text(f"asic, {asic_sentence(asic)}"))
    status, sentence = verdict(lines)
    parts.append(_check_table(lines))
    if lossy := lossy_sentence(report):
        parts.append(Text(lossy, style=_STYLES["not checked"]))
    parts.append(Text(f"Chain of checks: {sentence}", style=_STYLES[status]))
    return parts
