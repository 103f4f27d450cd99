"""The packets of a board's serial line, as the judge sees them; see rtl_templates/packet.v."""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from sim.job import Manifest
from sim.scoreboard import Answer, top_answer

__all__ = ["MARK", "Packet", "answer_of", "crc_of", "find_packet", "request"]

MARK = b"\xa5\x5a"
HEAD = 5
"""Bytes of an answer before its payload."""


def crc_of(data: bytes, before: bytes = b"\xff\xff") -> bytes:
    """CRC-16/CCITT-FALSE of `data`, low byte first; `before` is the CRC that it goes on from."""
    return binascii.crc_hqx(data, int.from_bytes(before, "little")).to_bytes(2, "little")


def request(payload: bytes, *, length: int | None = None, spoil: int = 0) -> bytes:
    """A request; `length` and `spoil` (xor on the CRC) make a wrong one."""
    body = (len(payload) if length is None else length).to_bytes(2, "little") + payload
    crc = int.from_bytes(crc_of(body), "little") ^ spoil
    return MARK + body + crc.to_bytes(2, "little")


@dataclass(frozen=True)
class Packet:
    """An answer: `fault` says what is wrong with it, if anything."""

    status: int
    payload: bytes
    fault: str = ""


def find_packet(data: bytes, asked: bytes = b"") -> Packet | None:
    """The answer at the first mark in `data` to the request `asked`; None where it is not whole
    yet. The CRC of a good answer goes on from that of the request."""
    at = data.find(MARK)
    if at < 0 or len(data) < at + HEAD:
        return None
    end = at + HEAD + int.from_bytes(data[at + 3 : at + 5], "little")
    if len(data) < end + 2:
        return None
    is_good = data[at + 2] == 0
    crc = crc_of(data[at + 2 : end], asked[-2:] if is_good and asked else b"\xff\xff")
    fault = "" if data[end : end + 2] == crc else "its CRC is wrong"
    return Packet(data[at + 2], data[at + HEAD : end], fault)


def answer_of(manifest: Manifest, packet: Packet | None) -> Answer:
    """What a packet says of class and scores."""
    if packet is None:
        return Answer(None, None, "no answer")
    if packet.fault or packet.status:
        return Answer(None, None, packet.fault or f"status {packet.status}")
    if len(packet.payload) != manifest.result_bytes:
        return Answer(None, None, f"a payload of {len(packet.payload)} bytes")
    size = manifest.bus_bytes
    padded = packet.payload.ljust(size * manifest.result_beats, b"\0")
    words = (padded[i : i + size] for i in range(0, len(padded), size))
    return top_answer(manifest, [f"{int.from_bytes(w, 'little'):0{8 * size}b}" for w in words])
