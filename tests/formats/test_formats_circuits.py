"""convert's table: every format to every other, what each holds, and what it must refuse."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess

import numpy as np
import pytest
from formats_nets import real_net, wild_net, with_head

from gate2hw.errors import InputError, ModelFileError
from gate2hw.formats.circuits import FORMATS, read_circuit, write_circuit
from gate2hw.ir.netlist import Encoder, Names, Netlist
from gate2hw.ir.simulate import random_words, scores_of_bits, simulate

SUMS = (".json", ".c", ".npz")


def outputs(net: Netlist, words: np.ndarray) -> np.ndarray:
    return simulate(net, words)


@pytest.mark.parametrize("first", sorted(FORMATS))
@pytest.mark.parametrize("second", sorted(FORMATS))
def test_every_pair(tmp_path, first, second):
    net = wild_net(3)
    words = random_words(net, 4, np.random.default_rng(0))
    expected = outputs(net, words)
    write_circuit(net, tmp_path / f"a{first}")
    write_circuit(read_circuit(tmp_path / f"a{first}"), tmp_path / f"b{second}")
    back = read_circuit(tmp_path / f"b{second}")
    assert (back.n_inputs, back.n_outputs) == (net.n_inputs, net.n_outputs)
    assert (outputs(back, words) == expected).all()


@pytest.mark.parametrize("suffix", [".blif", ".c", ".json", ".npz", ".v"])
@pytest.mark.parametrize("seed", range(3))
def test_gates_stay_gates(tmp_path, suffix, seed):
    net = real_net(seed)
    write_circuit(net, tmp_path / f"n{suffix}")
    back = read_circuit(tmp_path / f"n{suffix}")
    for column in ("tt", "in0", "in1", "outputs"):
        assert getattr(back, column).tolist() == getattr(net, column).tolist()


@pytest.mark.parametrize("suffix", SUMS)
@pytest.mark.parametrize("seed", range(4))
def test_scores_survive(tmp_path, suffix, seed):
    low, bias = (0, 0) if suffix == ".c" else (-3, -5)
    net = with_head(wild_net(seed), seed, low=low, bias=bias)
    bits = np.random.default_rng(seed).integers(0, 2, (200, net.n_inputs)).astype(bool)
    write_circuit(net, tmp_path / f"n{suffix}")
    back = read_circuit(tmp_path / f"n{suffix}")
    assert (scores_of_bits(back, bits) == scores_of_bits(net, bits)).all()


def test_negative_weights_become_complements_where_the_bias_allows(tmp_path):
    net = with_head(wild_net(2), 2)
    head = net.head
    lifted = net.with_(
        head=type(head)(head.group_ptr, head.weight, head.bias + 60)  # weights go down to -36
    )
    bits = np.random.default_rng(0).integers(0, 2, (200, net.n_inputs)).astype(bool)
    write_circuit(lifted, tmp_path / "n.c")
    back = read_circuit(tmp_path / "n.c")
    assert (scores_of_bits(back, bits) == scores_of_bits(lifted, bits)).all()


def test_what_is_lost_is_said(tmp_path):
    net = with_head(real_net(0))
    code = Encoder(np.arange(6), np.zeros(6, np.int32), (6,), 1)
    names = Names(inputs=tuple("abcdef"), classes=("p", "q", "r"))
    net = net.with_(encoder=code, names=names)
    assert write_circuit(net, tmp_path / "n.npz") == []
    notes = write_circuit(net, tmp_path / "n.aig")
    assert [note.split(": ")[0] for note in notes] == [
        "AIGER holds no sums",
        "AIGER holds no encoder",
        "AIGER holds no names of classes",
    ]
    assert "weights and biases into 3 classes are not" in notes[0]
    notes = write_circuit(net, tmp_path / "n.json")
    assert any("no names of inputs" in note for note in notes)
    assert not any("sums" in note for note in notes)
    assert write_circuit(wild_net(0), tmp_path / "n.blif") == []


def test_c_refuses_what_it_cannot_sum(tmp_path):
    net = with_head(real_net(0), low=0, bias=0)
    head = type(net.head)(net.head.group_ptr, net.head.weight, np.array([0, -3, 0]))
    net = net.with_(head=head)
    with pytest.raises(InputError, match="class 1 has bias -3, which the C of difflogic"):
        write_circuit(net, tmp_path / "n.c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".c", ".json"])
def test_huge_weights_are_refused(tmp_path, suffix):
    net = with_head(real_net(0))
    head = type(net.head)(net.head.group_ptr, net.head.weight * 0 + 2**30, net.head.bias)
    with pytest.raises(InputError, match="summed bits, more than"):
        write_circuit(net.with_(head=head), tmp_path / f"n{suffix}")


@pytest.mark.parametrize("name", ["x.foo", "x", "x.tar.gz"])
def test_unknown_suffix(tmp_path, name):
    with pytest.raises(InputError, match=r"no netlist format; known are \.aag"):
        read_circuit(tmp_path / name)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_a_missing_file_and_a_folder(tmp_path, suffix):
    with pytest.raises(ModelFileError, match="n\\."):
        read_circuit(tmp_path / f"n{suffix}")
    (tmp_path / f"d{suffix}").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_circuit(tmp_path / f"d{suffix}")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_written_c_computes_the_scores(tmp_path):
    net = with_head(wild_net(5), 5, low=0, bias=0)
    write_circuit(net, tmp_path / "n.c")
    subprocess.run(
        [
            "cc",
            "-O1",
            "-Wall",
            "-Werror",
            "-Wno-unused-variable",
            "-shared",
            "-fPIC",
            "-o",
            "n.so",
            "n.c",
        ],
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    bits = np.random.default_rng(0).integers(0, 2, (128, net.n_inputs)).astype(bool)
    result = np.zeros((128, 3), np.int32)
    library = ctypes.CDLL(str(tmp_path / "n.so"))
    library.apply_logic_gate_net(
        np.ascontiguousarray(bits).ctypes.data_as(ctypes.c_void_p),
        result.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_size_t(2),
    )
    assert (result == scores_of_bits(net, bits)).all()


C_HEAD = "void logic_gate_net(char const *inp, char *out) {\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no C of difflogic"),
        (C_HEAD + "const char v0 = inp[0];", "no C of difflogic"),
        (C_HEAD + "const char v0 = inp[0] & inp[1];\nout[0] = v1;}", "line 3: 'v1' is read"),
        (C_HEAD + "out[0] = v0 & v1;}", "'v0' is read, but never defined; difflogic writes such C"),
        (C_HEAD + "out[0] = inp[0] + inp[1];}", "'inp\\[0\\]\\+inp\\[1\\]' cannot be read"),
        (C_HEAD + "out[0] = inp[0] && inp[1];}", "bit parallel C has only"),
        (C_HEAD + "out[0] = inp[0] & 1;}", "bit parallel C has only"),
        (C_HEAD + "out[1] = inp[0];}", "not all assigned"),
        (C_HEAD + "out[0] = inp[0]; out[0] = inp[1];}", "assigned twice"),
        (C_HEAD + "out[0] = inp[999999999];}", "1,000,000,000 inputs"),
        (C_HEAD + "out[0] = inp[99999999999999];}", "beyond all inputs"),
        (C_HEAD + "return;}", "'return' is no gate"),
        (C_HEAD + "const char v0 = v0 & inp[0]; out[0] = v0;}", "'v0' is on a cycle"),
        ("enum { N_INPUTS = 1 };" + C_HEAD + "out[0] = inp[5];}", "1 inputs are stated"),
        ("enum { N_CLASSES = 2 };" + C_HEAD + "out[0] = inp[0];}", "cannot be 2 classes"),
    ],
)
def test_bad_c(tmp_path, text, message):
    (tmp_path / "n.c").write_text(text)
    with pytest.raises(ModelFileError, match=message) as caught:
        read_circuit(tmp_path / "n.c")
    assert "\n" not in str(caught.value)


GOOD = {
    "n_inputs": 2,
    "input_shape": [2],
    "gates": [{"gate_id": 7, "op": "AND", "in0": 0, "in1": 1}],
    "outputs": [9],
    "sum_nodes": [{"node_id": 9, "input_ids": [7, 0, 7], "tau": 2.0, "beta": 3.0}],
}


def changed(**entries: object) -> dict[str, object]:
    return json.loads(json.dumps(GOOD)) | entries


def gate(**entries: object) -> dict[str, object]:
    return changed(gates=[GOOD["gates"][0] | entries])


def summed(**entries: object) -> dict[str, object]:
    return changed(sum_nodes=[GOOD["sum_nodes"][0] | entries])


def test_json_sums_repeat_ids_and_add_beta(tmp_path):
    (tmp_path / "n.json").write_text(json.dumps(GOOD))
    net = read_circuit(tmp_path / "n.json")
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool)
    assert scores_of_bits(net, bits).ravel().tolist() == [3, 3, 4, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no n_inputs and gates"),
        (changed(n_inputs=10**9), "n_inputs is 1000000000, in a file of"),
        (changed(n_inputs=-1), "n_inputs is -1"),
        (changed(gates=5), "gates is no list"),
        (changed(gates=[5]), "entry 0 of gates"),
        (gate(op="ANDD"), "gate 7: op 'ANDD' is unknown; did you mean 'AND'"),
        (gate(op=["AND"]), "is unknown"),
        (gate(in1=-1), "gate 7: AND reads in1, which is -1"),
        (gate(in1=8), "id 8 is read, but no gate or input has it"),
        (gate(in1=7), "gate 7 is on a cycle"),
        (gate(gate_id=1), "gate 1 has the id of an input"),
        (gate(gate_id=2**40), "its ids are no integers"),
        (changed(gates=GOOD["gates"] * 2), "gate 7 is defined twice"),
        (changed(outputs=[9, 7]), "mixes sums and bits"),
        (changed(outputs=[True]), "outputs is no list of ids"),
        (summed(beta=0.5), "beta is 0.5, no whole number of votes"),
        (summed(tau=0.0), "tau is 0"),
        (summed(tau=float("nan")), "must be finite"),
        (summed(input_ids="x"), "input_ids is no list"),
        (
            changed(
                outputs=[9, 10], sum_nodes=[*GOOD["sum_nodes"], {"node_id": 10, "input_ids": [0]}]
            ),
            "different tau",
        ),
    ],
)
def test_bad_json(tmp_path, content, message):
    (tmp_path / "n.json").write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match=message) as caught:
        read_circuit(tmp_path / "n.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"n_inputs": 1e999, "gates": []}', "[" * 100_000])
def test_json_that_is_none(tmp_path, text):
    (tmp_path / "n.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"not a|n_inputs is inf"):
        read_circuit(tmp_path / "n.json")


def test_a_planted_fault_is_seen(tmp_path):
    net = real_net(1)
    write_circuit(net, tmp_path / "n.json")
    text = (tmp_path / "n.json").read_text()
    content = json.loads(text)
    by_id = {g["gate_id"]: g for g in content["gates"]}
    last = next(by_id[i] for i in content["outputs"] if i in by_id and by_id[i]["op"] != "NOT")
    last["op"] = "XOR" if last["op"] != "XOR" else "AND"
    (tmp_path / "n.json").write_text(json.dumps(content))
    words = random_words(net, 4, np.random.default_rng(0))
    back = read_circuit(tmp_path / "n.json")
    assert (outputs(back, words) != outputs(net, words)).any()
