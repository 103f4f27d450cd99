"""talk, through a pseudo-terminal: against a board of Python, and against the simulated top."""

from __future__ import annotations

import binascii
import json
import os
import re
import shutil
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gate2hw.cli import main
from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.tops.boarding import facts_of, identity, wiring_of, write_board
from gate2hw.flow.tops.talking import talk
from gate2hw.ir.simulate import scores
from gate2hw.ir.store import load_golden, load_netlist
from gate2hw.rtl import Manifest
from gate2hw.tools.boards import load_board
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.simulators import available, run_bench


class SoftBoard:
    """Answers as a board with the netlist of a build folder would; `spoil` changes an answer, and
    after `most` requests it is unplugged."""

    def __init__(self, folder: Path) -> None:
        self.manifest = Manifest.load(folder / "rtl" / "manifest.json")
        self.net = load_netlist(folder / "netlist.npz")
        self.ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)
        self.identity = identity(self.manifest)
        self.spoil = 0
        self.most = 1000
        self.n_requests = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _answer(self, payload: bytes) -> bytes:
        if not payload:
            return self.identity
        x = np.frombuffer(payload, np.uint8).reshape(1, *self.net.encoder.shape)
        found = scores(self.net, x)[0]
        found[0] += self.spoil
        size = self.manifest.score_bytes
        numbers = (int(s).to_bytes(size, "little", signed=s < 0) for s in found)
        return bytes([int(found.argmax())]) + b"".join(numbers)

    def _serve(self) -> None:
        os.set_blocking(self.ours, False)
        heard = b""
        while not self._stop.is_set():
            try:
                heard += os.read(self.ours, 4096)
            except BlockingIOError:
                time.sleep(0.002)
            length = int.from_bytes(heard[2:4], "little")
            if len(heard) >= 6 + length and len(heard) >= 6:
                self.n_requests += 1
                payload, heard = heard[4 : 4 + length], heard[6 + length :]
                answer = self._answer(payload)
                asked = binascii.crc_hqx(length.to_bytes(2, "little") + payload, 0xFFFF)
                body = b"\0" + len(answer).to_bytes(2, "little") + answer
                crc = binascii.crc_hqx(body, asked).to_bytes(2, "little")
                os.write(self.ours, b"\xa5\x5a" + body + crc)
            if self.n_requests == self.most:
                time.sleep(0.05)
                break
        os.close(self._theirs)
        os.close(self.ours)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def board(compiled: Path) -> Iterator[SoftBoard]:
    fake = SoftBoard(compiled)
    yield fake
    fake.close()


def test_answers_are_the_models(board, compiled):
    golden = load_golden(compiled / "golden.npz")
    result = talk(board.path, golden.x[:20], compiled, check=True)
    assert result["classes"] == golden.classes[:20].tolist()
    assert result["scores"] == golden.scores[:20].tolist()
    assert (result["images"], result["retries"], result["baud"]) == (20, 0, 115200)
    assert board.n_requests == 21


@pytest.mark.parametrize("shape", [(64,), (8, 8), (1, 8, 8), (1, 64)])
def test_one_sample_may_come_in_any_shape(board, compiled, tmp_path, shape):
    golden = load_golden(compiled / "golden.npz")
    np.save(tmp_path / "one.npy", golden.x[3].reshape(shape).astype(np.uint8))
    result = talk(board.path, tmp_path / "one.npy", compiled)
    assert result["classes"] == [int(golden.classes[3])]


def test_the_command_prints_names_and_scores(board, compiled, tmp_path, capsys):
    golden = load_golden(compiled / "golden.npz")
    np.save(tmp_path / "two.npy", golden.x[:2])
    argv = ["talk", board.path, str(tmp_path / "two.npy"), "--build", str(compiled)]
    assert main([*argv, "--check"]) == 0
    told = capsys.readouterr()
    first = f"{golden.classes[0]}  {' '.join(map(str, golden.scores[0]))}"
    assert told.out.splitlines()[0] == first
    assert "2 images" in told.err
    assert "all as the software model says" in told.err
    assert main([*argv, "--json", "--baud", "9600"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["classes"] == golden.classes[:2].tolist()
    assert result["baud"] == 9600


def test_a_board_that_is_wrong_is_found_out(board, compiled):
    golden = load_golden(compiled / "golden.npz")
    board.spoil = 1
    assert talk(board.path, golden.x[:1], compiled)["scores"] != golden.scores[:1].tolist()
    with pytest.raises(CheckFailedError, match="sample 0: the board says class"):
        talk(board.path, golden.x[:1], compiled, check=True)


def test_another_model_is_refused(board, compiled):
    board.identity = bytes(8)
    with pytest.raises(InputError, match="holds another model"):
        talk(board.path, np.zeros((1, 64), np.uint8), compiled)
    assert board.n_requests == 1


@pytest.mark.parametrize(
    ("bauds", "said"),
    [
        ({"icebreaker": 9600}, 9600),
        ({"icebreaker": 9600, "ulx3s-85f": 9600, "colorlight-i5": None}, 9600),
        ({"icebreaker": 9600, "ulx3s-85f": 19200}, "differ in baud rate .icebreaker 9600, ulx3s"),
        ({"icebreaker": None}, "built for SPI alone .icebreaker., talk needs a UART"),
    ],
)
def test_the_baud_rate_is_that_of_the_boards(board, compiled, tmp_path, bauds, said):
    folder = BuildFolder(shutil.copytree(compiled, tmp_path / "build"))
    for name, baud in bauds.items():
        folder.put(f"board.{name}", "key", [], {"baud": baud}, 0.0)
    x = np.zeros((1, 64), np.uint8)
    if isinstance(said, int):
        assert talk(board.path, x, folder.path)["baud"] == said
    else:
        with pytest.raises(InputError, match=said):
            talk(board.path, x, folder.path)
        assert board.n_requests == 0
    assert talk(board.path, x, folder.path, baud=38400)["baud"] == 38400


def test_a_board_unplugged_between_two_images_is_one_sentence(compiled, tmp_path, capsys):
    fake = SoftBoard(compiled)
    fake.most = 3
    golden = load_golden(compiled / "golden.npz")
    np.save(tmp_path / "x.npy", golden.x[:8])
    argv = ["talk", fake.path, str(tmp_path / "x.npy"), "--build", str(compiled)]
    assert main([*argv, "--timeout", "0.3"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"is gone|closed at its other end", said)
    assert fake.n_requests == 3


def test_samples_that_do_not_fit_are_refused(board, compiled, tmp_path, capsys):
    with pytest.raises(InputError, match="64 values each"):
        talk(board.path, np.zeros((2, 63), np.uint8), compiled)
    with pytest.raises(InputError, match="no build folder"):
        talk(board.path, np.zeros((2, 64), np.uint8), tmp_path)
    np.save(tmp_path / "big.npy", np.repeat([[3], [300]], 64, axis=1))
    with pytest.raises(InputError, match=r"big\.npy: sample 1, feature 0: value 300 is outside"):
        talk(board.path, tmp_path / "big.npy", compiled)
    argv = ["talk", str(tmp_path / "port"), "x.npy", "--build", str(compiled)]
    assert main(argv) == 2
    assert "x.npy" in capsys.readouterr().err


@pytest.mark.slow
def test_talk_to_the_simulated_board(compiled, tmp_path):
    """The bridge bit-bangs the pins of a whole board; its answers must be the model's."""
    reason = available("verilator")
    if reason is not None:
        pytest.skip(reason)
    manifest = Manifest.load(compiled / "rtl" / "manifest.json")
    wiring = wiring_of(manifest, load_board("icebreaker"), baud=3_000_000, gap_ms=0.02)
    around = write_board(manifest, wiring, tmp_path / "rtl")
    facts, told = tmp_path / "board.json", tmp_path / "port"
    facts.write_text(json.dumps(facts_of(wiring, manifest, {})))
    wrapper = tmp_path / "tiny_board_bench.v"
    root = data_dir("sim").parent
    run_tool(
        [sys.executable, "-m", "sim.board_wrapper", facts, wrapper],
        tool="sim.board_wrapper",
        cwd=root,
        timeout_s=60,
    )
    outcome = {}

    def simulate() -> None:
        outcome["bench"] = run_bench(
            simulator="verilator",
            sources=[*(compiled / "rtl" / name for name in manifest.files), *around, wrapper],
            toplevel=wrapper.stem,
            test_module="sim.bench_bridge",
            test_dir=root,
            build_dir=tmp_path / "sim",
            env={"GATE2HW_BOARD": str(facts), "GATE2HW_BRIDGE": str(told)},
            timeout_s=240,
        )

    thread = threading.Thread(target=simulate)
    thread.start()
    while thread.is_alive() and not told.is_file():
        time.sleep(0.05)
    assert told.is_file(), "the bridge did not come up"
    golden = load_golden(compiled / "golden.npz")
    port = told.read_text()
    try:
        result = talk(port, golden.x[:6], compiled, check=True, timeout_s=30)
        # noise on the line, half a packet among it: the board finds back
        with open(port, "wb", buffering=0) as line:
            line.write(b"\x00\xff\xa5\xa5\x5a\x40\x00\x01\x02\x03")
        again = talk(port, golden.x[6:8], compiled, check=True, timeout_s=10, retries=5)
    finally:
        told.unlink()
        thread.join()
    assert result["classes"] == golden.classes[:6].tolist()
    assert again["scores"] == golden.scores[6:8].tolist()
    assert outcome["bench"].passed
