"""A serial port of a POSIX system, and the packets that a board answers on it.

The protocol is that of rtl_templates/packet.v: a request ``A5 5A length payload CRC``, an answer
``A5 5A status length payload CRC``, numbers little-endian, CRC-16/CCITT-FALSE, which in a good
answer goes on from the CRC of the request. One request is under way at a time; a fault is answered
once the line has been quiet.
"""

from __future__ import annotations

import binascii
import os
import select
import stat
import termios
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Final

from gate2hw.errors import InputError, ToolFailedError, ToolTimeoutError

__all__ = ["STATUS", "Line", "SerialPort", "bauds"]

MARK: Final = b"\xa5\x5a"
STATUS: Final = {
    1: "the board expects packets of another length: it holds another model",
    2: "the packet arrived with a wrong CRC",
    3: "the packet arrived incomplete or with a framing error",
    4: "the bytes came faster than the model took them; build the board for a lower baud rate",
    5: "the model refused the frame",
}
MOST_PAYLOAD: Final = 65535
_HEAD: Final = 5
_CRC_START: Final = 0xFFFF
_PAUSE_S: Final = 0.1
"""Silence after which a board has given up a packet that broke off (it takes 50 ms for that)."""


def bauds() -> dict[int, int]:
    """The baud rates this system can set, and the constants of `termios` for them."""
    rates = {name[1:]: getattr(termios, name) for name in dir(termios) if name[0] == "B"}
    return {int(rate): code for rate, code in rates.items() if rate.isdecimal() and int(rate)}


class SerialPort:
    """An open serial port: 8 data bits, no parity, 1 stop bit, no flow control, raw."""

    def __init__(self, path: Path | str, baud: int) -> None:
        """Open `path`.

        Raises:
            InputError: it is no serial port, cannot be opened, or cannot do `baud`.
        """
        self.path = Path(path)
        self.baud = baud
        known = bauds()
        if baud not in known:
            near = min(known, key=lambda rate: abs(rate - baud))
            raise InputError(f"{baud} baud cannot be set on this system; the nearest is {near}")
        try:
            if not stat.S_ISCHR(os.stat(self.path).st_mode):
                raise InputError(f"{path} is no serial port; name one such as ttyUSB1 in full")
            self._file = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            hint = "; join its group (often dialout)" if isinstance(error, PermissionError) else ""
            raise InputError(f"{path} cannot be opened: {error.strerror}{hint}") from error
        try:
            self._set_up(known[baud])
        except (termios.error, OSError) as error:
            os.close(self._file)
            raise InputError(f"{path} is no serial port ({error.args[-1]})") from error

    def _set_up(self, code: int) -> None:
        tty.setraw(self._file, termios.TCSANOW)
        settings = termios.tcgetattr(self._file)
        settings[2] &= ~(termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
        settings[2] |= termios.CLOCAL | termios.CREAD | termios.CS8
        settings[4] = settings[5] = code
        termios.tcsetattr(self._file, termios.TCSANOW, settings)
        termios.tcflush(self._file, termios.TCIOFLUSH)

    def __enter__(self) -> SerialPort:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the port."""
        os.close(self._file)

    def line_s(self, n_bytes: int) -> float:
        """Seconds that `n_bytes` take on the line, 10 bits each."""
        return 10 * n_bytes / self.baud

    def _gone(self, error: OSError) -> ToolFailedError:
        return ToolFailedError(f"{self.path} is gone: {error.strerror}; plug the board in again")

    def write(self, data: bytes, timeout_s: float) -> None:
        """Write all of `data`.

        Raises:
            ToolTimeoutError: the port took nothing for `timeout_s` seconds.
            ToolFailedError: the port is gone.
        """
        while data:
            if not select.select([], [self._file], [], timeout_s)[1]:
                raise ToolTimeoutError(f"{self.path} took no byte for {timeout_s:g} s")
            try:
                data = data[os.write(self._file, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(error) from error

    def read(self, timeout_s: float) -> bytes:
        """What has come in; waits up to `timeout_s` seconds for it, then returns nothing."""
        if not select.select([self._file], [], [], max(0.0, timeout_s))[0]:
            return b""
        try:
            data = os.read(self._file, 65536)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise ToolFailedError(f"{self.path} was closed at its other end")
        return data


class Line:
    """Asks a board over a `SerialPort`; `n_retries` counts the requests sent again.

    `timeout_s` is how long the board may be silent once it has heard the request. A request without
    a good answer is sent again up to `retries` times, after a pause in which the board gives up
    what it had of the last.
    """

    def __init__(self, port: SerialPort, *, timeout_s: float, retries: int) -> None:
        self.port = port
        self.timeout_s = timeout_s
        self.retries = retries
        self.n_retries = 0

    def ask(self, payload: bytes) -> bytes:
        """The payload of the answer to `payload`.

        Raises:
            InputError: the payload is too long, or the board expects another length.
            ToolTimeoutError: no answer came, however often it was asked.
            ToolFailedError: no good answer came; the text holds the last fault.
        """
        if len(payload) > MOST_PAYLOAD:
            raise InputError(f"a packet holds up to {MOST_PAYLOAD} bytes, not {len(payload)}")
        body = len(payload).to_bytes(2, "little") + payload
        crc = binascii.crc_hqx(body, _CRC_START)
        packet = MARK + body + crc.to_bytes(2, "little")
        fault: str | None = None
        for attempt in range(self.retries + 1):
            if attempt:
                self.n_retries += 1
                self._drain()
            self.port.write(packet, self.timeout_s)
            heard = self._hear(crc, self.port.line_s(len(packet)))
            if isinstance(heard, bytes):
                return heard
            fault = heard or fault
        tried = f"asked {self.retries + 1} times"
        if fault is None:
            raise ToolTimeoutError(
                f"{self.port.path}: no answer ({tried}, {self.timeout_s:g} s each); check the port "
                "and the baud rate, and that the bitstream is loaded"
            )
        if fault == STATUS[1]:
            raise InputError(f"{self.port.path}: {fault}; give the build that it was made from")
        raise ToolFailedError(f"{self.port.path}: {fault} ({tried})")

    def _drain(self) -> None:
        """Read until nothing has come for a while, or it seems to have no end."""
        pause_s = max(self.timeout_s / 4, _PAUSE_S)
        end = time.monotonic() + 4 * pause_s
        while self.port.read(pause_s) and time.monotonic() < end:
            pass

    def _hear(self, request_crc: int, sending_s: float) -> bytes | str | None:
        """The payload of the next good answer, the fault of a bad one, or None for silence."""
        heard = b""
        n_heard = 0
        fault: str | None = None
        # what was written may still be on its way to the board
        end = time.monotonic() + sending_s + self.timeout_s
        while True:
            left_s = end - time.monotonic()
            more = self.port.read(left_s) if left_s > 0 else b""
            if not more:
                return fault or self._unheard(heard, n_heard)
            heard += more
            n_heard += len(more)
            while (at := heard.find(MARK)) >= 0 and len(heard) >= at + _HEAD:
                stop = at + _HEAD + int.from_bytes(heard[at + 3 : at + 5], "little")
                if len(heard) < stop + 2:
                    break
                body = heard[at + 2 : stop]
                start = request_crc if body[0] == 0 else _CRC_START
                if binascii.crc_hqx(body, start).to_bytes(2, "little") == heard[stop : stop + 2]:
                    return self._judged(body)
                fault = "an answer has a wrong CRC"
                heard = heard[at + 1 :]  # the mark may have been noise
            # only an answer that has begun may take longer: something else may never fall silent
            if at < 0:
                heard = heard[-1:]
            elif n_heard < 2 * MOST_PAYLOAD:
                end = max(end, time.monotonic() + self.timeout_s)

    def _unheard(self, heard: bytes, n_heard: int) -> str | None:
        """What is wrong with what came, if anything came."""
        if MARK in heard:
            return "an answer broke off"
        if n_heard:
            return f"{n_heard} bytes came, but no answer; check the port and the baud rate"
        return None

    def _judged(self, body: bytes) -> bytes | str:
        status, payload = body[0], body[3:]
        if status == 0:
            return payload
        return STATUS.get(status, f"the board answered with the unknown status {status}")
