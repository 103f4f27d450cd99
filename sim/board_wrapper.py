"""The plain module around a board's top level; see `sim.wrapper`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sim.board_link import BoardFacts, read_board

__all__ = ["board_wrapper_verilog"]


def board_wrapper_verilog(board: BoardFacts) -> str:
    """Verilog-2005 text of ``<top>_bench``, with the pins of the board."""
    ports: dict[str, int] = {}
    for port in board.ports:
        base = re.sub(r"\[\d+\]$", "", port)
        ports[base] = ports.get(base, 0) + 1
    outputs = {"uart_tx", "spi_miso", "led", "tied_high"}
    lines = ["`timescale 1ns/1ps", "", f"module {board.top}_bench ("]
    for number, (name, width) in enumerate(ports.items()):
        direction = "output" if name in outputs else "input"
        span = f"[{width - 1}:0] " if width > 1 else ""
        lines.append(f"    {direction} wire {span}{name}{',' if number + 1 < len(ports) else ''}")
    changed = ", ".join(f".{name}({value})" for name, value in board.override.items())
    lines += [");", "", f"    {board.top} {f'#({changed}) ' if changed else ''}dut ("]
    lines.append(",\n".join(f"        .{name}({name})" for name in ports))
    lines += ["    );", "", "endmodule", ""]
    return "\n".join(lines)


def main() -> None:
    """``python -m sim.board_wrapper BOARD.json OUT``: write the wrapper of a board."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("board", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.write_text(board_wrapper_verilog(read_board(args.board)), encoding="utf-8")


if __name__ == "__main__":
    main()
