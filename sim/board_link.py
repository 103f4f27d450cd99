"""Drives a board at its pins: its oscillator, and the host at the other end of its serial line."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from sim.job import JobError
from sim.logic import as_bits
from sim.packets import Packet, find_packet

__all__ = ["BoardFacts", "Host", "SpiHost", "UartHost", "lit", "read_board", "start"]

BOARD_VARIABLE = "GATE2HW_BOARD"
_PLL_LOCK_PS = 30_000_000


@dataclass(frozen=True)
class BoardFacts:
    """The part of a board's results.json that a bench needs; times in ps."""

    top: str
    interface: str
    clock_in_ps: int
    clock_ps: float
    clocks_per_bit: int
    gap_clocks: int
    lights_low: tuple[bool, ...]
    pll: bool
    ports: tuple[str, ...]
    override: dict[str, str]
    """Parameters of the top level that a simulation of its Verilog changes."""

    @property
    def bit_ps(self) -> float:
        """Length of a bit on the line."""
        return self.clocks_per_bit * self.clock_ps

    @property
    def gap_ps(self) -> int:
        """Silence after which a packet has broken off, with some to spare."""
        return round((self.gap_clocks + 4 * self.clocks_per_bit + 64) * self.clock_ps)


def read_board(path: Path | str | None = None) -> BoardFacts:
    """The board of `path`, or of ``GATE2HW_BOARD``; JobError where it cannot be read."""
    try:
        content = json.loads(Path(path or os.environ[BOARD_VARIABLE]).read_text(encoding="utf-8"))
        return BoardFacts(
            top=content["top"],
            interface=content["interface"],
            clock_in_ps=2 * round(0.5e6 / content["clock_in_mhz"]),
            clock_ps=1e6 / content["clock_mhz"],
            clocks_per_bit=content["clocks_per_bit"],
            gap_clocks=int(content["parameters"].get("GAP_CLOCKS", 16)),
            lights_low=tuple(light["is_low"] for light in content["lights"]),
            pll=content["pll"],
            ports=tuple(content["pins"]),
            override=dict(content.get("override", {})),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"the board's facts cannot be read: {error!r}") from error


class Host(Protocol):
    """The other end of the line; `bad_stops` counts bytes of the board without a stop bit."""

    bad_stops: int

    def close(self) -> None:
        """End what runs in the background."""

    async def send(self, data: bytes) -> None:
        """Send bytes."""

    async def read(self, n_most: int) -> Packet | None:
        """The next answer, which has at most `n_most` bytes; None where none comes in time."""

    async def is_early(self) -> bool:
        """Whether the board has said something although nothing good was sent."""

    async def quiet(self) -> None:
        """Stay silent until a packet that broke off has been given up."""


class UartHost:
    """A UART; `skew` makes its bits longer than the board's by that fraction."""

    def __init__(self, dut: Any, board: BoardFacts, *, skew: float = 0.0) -> None:
        self.rx, self.tx = dut.uart_rx, dut.uart_tx
        self.board = board
        self.bit_ps = round(board.bit_ps * (1 + skew))
        self.heard = bytearray()
        self.asked = b""
        self.bad_stops = 0
        self.rx.value = 1
        self._ear = cocotb.start_soon(self._listen())

    def close(self) -> None:
        """Listen no more."""
        self._ear.cancel()

    async def _listen(self) -> None:
        while True:
            await FallingEdge(self.tx)
            await Timer(round(0.5 * self.bit_ps), "step")
            if as_bits(self.tx) != "0":
                continue
            value = 0
            for place in range(8):
                await Timer(self.bit_ps, "step")
                value |= (as_bits(self.tx) == "1") << place
            await Timer(self.bit_ps, "step")
            self.bad_stops += as_bits(self.tx) != "1"
            self.heard.append(value)

    async def level(self, value: int, n_bits: float) -> None:
        """Hold the line at a level for a time."""
        self.rx.value = value
        await Timer(max(1, round(n_bits * self.bit_ps)), "step")

    async def send(self, data: bytes) -> None:
        """Send bytes back to back."""
        self.asked = data
        for byte in data:
            await self.level(0, 1)
            for place in range(8):
                await self.level(byte >> place & 1, 1)
            await self.level(1, 1)

    async def read(self, n_most: int) -> Packet | None:
        """The next answer; what was heard before is dropped with it."""
        limit = round((10 * n_most + 40) * self.bit_ps) + 200 * round(self.board.clock_ps)
        for _ in range(limit // (5 * self.bit_ps) + 1):
            await Timer(5 * self.bit_ps, "step")
            packet = find_packet(bytes(self.heard), self.asked)
            if packet is not None:
                self.heard.clear()
                return packet
        return None

    async def is_early(self) -> bool:
        """Whether a byte has come, or is just coming."""
        await Timer(12 * self.bit_ps, "step")
        return bool(self.heard)

    async def quiet(self) -> None:
        """An idle line."""
        self.rx.value = 1
        await Timer(self.board.gap_ps, "step")


class SpiHost:
    """An SPI controller, mode 0; a request is one transfer, its answer is read by others.

    Its clock is a little slower than the board bears, so that edges fall on any phase of the
    board's.
    """

    def __init__(self, dut: Any, board: BoardFacts) -> None:
        self.sck, self.cs_n, self.mosi, self.miso = (
            getattr(dut, f"spi_{name}") for name in ("sck", "cs_n", "mosi", "miso")
        )
        self.half_ps = round(1.013 * board.bit_ps / 2)
        self.back = b""
        self.asked = b""
        self.bad_stops = 0
        self.sck.value, self.cs_n.value, self.mosi.value = 0, 1, 0

    def close(self) -> None:
        """Nothing runs in the background."""

    async def transfer(self, data: bytes, *, n_last: int = 8) -> bytes:
        """Exchange bytes in one transfer, of the last byte its first `n_last` bits alone."""
        result = bytearray()
        self.cs_n.value = 0
        await Timer(self.half_ps, "step")
        for number, byte in enumerate(data, 1):
            value = 0
            n_bits = n_last if number == len(data) else 8
            for place in range(7, 7 - n_bits, -1):
                self.mosi.value = byte >> place & 1
                await Timer(self.half_ps, "step")
                self.sck.value = 1
                value = 2 * value + (as_bits(self.miso) == "1")
                await Timer(self.half_ps, "step")
                self.sck.value = 0
            result.append(value)
        await Timer(self.half_ps, "step")
        self.cs_n.value = 1
        await Timer(2 * self.half_ps, "step")
        return bytes(result)

    async def send(self, data: bytes) -> None:
        """One transfer."""
        self.asked = data
        self.back = await self.transfer(data)

    async def is_early(self) -> bool:
        """Whether the last transfer gave anything but zeros."""
        return any(self.back)

    async def read(self, n_most: int) -> Packet | None:
        """Read in transfers of three bytes, so that an answer spans several."""
        heard = b""
        while len(heard) < n_most + 12:
            heard += await self.transfer(bytes(3))
            packet = find_packet(heard, self.asked)
            if packet is not None:
                return packet
        return None

    async def quiet(self) -> None:
        """Chip select high."""
        self.cs_n.value = 1
        await Timer(8 * self.half_ps, "step")


async def start(dut: Any, board: BoardFacts) -> Clock:
    """Start the oscillator, lines idle, and wait until the reset is over."""
    if board.interface == "uart":
        dut.uart_rx.value = 1
    else:
        dut.spi_sck.value, dut.spi_cs_n.value, dut.spi_mosi.value = 0, 1, 0
    clock = Clock(dut.clk_in, board.clock_in_ps, "step")
    clock.start()
    await Timer(round(64 * board.clock_ps) + (_PLL_LOCK_PS if board.pll else 0), "step")
    return clock


def lit(dut: Any, board: BoardFacts) -> Sequence[bool]:
    """Which LEDs are on."""
    bits = reversed(as_bits(dut.led))
    return [(bit == "0") == low for bit, low in zip(bits, board.lights_low, strict=True)]
