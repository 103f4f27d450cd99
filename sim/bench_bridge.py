"""A simulated board behind a pseudo-terminal, for programs that talk to a serial port.

``GATE2HW_BOARD`` names the board's facts, ``GATE2HW_BRIDGE`` a file that gets the name of the port
when it is ready. The simulation ends when that file is removed, or after ``GATE2HW_BRIDGE_S``
seconds (120).
"""

from __future__ import annotations

import os
import time
import tty
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from sim.board_link import UartHost, read_board, start

_PAUSE_BITS = 20


@cocotb.test
async def bridge(dut: Any) -> None:
    """Carry bytes between the pseudo-terminal and the pins, until told to stop."""
    board = read_board()
    await start(dut, board)
    host = UartHost(dut, board)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    told = Path(os.environ["GATE2HW_BRIDGE"])
    new = told.with_suffix(".new")
    new.write_text(os.ttyname(theirs), encoding="utf-8")
    os.replace(new, told)
    end = time.monotonic() + float(os.environ.get("GATE2HW_BRIDGE_S", "120"))
    while told.exists() and time.monotonic() < end:
        try:
            data = os.read(ours, 4096)
        except BlockingIOError:
            data = b""
        if data:
            await host.send(data)
        else:
            await Timer(_PAUSE_BITS * host.bit_ps, "step")
        if host.heard:
            os.write(ours, bytes(host.heard))
            host.heard.clear()
    os.close(ours)
    os.close(theirs)
    assert host.bad_stops == 0, "bytes from the board lack their stop bit"
