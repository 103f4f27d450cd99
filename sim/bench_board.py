"""cocotb bench of a board's top level, from its pins: packets, faults, noise, lights.

Of the job's `frames`, ``malformed`` is the number of bad packets, ``stalls`` that of rounds of
noise and of packets from a host with another baud rate.
"""

from __future__ import annotations

from typing import Any

from cocotb.clock import Clock

from sim.bench import Bench
from sim.board_link import BoardFacts, Host, SpiHost, UartHost, lit, read_board, start
from sim.packets import answer_of, request
from sim.scoreboard import Answer
from sim.vectors import frame_bytes

BENCH = Bench("board")

_LONGEST_GAP_CLOCKS = 20_000
_STATUS = {"length": 1, "crc": 2, "line": 3}
_SKEW = 0.03
_SKEW_OF_FEW_CLOCKS = 0.02
"""What the baud rate of a host may be off; the latter where a bit has less than 8 clocks."""


class _Session:
    """A host on the board's line that counts what is wrong."""

    def __init__(
        self, dut: Any, bench: Bench, board: BoardFacts, clock: Clock, *, skew: float = 0.0
    ) -> None:
        self.dut, self.bench, self.board, self.clock = dut, bench, board, clock
        self.host: Host = (
            UartHost(dut, board, skew=skew) if board.interface == "uart" else SpiHost(dut, board)
        )
        self.n_asked = 0

    def payload(self, number: int) -> bytes:
        """The frame of vector `number`."""
        x = self.bench.vectors.x[[number]]
        return bytes(frame_bytes(x, self.bench.job.manifest.bytes_per_feature)[0])

    async def classify(self, number: int) -> Answer:
        """Send vector `number` and read the answer."""
        self.n_asked += 1
        await self.host.send(request(self.payload(number)))
        manifest = self.bench.job.manifest
        return answer_of(manifest, await self.host.read(7 + manifest.result_bytes))

    async def compare(self, test: str, numbers: list[int]) -> int:
        """Classify vectors one after the other; returns how many answers differ."""
        answers = [await self.classify(number) for number in numbers]
        return self.bench.record.compare(test, numbers, answers)

    async def expect_fault(self, test: str, data: bytes, status: int) -> None:
        """Send a bad packet: nothing may come before the line is quiet, then the fault."""
        await self.host.send(data)
        if await self.host.is_early():
            self.bench.record.fault(f"{test}: an answer before the line was quiet")
        await self.host.quiet()
        packet = await self.host.read(7)
        if packet is None or packet.fault or (packet.status, packet.payload) != (status, b""):
            self.bench.record.fault(f"{test}: expected status {status}, got {packet}")

    def close(self) -> None:
        """End what runs in the background, and look at the stop bits."""
        self.host.close()
        self.clock.stop()
        if self.host.bad_stops:
            self.bench.record.fault("bytes from the board lack their stop bit")


async def _session(dut: Any, bench: Bench, *, skew: float = 0.0) -> _Session:
    board = read_board()
    return _Session(dut, bench, board, await start(dut, board), skew=skew)


def _end(session: _Session, bad: int, **numbers: Any) -> dict[str, Any]:
    session.close()
    return {"n_vectors": session.n_asked, "mismatches": bad, **numbers}


def _long_gap(board: BoardFacts) -> dict[str, Any] | None:
    if board.gap_clocks > _LONGEST_GAP_CLOCKS:
        return {"skipped": f"a gap of {board.gap_clocks} clocks takes too long to simulate"}
    return None


@BENCH.test
async def all_vectors(dut: Any, bench: Bench) -> dict[str, Any]:
    """All vectors, one packet each, back to back; the lights show the last class."""
    session = await _session(dut, bench)
    numbers = bench.pick(None, bench.rng(1))
    bad = await session.compare("all_vectors", numbers)
    on = lit(dut, session.board)
    wanted = int(bench.vectors.classes[numbers[-1]])
    for place, light in enumerate(on[2:]):
        if light != bool(wanted >> place & 1):
            bench.record.fault(f"class {wanted}, but its light {place} is {light}")
    if on[1:2] == [True]:
        bench.record.fault("the fault light is on after good packets")
    return _end(session, bad)


@BENCH.test
async def who_is_it(dut: Any, bench: Bench) -> dict[str, Any]:
    """An empty request is answered with the digest of the model."""
    session = await _session(dut, bench)
    await session.host.send(request(b""))
    packet = await session.host.read(15)
    wanted = bytes.fromhex(bench.job.manifest.model_digest)[:8]
    if packet is None or packet.fault or packet.status or packet.payload != wanted:
        bench.record.fault(f"asked for the model {wanted.hex()}, got {packet}")
    bad = await session.compare("who_is_it", bench.pick(1, bench.rng(2)))
    return _end(session, bad)


@BENCH.test
async def bad_packets(dut: Any, bench: Bench) -> dict[str, Any]:
    """Wrong CRC, wrong lengths, packets that break off: named, dropped, and the next is right."""
    session = await _session(dut, bench)
    skipped = _long_gap(session.board)
    if skipped:
        return {**_end(session, 0), **skipped}
    rng = bench.rng(3)
    numbers = bench.pick(bench.job.frames["malformed"], rng)
    bad, n_bad = 0, 0
    for place, number in enumerate(numbers):
        payload = session.payload(number)
        whole = request(payload)
        cut = int(rng.integers(2, len(whole)))
        faults = (
            (request(payload, spoil=1 << int(rng.integers(16))), "crc"),
            (request(payload, length=len(payload) + 1 + int(rng.integers(300))), "length"),
            (request(payload[:-1]), "length"),
            (whole[:cut], "line"),
        )
        data, name = faults[place % 4]
        await session.expect_fault(f"bad {name}", data, _STATUS[name])
        n_bad += 1
        if place == 0 and lit(dut, session.board)[1:2] == [False]:
            bench.record.fault("the fault light is off after a bad packet")
        bad += await session.compare("bad_packets", [number])
    # a payload with one bit turned must not pass
    turned = bytearray(request(session.payload(numbers[0])))
    turned[4 + int(rng.integers(len(turned) - 6))] ^= 1 << int(rng.integers(8))
    await session.expect_fault("a turned bit", bytes(turned), _STATUS["crc"])
    # cut so that the last beat alone is missing
    await session.expect_fault("one byte short", whole[:-3], _STATUS["line"])
    # noise that looks like the head of a packet swallows a part of the next, which must not pass
    await session.expect_fault("a false head", whole[:4] + whole, _STATUS["crc"])
    bad += await session.compare("bad_packets", numbers[:1])
    return _end(session, bad, n_malformed=n_bad + 3)


async def _uart_noise(session: _Session, host: UartHost, number: int) -> int:
    """A spike, a break, and a break within a packet; returns how many answers differ."""
    await host.level(0, 0.2)
    await host.level(1, 1.5)
    bad = await session.compare("noise", [number])
    await host.level(0, 40)
    await host.level(1, 2)
    bad += await session.compare("noise", [number])
    await host.send(request(session.payload(number))[:5])
    await host.level(0, 30)
    await host.level(1, 2)
    await session.expect_fault("a break within a packet", b"", _STATUS["line"])
    return bad + await session.compare("noise", [number])


async def _spi_noise(session: _Session, host: SpiHost, number: int, n_bits: int) -> int:
    """Transfers that end within a byte: of nothing, of a request, of an answer."""
    await host.transfer(b"\xa5", n_last=n_bits)
    bad = await session.compare("noise", [number])
    whole = request(session.payload(number))
    await host.transfer(whole[:6], n_last=n_bits)
    await session.expect_fault("a byte cut short", b"", _STATUS["line"])
    bad += await session.compare("noise", [number])
    await host.send(whole)
    await host.transfer(bytes(4), n_last=n_bits)
    await host.transfer(bytes(len(whole) + session.bench.job.manifest.result_bytes + 16))
    return bad + await session.compare("noise", [number])


@BENCH.test
async def noise(dut: Any, bench: Bench) -> dict[str, Any]:
    """Bytes that are no packet, half marks; spikes and breaks, or cut bytes: the next is right."""
    session = await _session(dut, bench)
    skipped = _long_gap(session.board)
    if skipped:
        return {**_end(session, 0), **skipped}
    rng = bench.rng(4)
    bad = 0
    for number in bench.pick(bench.job.frames["stalls"], rng):
        junk = bytes(int(b) for b in rng.integers(0, 256, 12)).replace(b"\xa5\x5a", b"\xa5\xa4")
        await session.host.send(junk + b"\xa5")
        bad += await session.compare("noise", [number])
        host = session.host
        if isinstance(host, UartHost):
            bad += await _uart_noise(session, host, number)
        elif isinstance(host, SpiHost):
            bad += await _spi_noise(session, host, number, int(rng.integers(1, 8)))
    return _end(session, bad)


@BENCH.test
async def baud_skew(dut: Any, bench: Bench) -> dict[str, Any]:
    """A host whose baud rate is a few percent off, either way."""
    bad = 0
    n_asked = 0
    board = read_board()
    most = _SKEW if board.clocks_per_bit >= 8 else _SKEW_OF_FEW_CLOCKS
    if board.interface != "uart":
        return {"n_vectors": 0, "mismatches": 0, "skipped": "no UART"}
    for skew in (-most, most):
        session = await _session(dut, bench, skew=skew)
        bad += await session.compare(
            "baud_skew", bench.pick(bench.job.frames["stalls"], bench.rng(5))
        )
        n_asked += session.n_asked
        _end(session, 0)
    return {"n_vectors": n_asked, "mismatches": bad}
