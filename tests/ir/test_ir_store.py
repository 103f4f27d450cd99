import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gate2hw.errors import ModelFileError
from gate2hw.ir import store
from gate2hw.ir.lutnetlist import from_netlist, load_lutnetlist, save_lutnetlist
from gate2hw.ir.store import (
    Golden,
    file_kind,
    load_arrays,
    load_golden,
    load_netlist,
    load_network,
    save_arrays,
    save_golden,
    save_netlist,
    save_network,
)

KINDS = ["network", "netlist", "lutnetlist", "golden"]
LOAD = {
    "network": load_network,
    "netlist": load_netlist,
    "lutnetlist": load_lutnetlist,
    "golden": load_golden,
}


@pytest.fixture
def files(tmp_path, random_network, random_netlist, golden):
    """One small file of each kind, by kind."""
    paths = {kind: tmp_path / kind for kind in KINDS}
    network = random_network(1, input_shape=(1, 4, 4), kernels=2, dense=(6,), n_classes=2)
    save_network(paths["network"], network)
    save_netlist(paths["netlist"], random_netlist(1, named=True, encoder=True))
    save_lutnetlist(paths["lutnetlist"], from_netlist(random_netlist(2, n_gates=9)))
    save_golden(paths["golden"], golden)
    return paths


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": (1, 2), "arity": 3, "depth": 2, "class_names": ("a", "é", '"')},
        {"input_shape": (5,), "dense": (20, 9), "dense_arity": 6},
    ],
)
def test_network_round_trip(options, tmp_path, random_network):
    network = random_network(2, **options)
    network.info.update({"seed": 3, "accuracy": 0.97, "recipe": {"lr": [1, None]}})
    path = tmp_path / "deep" / "er" / "model.safetensors"
    save_network(path, network)
    again = load_network(path)
    assert again.digest == network.digest
    assert list(again.layers()) == list(network.layers())
    assert list(again.graph.edges(data=True)) == list(network.graph.edges(data=True))
    assert again.class_names == network.class_names
    assert (again.dataset, again.info) == ("random", network.info)
    assert left_in(path.parent) == ["model.safetensors"]


def test_network_keeps_scale_and_offset(tmp_path):
    from gate2hw.ir.layers import GroupSum, Thermometer
    from gate2hw.ir.network import chain

    thermometer = Thermometer((2,), [[1, 5], [2, 7]], 9, scale=[0.5, 1e-9], offset=[-3.0, 0.1])
    network = chain([("a/b", thermometer), ("a", GroupSum((4,), [0, 1, 4], tau=np.float32(2)))])
    save_network(tmp_path / "m", network)
    again = load_network(tmp_path / "m")
    assert again.thermometer == thermometer
    assert again.group_sum.tau == 2.0


@pytest.mark.parametrize("seed", range(4))
def test_netlist_round_trip(seed, tmp_path, random_netlist):
    net = random_netlist(seed, named=seed % 2 == 0, encoder=seed > 1, n_classes=3 * (seed % 2))
    save_netlist(tmp_path / "n.npz", net)
    assert load_netlist(tmp_path / "n.npz") == net


def test_golden_round_trip(tmp_path, golden):
    save_golden(tmp_path / "g.npz", golden)
    again = load_golden(tmp_path / "g.npz")
    for name in ("x", "y", "scores", "classes"):
        assert (getattr(again, name) == getattr(golden, name)).all()
        assert getattr(again, name).dtype == getattr(golden, name).dtype
    assert (again.digest, again.class_names, again.info) == ("abc", ("n", "y"), {"n": 1})
    assert again.accuracy == 0.5


def test_accuracy_without_labels_is_none(golden):
    none = Golden(golden.x, np.full(3, -1), golden.scores, golden.classes, "d")
    assert none.accuracy is None


def test_file_kind(files):
    assert {kind: file_kind(path) for kind, path in files.items()} == {k: k for k in KINDS}


SAVE = """
import sys
sys.path.insert(0, "tests")
from conftest import make_network
from gate2hw.ir.store import save_netlist, save_network
from gate2hw.ir.unroll import unroll
network = make_network(3)
save_network(sys.argv[1] + "m", network)
save_netlist(sys.argv[1] + "n", unroll(network))
"""


def test_same_content_gives_the_same_bytes(tmp_path):
    root = Path(__file__).parents[2]
    for run in "ab":
        env = {**os.environ, "PYTHONHASHSEED": str(ord(run))}
        command = [sys.executable, "-c", SAVE, str(tmp_path / run)]
        subprocess.run(command, check=True, cwd=root, env=env, timeout=60)
    for kind in "mn":
        assert len({(tmp_path / (run + kind)).read_bytes() for run in "ab"}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files(kind, files):
    path = files[kind]
    whole = path.read_bytes()
    LOAD[kind](path)
    for size in range(0, len(whole), 10):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFileError, match=kind):
            LOAD[kind](path)
        with pytest.raises(ModelFileError):
            file_kind(path)


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_give_the_same_content_or_an_error(kind, files):
    path = files[kind]
    whole = path.read_bytes()
    before = LOAD[kind](path)
    refused = 0
    for at in range(0, len(whole), 19):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        try:
            after = LOAD[kind](path)
        except ModelFileError:
            refused += 1
            continue
        if kind == "network":
            assert after.digest == before.digest
        elif kind == "golden":
            assert (after.scores == before.scores).all()
        else:
            assert after.content_digest() == before.content_digest()
    assert refused > 20


def rewrite_npz(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, change in changes.items():
        arrays[name] = change(arrays[name]) if name in arrays else change(None)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    os.replace(f"{path}.npz", path)


def flip(array):
    changed = np.array(array)
    changed.flat[0] ^= changed.dtype.type(1)
    return changed


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("netlist", "tt"),
        ("netlist", "outputs"),
        ("netlist", "bias"),
        ("netlist", "weight"),
        ("lutnetlist", "init"),
        ("golden", "x"),
        ("golden", "scores"),
        ("golden", "predicted"),
        ("golden", "y"),
    ],
)
def test_changed_content_does_not_match_its_digest(kind, column, files):
    rewrite_npz(files[kind])
    LOAD[kind](files[kind])
    rewrite_npz(files[kind], **{column: flip})
    with pytest.raises(ModelFileError, match="does not have the digest that it carries"):
        LOAD[kind](files[kind])


def metadata_of(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + size])["__metadata__"]


def test_a_changed_network_does_not_match_its_digest(files):
    path = files["network"]
    tensors, metadata = load_file(path), metadata_of(path)
    save_file(tensors, path, metadata)
    load_network(path)
    tables = next(name for name in tensors if name.endswith("/tables"))
    tensors[tables] = tensors[tables] ^ np.uint64(1)
    save_file(tensors, path, metadata)
    with pytest.raises(ModelFileError, match="does not have the digest that it carries"):
        load_network(path)


def change_content(key, value):
    def change(content, tensors):
        if value is None:
            del content[key]
        else:
            content[key] = value

    return change


def change_layer(number, **values):
    return lambda content, tensors: content["layers"][number].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_content("layers", None), "damaged"),
        (change_content("layers", [3]), "damaged"),
        (change_content("layers", []), "tensors of unknown layers"),
        (change_content("class_names", ["a"]), "1 class names for 2 classes"),
        (change_content("class_names", 5), "damaged"),
        (change_content("edges", [["conv1", "thermometer"]]), "edges"),
        (change_content("digest", None), "damaged"),
        (change_layer(0, op="Fourier"), "unknown layer type 'Fourier'"),
        (change_layer(0, max_value="x"), "layer Thermometer: wrong fields"),
        (change_layer(1, stride=[0, 1]), "layer 'conv1': field and stride"),
        (change_layer(1, stride=[1]), r"layer 'conv1': .*\(rows, columns\) each"),
        (change_layer(1, arity=0), "layer 'conv1': tables have 0 inputs"),
        (change_layer(1, surprise=1), "layer LogicConv: wrong fields"),
        (change_layer(1, name="conv9"), "damaged|unknown layers|wrong fields"),
        (lambda content, tensors: tensors.pop("conv1/tables.0"), "conv1|LogicConv"),
        (lambda content, tensors: tensors.update({"x/y": np.zeros(2)}), r"unknown layers.*'x'"),
        (
            lambda content, tensors: tensors.update({"conv1/leaves": np.full((2, 4, 3), np.nan)}),
            "cannot hold",
        ),
    ],
)
def test_damaged_descriptions(change, message, files):
    path = files["network"]
    tensors = load_file(path)
    content = json.loads(metadata_of(path)["gate2hw"])
    change(content, tensors)
    save_file(tensors, path, {"gate2hw": json.dumps(content)})
    with pytest.raises(ModelFileError, match=message) as caught:
        load_network(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"gate2hw": "{"}, {"gate2hw": "[]"}])
def test_foreign_safetensors(metadata, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros((3, 3), np.float32)}, path, metadata)
    for load in (load_network, file_kind):
        with pytest.raises(ModelFileError, match=r"not a gate2hw model|not a readable"):
            load(path)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    import pickle

    monkeypatch.chdir(tmp_path)
    Path("raw").write_bytes(pickle.dumps(Bomb()))
    np.savez("object.npz", format=np.array(Bomb(), object), tt=np.array([Bomb()], object))
    np.savez("hidden.npz", format=np.array(store.NETLIST_FORMAT), tt=np.array([Bomb()], object))
    np.save("array.npy", np.zeros(3))
    with zipfile.ZipFile("zip", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    before = left_in(tmp_path)
    for name in before:
        for load in (*LOAD.values(), file_kind):
            if load is file_kind and name == "hidden.npz":
                continue
            with pytest.raises(ModelFileError, match=name):
                load(name)
    assert left_in(tmp_path) == before


def test_foreign_npz(files, tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for load in (load_netlist, load_golden, load_lutnetlist, file_kind):
        with pytest.raises(ModelFileError, match=r"other\.npz"):
            load(tmp_path / "other.npz")
    for kind in KINDS:
        for load in (LOAD[k] for k in KINDS if k != kind):
            with pytest.raises(ModelFileError, match=kind):
                load(files[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_missing_files_and_folders(kind, tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ModelFileError, match="no such"):
            LOAD[kind](path)
    with pytest.raises(ModelFileError, match="no such"):
        file_kind(tmp_path / "none")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("netlist", {"tt": lambda a: a[:-1]}),
        ("netlist", {"tt": lambda a: a.astype(np.int64) + 256}),
        ("netlist", {"tt": lambda a: a.reshape(-1, 1)}),
        ("netlist", {"in0": lambda a: a + 0.5}),
        ("netlist", {"in0": lambda a: a.astype(str)}),
        ("netlist", {"in0": lambda a: None}),
        ("netlist", {"level_ptr": lambda a: a[::-1]}),
        ("netlist", {"n_inputs": lambda a: np.array(2**40)}),
        ("netlist", {"n_inputs": lambda a: np.array(np.inf)}),
        ("netlist", {"n_inputs": lambda a: np.array([1, 2])}),
        ("netlist", {"shape": lambda a: None}),
        ("netlist", {"texts": lambda a: np.array("{")}),
        ("netlist", {"texts": lambda a: np.array("{}")}),
        ("netlist", {"texts": lambda a: np.array("[]")}),
        ("netlist", {"group_ptr": lambda a: a[:0]}),
        ("lutnetlist", {"fanin": lambda a: a[:, 0]}),
        ("lutnetlist", {"stage": lambda a: a + np.int32(2**20)}),
        ("lutnetlist", {"init": lambda a: a.astype(np.float64) - 1}),
        ("golden", {"y": lambda a: a[:-1]}),
        ("golden", {"scores": lambda a: a[:, 0]}),
        ("golden", {"x": lambda a: np.array(3)}),
        ("golden", {"texts": lambda a: None}),
        ("golden", {"texts": lambda a: np.array('{"digest": 1, "classes": 3, "info": {}}')}),
    ],
)
def test_damaged_columns(kind, changes, files):
    rewrite_npz(files[kind], **changes)
    with pytest.raises(ModelFileError, match=kind):
        LOAD[kind](files[kind])


def test_load_arrays_of_another_format(tmp_path):
    save_arrays(tmp_path / "a", {"format": np.array("mine"), "x": np.arange(3)})
    assert load_arrays(tmp_path / "a", "thing", "mine")["x"].tolist() == [0, 1, 2]
    with pytest.raises(ModelFileError, match=r"not a thing file.*'mine', expected 'yours'"):
        load_arrays(tmp_path / "a", "thing", "yours")
    with pytest.raises(ValueError, match="Object arrays"):
        save_arrays(tmp_path / "b", {"x": np.array([None])})
    assert left_in(tmp_path) == ["a"]
