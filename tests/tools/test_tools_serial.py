"""The host's side of the line, against a board made of a few lines of Python behind a pty."""

from __future__ import annotations

import binascii
import os
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from gate2hw.errors import InputError, ToolFailedError, ToolTimeoutError
from gate2hw.tools.serial import Line, SerialPort


def packet(status: int, payload: bytes, *, asked: bytes = b"abc") -> bytes:
    """An answer to the request `asked`."""
    request = len(asked).to_bytes(2, "little") + asked
    start = 0xFFFF if status else binascii.crc_hqx(request, 0xFFFF)
    body = bytes([status]) + len(payload).to_bytes(2, "little") + payload
    return b"\xa5\x5a" + body + binascii.crc_hqx(body, start).to_bytes(2, "little")


class FakeBoard:
    """Answers each request (of any good length) by `answers`, one after the other."""

    def __init__(self) -> None:
        self.ours, theirs = os.openpty()
        tty.setraw(theirs)
        self.path, self._theirs = os.ttyname(theirs), theirs
        self.requests: list[bytes] = []
        self.answer: Callable[[bytes, int], bytes] = lambda payload, n: packet(
            0, payload[::-1], asked=payload
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        os.set_blocking(self.ours, False)
        heard = b""
        while not self._stop.is_set():
            try:
                heard += os.read(self.ours, 4096)
            except BlockingIOError:
                time.sleep(0.002)
            if len(heard) >= 6 and len(heard) >= 6 + int.from_bytes(heard[2:4], "little"):
                length = int.from_bytes(heard[2:4], "little")
                self.requests.append(heard[: length + 6])
                payload, heard = heard[4 : 4 + length], heard[length + 6 :]
                os.write(self.ours, self.answer(payload, len(self.requests) - 1))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self.ours)
        os.close(self._theirs)


@pytest.fixture
def board() -> Iterator[FakeBoard]:
    fake = FakeBoard()
    yield fake
    fake.close()


def ask(board: FakeBoard, payload: bytes = b"abc", **options: float) -> tuple[bytes, int]:
    with SerialPort(board.path, 115200) as port:
        line = Line(port, timeout_s=options.get("timeout_s", 0.3), retries=2)
        return line.ask(payload), line.n_retries


def test_a_request_is_a_packet_and_its_answer_comes_back(board):
    assert ask(board) == (b"cba", 0)
    body = b"\x03\0abc"
    crc = binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "little")
    assert board.requests == [b"\xa5\x5a" + body + crc]


def test_all_bytes_pass_the_port_unchanged(board):
    every = bytes(range(256)) * 3
    assert ask(board, every)[0] == every[::-1]


@pytest.mark.parametrize(
    "first",
    [
        b"",  # silence
        packet(2, b""),  # the board saw a wrong CRC
        packet(0, b"cba")[:-1] + b"!",  # the answer was spoilt
        packet(0, b"cba")[:-3],  # the answer broke off
        b"\xa5\x5a\0\xff\xff",  # a length that nothing follows
    ],
)
def test_a_lost_or_spoilt_answer_is_asked_for_again(board, first):
    board.answer = lambda payload, n: first if n == 0 else packet(0, b"cba")
    assert ask(board) == (b"cba", 1)


def test_noise_before_the_answer_is_skipped(board):
    board.answer = lambda payload, n: b"\0\xff\xa5\xa5" + packet(0, b"cba")
    assert ask(board) == (b"cba", 0)
    # a false mark whose length covers the real answer costs a try, no more
    board.answer = lambda payload, n: (b"\xa5\x5a\0\2\0" if n == 1 else b"") + packet(0, b"ok")
    assert ask(board)[0] == b"ok"


def test_a_board_that_never_answers_is_named(board):
    board.answer = lambda payload, n: b""
    with pytest.raises(ToolTimeoutError, match=r"no answer \(asked 3 times"):
        ask(board, timeout_s=0.1)
    assert len(board.requests) == 3


def test_the_last_fault_is_told(board):
    board.answer = lambda payload, n: packet(4, b"")
    with pytest.raises(ToolFailedError, match="faster than the model took them"):
        ask(board, timeout_s=0.1)
    board.answer = lambda payload, n: packet(77, b"")
    with pytest.raises(ToolFailedError, match="unknown status 77"):
        ask(board, timeout_s=0.1)


def test_another_length_may_be_noise_once_but_not_always(board):
    board.answer = lambda payload, n: packet(1, b"") if n == 0 else packet(0, b"cba")
    assert ask(board) == (b"cba", 1)
    board.answer = lambda payload, n: packet(1, b"")
    with pytest.raises(InputError, match="another model"):
        ask(board, timeout_s=0.1)


def test_a_late_answer_is_not_taken_for_that_to_the_next_request(board):
    late = packet(0, b"cba")
    board.answer = lambda payload, n: late + packet(0, b"fed", asked=payload)
    assert ask(board, b"def") == (b"fed", 0)
    # neither where it comes instead of the answer
    board.answer = lambda payload, n: late if n == 1 else packet(0, b"fed", asked=payload)
    assert ask(board, b"def") == (b"fed", 1)


def test_the_time_that_the_request_takes_on_the_line_is_not_silence(board):
    def answer(payload: bytes, n: int) -> bytes:
        time.sleep(0.35)  # 46 bytes at 1200 baud take 0.38 s
        return packet(0, b"ok", asked=payload)

    board.answer = answer
    with SerialPort(board.path, 1200) as port:
        line = Line(port, timeout_s=0.2, retries=0)
        assert line.ask(bytes(40)) == b"ok"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"$GPGLL,4916.45,N\r\n", "bytes came, but no answer; check the port"),
        (b"\xa5\x5a\0\xff\xff" + bytes(2000), "wrong CRC|broke off"),
    ],
)
def test_a_device_that_never_falls_silent_is_given_up(board, said, complaint):
    """What it says is no answer, even where it has marks, and does not prolong the wait."""
    stop = threading.Event()

    def chatter() -> None:
        while not stop.is_set():
            with suppress(BlockingIOError):
                os.write(board.ours, said)
            time.sleep(0.002)

    board.answer = lambda payload, n: b""
    talker = threading.Thread(target=chatter)
    talker.start()
    try:
        with pytest.raises(ToolFailedError, match=complaint):
            ask(board, timeout_s=0.1)
    finally:
        stop.set()
        talker.join()


def test_what_is_no_port_is_refused(tmp_path, board):
    with pytest.raises(InputError, match="cannot be opened"):
        SerialPort(tmp_path / "none", 115200)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="no serial port"):
        SerialPort(tmp_path / "file", 115200)
    with pytest.raises(InputError, match="12345 baud cannot be set"):
        SerialPort(board.path, 12345)
    with SerialPort(board.path, 115200) as port, pytest.raises(InputError, match="65535"):
        Line(port, timeout_s=1, retries=0).ask(bytes(65536))


def test_a_board_that_is_unplugged_is_named():
    fake = FakeBoard()
    port = SerialPort(fake.path, 115200)
    fake.close()
    with pytest.raises(ToolFailedError, match=r"is gone|closed at its other end"):
        Line(port, timeout_s=0.2, retries=0).ask(b"abc")
    port.close()
