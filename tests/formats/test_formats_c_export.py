"""Exported C: compiled without a warning, run, and compared bit for bit with ir.simulate."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from formats_nets import wild_net

from gate2hw.errors import InputError
from gate2hw.formats.c_export import WORD_BITS, check_c_name, export_c
from gate2hw.formats.c_schedule import depends, lower, schedule
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist
from gate2hw.ir.simulate import (
    classes,
    pack,
    random_features,
    random_words,
    scores,
    scores_of_bits,
    simulate,
    unpack,
)

CC = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler (gcc, cc or clang) is found")


def random_head(net: Netlist, n_classes: int, seed: int, *, low: int = -5, high: int = 9) -> Head:
    """Groups of any size, empty ones too; weights and biases of both signs."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, net.n_outputs + 1, n_classes - 1))
    weight = rng.integers(low, high, net.n_outputs)
    return Head(np.array([0, *cuts, net.n_outputs]), weight, rng.integers(-20, 20, n_classes))


def random_encoder(n_inputs: int, seed: int, *, max_value: int = 255) -> Encoder:
    """Two or three thresholds a feature, and features that no input reads."""
    rng = np.random.default_rng(seed)
    feature = np.sort(rng.integers(0, n_inputs // 2 + 1, n_inputs))
    threshold = np.zeros(n_inputs, np.int64)
    for f in np.unique(feature):
        here = feature == f
        threshold[here] = np.sort(rng.choice(max_value, here.sum(), replace=False))
    order = rng.permutation(n_inputs)
    order = order[np.argsort(threshold[order], kind="stable")]
    return Encoder(feature[order], threshold[order], (1, 1, n_inputs // 2 + 3), max_value)


def classifier(
    seed: int,
    n_classes: int,
    *,
    n_gates: int = 300,
    n_outputs: int = 60,
    max_value: int = 255,
) -> Netlist:
    """All 16 functions, constants, wires, equal operands; outputs of any node, complemented."""
    net = wild_net(seed, n_inputs=24, n_gates=n_gates, n_outputs=n_outputs)
    encoder = random_encoder(24, seed, max_value=max_value)
    return net.with_(encoder=encoder, head=random_head(net, n_classes, seed), digest="ab" * 32)


class Library:
    """The functions of an export, called through ctypes."""

    def __init__(
        self,
        net: Netlist,
        folder: Path,
        word_bits: int,
        *,
        timeout_s: float = 120,
        **options: object,
    ) -> None:
        assert CC is not None
        export_c(net, folder, name="m", word_bits=word_bits, **options)
        command = [CC, *FLAGS, "-fPIC", "-shared", "m.c", "-o", "m.so"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode == 0, done.stderr
        self.net, self.word_bits = net, word_bits
        self.library = ctypes.CDLL(str(folder / "m.so"))
        wide = net.encoder is not None and net.encoder.max_value > 255
        self.feature = np.uint16 if wide else np.uint8
        self.word = np.dtype(f"u{max(1, word_bits // 8)}")

    def _call(self, function: str, x: np.ndarray, out: np.ndarray, n: int | None) -> int:
        x = np.ascontiguousarray(x, self.feature)
        count = () if n is None else (ctypes.c_size_t(n),)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, out)]
        return int(getattr(self.library, function)(pointers[0], *count, pointers[1]))

    def check(self, x: np.ndarray, expected: np.ndarray) -> None:
        """Single calls on some samples, batches of all."""
        n, n_classes = expected.shape
        winners = classes(expected)
        found = np.full((n + 1, n_classes), 77, np.int32)
        self._call("m_scores_batch", x, found, n)
        assert np.array_equal(found[:n], expected)
        won = np.full(n + 1, 99, np.uint16 if n_classes > 256 else np.uint8)
        self._call("m_predict_batch", x, won, n)
        assert np.array_equal(won[:n], winners)
        # nothing behind the last sample is touched
        assert (found[n] == 77).all()
        assert won[n] == 99
        for s in range(min(5, n)):
            one = np.zeros(n_classes, np.int32)
            self._call("m_scores", x[s], one, None)
            assert np.array_equal(one, expected[s])
            sample = np.ascontiguousarray(x[s], self.feature)
            assert self.library.m_predict(ctypes.c_void_p(sample.ctypes.data)) == winners[s]

    def eval(self, bits: np.ndarray) -> np.ndarray:
        """A plain circuit on (W, I) bits: (W, O)."""
        lanes = max(1, self.word_bits)
        shifts = np.arange(lanes, dtype=self.word)[:, None]
        words = np.bitwise_or.reduce(bits[:lanes].astype(self.word) << shifts, axis=0)
        words = np.ascontiguousarray(words, self.word)
        out = np.zeros(max(1, self.net.n_outputs), self.word)
        self.library.m_eval(*(ctypes.c_void_p(array.ctypes.data) for array in (words, out)))
        if self.word_bits == 1:
            assert (out <= 1).all()
        return (out[: self.net.n_outputs] >> shifts & self.word.type(1)).astype(bool)


def samples(net: Netlist, n: int) -> np.ndarray:
    assert net.encoder is not None
    return random_features(net.encoder, n, np.random.default_rng(1))


@needs_cc
@pytest.mark.parametrize("word_bits", WORD_BITS)
@pytest.mark.parametrize(("n_classes", "max_value"), [(10, 255), (3, 1000)])
def test_scores_and_classes(tmp_path: Path, word_bits: int, n_classes: int, max_value: int) -> None:
    net = classifier(n_classes, n_classes, max_value=max_value)
    assert set(net.tt.tolist()) == set(range(16))
    assert (net.head.weight < 0).any()
    assert (net.outputs & 1).any()
    library = Library(net, tmp_path, word_bits)
    lanes = max(4, word_bits)
    x = samples(net, 2 * lanes + 3)
    expected = scores(net, x)
    for n in (0, 1, lanes - 1, lanes, lanes + 1, 2 * lanes + 3):
        library.check(x[:n], expected[:n])


@needs_cc
@pytest.mark.slow
def test_two_hundred_thousand_gates(tmp_path: Path) -> None:
    net = classifier(5, 10, n_gates=200_000, n_outputs=8_000)
    library = Library(net, tmp_path, 64, timeout_s=900)
    x = samples(net, 70)
    library.check(x, scores(net, x))


@needs_cc
@pytest.mark.parametrize("word_bits", [1, 32])
@pytest.mark.parametrize("n_classes", [1, 200, 300])
def test_numbers_of_classes(tmp_path: Path, word_bits: int, n_classes: int) -> None:
    net = classifier(n_classes, n_classes, n_outputs=2 * n_classes + 5)
    x = samples(net, 70)
    Library(net, tmp_path, word_bits).check(x, scores(net, x))


@needs_cc
@pytest.mark.parametrize("word_bits", [1, 8, 64])
def test_ties_go_to_the_lowest_class(tmp_path: Path, word_bits: int) -> None:
    net = wild_net(5, n_inputs=8, n_gates=60, n_outputs=12)
    # classes 1 and 3 count the same bits, 0 and 2 are often level with them
    outputs = np.concatenate([net.outputs[:4], net.outputs[4:8], net.outputs[:4], net.outputs[4:8]])
    head = Head(np.arange(0, 17, 4), np.ones(16, np.int32), np.zeros(4, np.int64))
    encoder = Encoder(np.arange(8), np.zeros(8), (8,), 1)
    net = net.with_(outputs=outputs, head=head, encoder=encoder)
    x = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    expected = scores(net, x)
    assert (np.sort(expected, axis=1)[:, -2:].std(axis=1) == 0).all()
    assert set(classes(expected).tolist()) == {0, 1}
    Library(net, tmp_path, word_bits).check(x, expected)


@needs_cc
@pytest.mark.parametrize("word_bits", WORD_BITS)
def test_plain_circuits(tmp_path: Path, word_bits: int) -> None:
    net = wild_net(7, n_inputs=9, n_gates=120, n_outputs=40)
    bits = unpack(random_words(net, 1, np.random.default_rng(0)), 64)
    found = Library(net, tmp_path, word_bits).eval(bits)
    expected = unpack(simulate(net, pack(bits)), 64)
    assert np.array_equal(found, expected[: max(1, word_bits)])


@needs_cc
@pytest.mark.parametrize(
    ("word_bits", "n_inputs", "literals"),
    [(32, 0, [0, 1]), (1, 2, []), (32, 0, []), (1, 3, [2, 3, 7])],
)
def test_plain_corners(tmp_path: Path, word_bits: int, n_inputs: int, literals: list[int]) -> None:
    net = NetlistBuilder(n_inputs).build(literals)
    bits = np.random.default_rng(0).integers(0, 2, (64, n_inputs)).astype(bool)
    found = Library(net, tmp_path, word_bits).eval(bits)
    assert np.array_equal(found, unpack(simulate(net, pack(bits)), 64)[: max(1, word_bits)])
    assert selftest(tmp_path).returncode == 0


@needs_cc
@pytest.mark.parametrize("word_bits", [1, 16])
def test_a_head_of_constants_and_inputs(tmp_path: Path, word_bits: int) -> None:
    head = Head(np.array([0, 2, 4, 4]), np.array([3, -2, -7, 5]), np.array([-4, 9, -(2**31)]))
    net = NetlistBuilder(2).build([1, 2, 0, 3], head=head)
    with pytest.raises(InputError, match="31 bits"):
        export_c(net, tmp_path, name="m", word_bits=word_bits)
    for low in (-(2**31), -6):
        bias = np.array([low + 12, low + 20, low])
        net = net.with_(head=Head(head.group_ptr, head.weight, bias))
        encoder = Encoder(np.array([0, 1]), np.array([3, 0]), (2,), 9)
        x = np.array([[0, 0], [4, 0], [3, 9], [9, 9]])
        coded = net.with_(encoder=encoder)
        Library(coded, tmp_path / str(low), word_bits).check(x, scores(coded, x))
    nothing = NetlistBuilder(3).build([], head=Head(np.zeros(3), np.zeros(0), np.array([1, 1])))
    x = np.zeros((5, 3), np.uint8)
    Library(nothing, tmp_path / "nothing", word_bits).check(x, np.ones((5, 2), np.int64))


@needs_cc
@pytest.mark.parametrize("word_bits", [1, 32])
def test_a_head_without_encoder_reads_bits(tmp_path: Path, word_bits: int) -> None:
    net = classifier(2, 4).with_(encoder=None)
    bits = np.random.default_rng(3).integers(0, 2, (67, net.n_inputs)).astype(bool)
    Library(net, tmp_path, word_bits).check(bits, scores_of_bits(net, bits))


@needs_cc
@pytest.mark.parametrize("part_gates", [1, 3, 50])
def test_slots_between_small_functions(tmp_path: Path, part_gates: int) -> None:
    net = classifier(11, 5)
    x = samples(net, 40)
    Library(net, tmp_path, 32, part_gates=part_gates).check(x, scores(net, x))


def selftest(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Compile and run the self-test of the export in `folder`."""
    assert CC is not None
    command = [CC, *FLAGS, *flags, "m.c", "m_selftest.c", "-o", "selftest"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return subprocess.run(["./selftest"], cwd=folder, capture_output=True, text=True, timeout=60)


def plant(folder: Path) -> None:
    """Change the function of the last gate, which an output reads."""
    text = (folder / "m.c").read_text()
    found = list(re.finditer(r"^    v\[\d+\] = (\(W\))?(.*);$", text, re.MULTILINE))
    gate = [match for match in found if "&" in match[2] or "|" in match[2] or "^" in match[2]][-1]
    line = f"    {gate[0].split(' = ')[0].strip()} = (W)~(W)({gate[2]});"
    (folder / "m.c").write_text(text[: gate.start()] + line + text[gate.end() :])


def trained_like(seed: int) -> Netlist:
    """Gates of two signals only, each output read by one class."""
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(24)
    nodes = [
        builder.gate(int(rng.choice([6, 8, 14, 2])), *pair) for pair in rng.integers(1, 25, (50, 2))
    ]
    head = Head(np.arange(0, 51, 10), np.ones(50, np.int32), np.zeros(5, np.int64))
    literals = 2 * np.array(nodes) + rng.integers(0, 2, 50)
    return builder.build(literals, head=head, encoder=random_encoder(24, seed))


@needs_cc
@pytest.mark.parametrize("word_bits", [1, 64])
@pytest.mark.parametrize("plain", [False, True])
def test_the_selftest_passes_and_finds_a_fault(tmp_path: Path, word_bits: int, plain: bool) -> None:
    net = trained_like(1)
    if plain:
        net = net.with_(encoder=None, head=Head.none(net.n_outputs))
    export_c(net, tmp_path, name="m", word_bits=word_bits)
    done = selftest(tmp_path)
    assert (done.returncode, done.stdout) == (0, "m: 18 samples as expected\n")
    plant(tmp_path)
    done = selftest(tmp_path)
    assert done.returncode == 1
    assert re.match(r"m: sample \d+.*: -?\d+ expected, -?\d+ found\n$", done.stdout)


@needs_cc
@pytest.mark.parametrize("word_bits", [32, 64])
def test_the_selftest_finds_a_batch_that_does_not_step(tmp_path: Path, word_bits: int) -> None:
    export_c(trained_like(1), tmp_path, name="m", word_bits=word_bits)
    text = (tmp_path / "m.c").read_text()
    broken = text.replace("x += m * M_N_FEATURES;", "x += 0;")
    assert broken != text
    (tmp_path / "m.c").write_text(broken)
    done = selftest(tmp_path)
    assert done.returncode == 1
    assert "in a batch" in done.stdout


@needs_cc
@pytest.mark.parametrize("word_bits", [1, 8, 64])
def test_sanitizers_find_nothing(tmp_path: Path, word_bits: int) -> None:
    assert CC is not None
    (tmp_path / "probe.c").write_text("int main(void) { return 0; }\n")
    command = [CC, *SANITIZERS, "probe.c", "-o", "probe"]
    probe = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    if probe.returncode or subprocess.run(["./probe"], cwd=tmp_path, timeout=60).returncode:
        pytest.skip("the compiler has no address and undefined behaviour sanitizers")
    net = classifier(4, 6)
    export_c(net, tmp_path, name="m", word_bits=word_bits, vectors=samples(net, 150))
    done = selftest(tmp_path, *SANITIZERS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("word_bits", [1, 32])
def test_files_are_deterministic_and_say_what_they_are(tmp_path: Path, word_bits: int) -> None:
    net = classifier(9, 3).with_(names=Names(classes=("cat", "*/ dog", "ö??/\\")))
    runs = [
        export_c(net, tmp_path / run, name="m", word_bits=word_bits, version="9.8.7")
        for run in "ab"
    ]
    for first, second in zip(*(run.files for run in runs), strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes().isascii()
    header = runs[0].files[0].read_text()
    assert header.count("*/") == header.count("/*")
    for said in (net.digest, net.content_digest(), "gate2hw 9.8.7", "#define M_N_CLASSES 3"):
        assert said in header
    sizes = runs[0].sizes
    assert f"#define M_WORK_BYTES {sizes.work_bytes}\n" in header
    assert f"{sizes.gates:,} in {sizes.functions:,} functions" in header
    source = runs[0].files[1].read_text()
    includes = set(re.findall(r"#include (\S+)", header + source))
    assert includes == {"<stddef.h>", "<stdint.h>", '"m.h"'}


def test_table_bytes_are_those_of_the_tables(tmp_path: Path) -> None:
    net = classifier(9, 200, n_outputs=500, max_value=999)
    for each in (net, net.with_(head=Head.none(net.n_outputs))):
        sizes = export_c(each, tmp_path, name="m").sizes
        source = (tmp_path / "m.c").read_text()
        tables = re.findall(r"^static const u?int(\d+)_t \w+\[(\d+)\] = {", source, re.MULTILINE)
        assert sum(int(bits) // 8 * int(n) for bits, n in tables) == sizes.table_bytes


def test_every_signal_is_written_before_it_is_read() -> None:
    """Slots replayed without a compiler: what a part reads is what it meant."""
    net = classifier(12, 7, n_gates=400)
    program = lower(net)
    plan = schedule(program, net.encoder, 16)
    held = {plan.slot[node]: node for node in plan.inputs}
    assert sorted(held) == list(range(len(plan.inputs)))
    for nodes in plan.parts:
        here: set[int] = set()
        for node in nodes:
            for operand in program.operands(node):
                assert operand in here or held[plan.slot[operand]] == operand
            here.add(node)
            if node in plan.slot:
                held[plan.slot[node]] = node
    assert all(held[plan.slot[node]] == node for node in program.roots)
    assert max(plan.slot.values()) + 1 == plan.n_slots
    assert plan.n_gates < len(program.tt), "dead gates are left out"


def test_depends_is_what_the_tables_say() -> None:
    for tt in range(16):
        f = [[tt >> (2 * a + b) & 1 for b in (0, 1)] for a in (0, 1)]
        assert depends[0][tt] == (f[0] != f[1])
        assert depends[1][tt] == (f[0][0] != f[0][1] or f[1][0] != f[1][1])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "a letter first"),
        ("2net", "a letter first"),
        ("_net", "a letter first"),
        ("my-net", "a letter first"),
        ("netz\u00e4", "a letter first"),
        ("net\n", "a letter first"),
        ("while", "keyword"),
        ("class", "keyword"),
        ("StdInt", "header"),
        ("n" * 49, "48 characters"),
    ],
)
def test_names_that_c_cannot_hold(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        export_c(wild_net(0), tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []
    assert check_c_name("Net_2") == "Net_2"


def test_other_word_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1, 8, 16, 32, 64"):
        export_c(wild_net(0), tmp_path, word_bits=24)
