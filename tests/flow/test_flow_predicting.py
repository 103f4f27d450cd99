"""predict: every form of data gives the classes of the reference, and bad data one sentence."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gate2hw
from gate2hw.cli import main
from gate2hw.errors import InputError
from gate2hw.flow import samples
from gate2hw.flow.predicting import label_numbers, predict
from gate2hw.ir.layers import GroupSum, LogicDense, Thermometer
from gate2hw.ir.netlist import Head
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import save_netlist, save_network
from gate2hw.ir.table import Column, columns_to_json
from gate2hw.ir.unroll import unroll

NAMES = ("ant", "bee", "cat")
N = 150


@pytest.fixture
def images(random_network: Callable[..., LogicNetwork], tmp_path: Path) -> Path:
    """A folder with a model of (1, 6, 6) images and three classes."""
    network = random_network(234, class_names=NAMES)
    save_network(tmp_path / "model.safetensors", network)
    return tmp_path


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (N, 1, 6, 6)).astype(np.uint8)


@pytest.fixture
def expected(random_network: Callable[..., LogicNetwork], x: np.ndarray) -> np.ndarray:
    return scores(unroll(random_network(234)), x)


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(np.uint8).tobytes()


def csv_text(x: np.ndarray, header: str = "") -> bytes:
    rows = [",".join(map(str, row)) for row in x.reshape(len(x), -1).tolist()]
    return "\n".join([header, *rows] if header else rows).encode()


def npy(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


FORMS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "npy": ("x.npy", npy),
    "flat": ("x.npy", lambda x: npy(x.reshape(N, 36))),
    "no channel": ("x.npy", lambda x: npy(x[:, 0])),
    "Fortran": ("x.npy", lambda x: npy(np.asfortranarray(x))),
    "int64": ("x.npy", lambda x: npy(x.astype(np.int64))),
    "whole floats": ("x.npy", lambda x: npy(x.astype(np.float32))),
    "npz x": ("x.npz", lambda x: npz(x=x, other=np.zeros(3))),
    "npz one": ("x.npz", lambda x: npz(pictures=x, y=np.zeros(N, int))),
    "idx": ("t10k-images-idx3-ubyte", lambda x: idx(x[:, 0])),
    "idx.gz": ("t10k-images-idx3-ubyte.gz", lambda x: gzip.compress(idx(x[:, 0]))),
    "csv": ("x.csv", csv_text),
    "csv, header": ("x.csv.xz", lambda x: lzma.compress(csv_text(x, ",".join("abcdef" * 6)))),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_scores_of_the_reference(
    form: str, images: Path, x: np.ndarray, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MAX_ROWS", 64)
    monkeypatch.setattr(samples, "_TABLE_ROWS", 64)
    name, write = FORMS[form]
    (images / name).write_bytes(write(x))
    found = predict(images, images / name, scores=True)
    assert (found["scores"] == expected).all()
    assert (found["classes"] == classes(expected)).all()
    assert (found["images"], found["accuracy"] is None) == (N, form != "npz one")


def test_arrays_and_lone_netlists(
    images: Path,
    x: np.ndarray,
    expected: np.ndarray,
    random_network: Callable[..., LogicNetwork],
) -> None:
    save_netlist(images / "some.npz", unroll(random_network(234, class_names=NAMES)))
    for model in (images, images / "model.safetensors", images / "some.npz"):
        found = gate2hw.predict(model, x, kernel="numpy", threads=1)
        assert (found["classes"] == classes(expected)).all()
        assert (found["kernel"], found["threads"]) == ("numpy", 1)
        assert found["class_names"] == list(NAMES)


def test_output_is_whole_or_absent(
    images: Path, x: np.ndarray, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MAX_ROWS", 64)
    out = images / "out.txt"
    np.save(images / "x.npy", x)
    result = predict(images, images / "x.npy", out)
    assert "classes" not in result
    assert out.read_text().split("\n") == [*(NAMES[c] for c in classes(expected)), ""]
    predict(images, images / "x.npy", out, scores=True)
    head, first, *_ = out.read_text().splitlines()
    assert head == "class,ant,bee,cat"
    assert first == ",".join([NAMES[classes(expected)[0]], *map(str, expected[0])])
    bad = x.astype(np.int16)
    bad[130, 0, 0, 5] = 300
    np.save(images / "bad.npy", bad)
    out.unlink()
    with pytest.raises(InputError, match=r"bad\.npy: sample 130, feature 5: value 300 is outside"):
        predict(images, images / "bad.npy", out)
    assert not [path for path in images.iterdir() if "out" in path.name]
    with pytest.raises(InputError, match="is read by this command"):
        predict(images, images / "x.npy", images / "x.npy")
    assert (np.load(images / "x.npy") == x).all()


def test_labels_in_every_form(images: Path, x: np.ndarray, expected: np.ndarray) -> None:
    y = classes(expected)
    y[:15] = (y[:15] + 1) % 3
    names = np.array(NAMES)[y]
    (images / "x.csv").write_bytes(csv_text(x))
    np.savez(images / "xy.npz", x=x, y=y)
    np.save(images / "y.npy", y)
    np.savez(images / "y.npz", y=y, x=x[:3])
    (images / "y-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y)))
    (images / "y.txt").write_text("\n".join(names) + "\n")
    given = [(images / "xy.npz", None), (x, y), (x, names)]
    for data in (x, images / "x.csv"):
        given += [(data, images / f"y{end}") for end in (".npy", ".npz", "-idx1-ubyte.gz", ".txt")]
    for data, labels in given:
        assert predict(images, data, labels=labels)["accuracy"] == 0.9
    cells = [f"{name},{row}" for name, row in zip(names, csv_text(x).decode().split(), strict=True)]
    header = ",".join(["kind", *(f"p{i}" for i in range(36))])
    (images / "t.csv").write_text("\n".join([header, *cells]))
    assert predict(images, images / "t.csv", labels="kind")["accuracy"] == 0.9
    for length in (100, 151):
        with pytest.raises(InputError, match="labels"):
            predict(images, images / "x.csv", labels=np.resize(y, length))
        with pytest.raises(InputError, match=f"150 samples, but {length} labels"):
            predict(images, x, labels=np.resize(y, length))


def test_labels_are_names_before_numbers() -> None:
    def numbers(labels: list[object], names: tuple[str, ...], **more: bool) -> list[int]:
        return label_numbers("y", np.array(labels), names, **more).tolist()

    assert numbers([3, 7, 3], ("3", "7")) == [0, 1, 0]
    assert numbers([1.0, 2.0], ("2", "1")) == [1, 0]
    assert numbers([0, 1, -1], ("3", "7"), are_numbers=True) == [0, 1, -1]
    assert numbers([0, 2], ("a", "b", "c")) == [0, 2]
    assert numbers(["b", "?", "", "1"], ("a", "b")) == [1, -1, -1, 1]
    assert numbers([True, False], ("False", "True")) == [1, 0]
    for labels, names, said in (
        ([3, 1], ("3", "7"), "label '1' of sample 1"),
        (["dog", "cat", "cow"], ("cat", "dog"), "label 'cow' of sample 2"),
        ([0, 5], ("a", "b"), "label '5' of sample 1"),
        ([0.5], ("a", "b"), "label '0.5' of sample 0"),
        ([[1]], ("a", "b"), "not \\(N,\\)"),
    ):
        with pytest.raises(InputError, match=said):
            numbers(labels, names)


COLUMNS = (Column("size"), Column("plan", ("free", "paid")), Column("age", cuts=(30.0, 60.0)))
TABLE = "age,kind,plan,note,size\n31,b,paid,x,1.5\n30, a ,?,y,-2\n99,b,free,,4.25\n"


def table_network(n_features: int, scale: np.ndarray, offset: np.ndarray, **info) -> LogicNetwork:
    rng = np.random.default_rng(0)
    thermometer = Thermometer(
        (n_features,), np.tile([60, 130, 200], (n_features, 1)), 255, scale, offset
    )
    wiring = rng.integers(0, 3 * n_features, (60, 2))
    tables = rng.integers(0, 16, 60).astype(np.uint64)
    return chain(
        [
            ("thermometer", thermometer),
            ("dense", LogicDense((3 * n_features,), wiring, tables)),
            ("sum", GroupSum((60,), np.array([0, 30, 60]), tau=1.0)),
        ],
        class_names=("a", "b"),
        info=info,
    )


def test_a_table_is_read_by_name_and_scored(tmp_path: Path) -> None:
    scale, offset = np.array([40.0, 255, 255, 255, 255]), np.array([-2.0, 0, 0, 0, 0])
    recipe = {"data": {"target": "kind"}}
    network = table_network(5, scale, offset, columns=columns_to_json(COLUMNS), recipe=recipe)
    save_network(tmp_path / "model.safetensors", network)
    (tmp_path / "t.csv").write_text(TABLE)
    features = np.array(
        [[140, 0, 255, 255, 0], [0, 0, 0, 0, 0], [250, 255, 0, 255, 255]]
    )  # size, free, paid, age > 30, age > 60
    expected = scores(unroll(network), features)
    found = predict(tmp_path, tmp_path / "t.csv", scores=True)
    assert (found["scores"] == expected).all()
    right = classes(expected) == [1, 0, 1]
    assert (found["labelled"], found["accuracy"]) == (3, right.mean())
    raw = np.array([[1.5, 0, 1, 1, 0]])
    assert (predict(tmp_path, raw, scores=True)["scores"] == expected[:1]).all()
    # without the model file at hand, only features can be read
    (tmp_path / "alone").mkdir()
    save_netlist(tmp_path / "alone/netlist.npz", unroll(network))
    with pytest.raises(InputError, match="how its columns are read is kept in the model"):
        predict(tmp_path / "alone", tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size", "sizes", "its first line has no column 'size'"),
        ("note", "size", "its first line has two columns 'size'"),
        ("1.5", "", r"t\.csv, row 2, column 'size': '' cannot be read"),
        ("1.5", "inf", r"row 2, column 'size': 'inf' cannot be read"),
        ("paid", "pay", r"row 2, column 'plan': 'pay' cannot be read; did you mean 'paid'"),
        ("4.25", "4.25,1", r"row 4: 6 cells, expected 5"),
        ("99,b", "99,c", "label 'c' of sample 2 is no class"),
    ],
)
def test_bad_tables_name_row_and_column(tmp_path: Path, old: str, new: str, said: str) -> None:
    recipe = {"data": {"target": "kind"}}
    ones = np.ones(5)
    network = table_network(5, ones, ones, columns=columns_to_json(COLUMNS), recipe=recipe)
    save_network(tmp_path / "model.safetensors", network)
    (tmp_path / "t.csv").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        predict(tmp_path, tmp_path / "t.csv")


def test_rows_are_quantised_as_in_training(tmp_path: Path) -> None:
    """Against the loader that training uses: every row, as a set (it shuffles them)."""
    from gate2hw.nn.data import load_dataset
    from gate2hw.nn.recipe import DataSpec

    rng = np.random.default_rng(1)
    rows = ["u,v,w,c"]
    for i in range(200):
        u, v = rng.normal(3, 50), rng.uniform(-1, 1)
        rows.append(f"{u:.3f},{v:.5f},{'xyz'[i % 3]},{i % 2}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    data = load_dataset(DataSpec(source="t.csv", target="c"), folders=[tmp_path])
    thermometer = Thermometer(
        data.input_shape, np.tile([60], (5, 1)), data.max_value, data.scale, data.offset
    )
    sums = ("sum", GroupSum((5,), np.array([0, 2, 5]), tau=1.0))
    network = chain([("thermometer", thermometer), sums], info=data.info())
    opened = samples.open_samples(tmp_path / "t.csv", 5, network=network)
    found = np.concatenate([samples.quantise(block.x, network) for block in opened.blocks])
    expected = np.concatenate([data.x_train, data.x_validation, data.x_test])
    assert sorted(found.tolist()) == sorted(expected.tolist())
    # rows outside what was seen in training are cut off, as test rows are
    beyond = samples.quantise(np.array([[1e9, -1e9, 0, 0, 1]]), network)
    assert beyond.tolist() == [[255, 0, 0, 0, 1]]


BAD: dict[str, tuple[str, bytes, str]] = {
    "not there": ("gone.npy", b"", "no such file"),
    "empty": ("x.npy", b"", "is empty"),
    "cut short": ("x.npy", npy(np.zeros((9, 36), np.uint8))[:-1], r"not a readable \.npy file"),
    "objects": ("x.npy", b"", ""),
    "no samples": ("x.npy", npy(np.zeros((0, 36), np.uint8)), "holds no samples"),
    "complex": ("x.npy", npy(np.zeros((2, 36), complex)), "complex128"),
    "number": ("x.npy", npy(np.array(3)), r"samples are \(N, \.\.\.\) numbers"),
    "shape": ("x.npy", npy(np.zeros((2, 35), np.uint8)), r"shape \(2, 35\).*\(N, 1, 6, 6\)"),
    "one sample": ("x.npy", npy(np.zeros((6, 6), np.uint8)), r"expects \(N, 1, 6, 6\)"),
    "negative": ("x.npy", npy(np.full((2, 36), -1)), "sample 0, feature 0: value -1 is outside"),
    "broken": ("x.npy", npy(np.full((2, 36), 0.5)), "sample 0, feature 0: 0.5 is not an integer"),
    "nan": ("x.npy", npy(np.full((2, 36), np.nan)), "sample 0, feature 0: nan is not an integer"),
    "npz as npy": ("x.npy", npz(x=np.zeros((2, 36))), "name it .npz"),
    "npy as npz": ("x.npz", npy(np.zeros((2, 36))), "name it .npy"),
    "two arrays": ("x.npz", npz(a=np.zeros((2, 36)), b=np.zeros(2)), "needs an array x"),
    "no archive": ("x.npz", b"PK\x03\x04 no", r"not a readable \.npz file"),
    "idx cut": ("a-idx3-ubyte", idx(np.zeros((9, 6, 6)))[:-37], "head says 9 samples, 7 follow"),
    "idx long": ("a-idx3-ubyte", idx(np.zeros((9, 6, 6))) + b"x", "goes on after the 9 samples"),
    "idx head": ("a-idx3-ubyte", idx(np.zeros((9, 6, 6)))[:9], "cut short in its head"),
    "idx size": ("a-idx3-ubyte", idx(np.zeros((9, 5, 5))), "samples of 5 x 5 values"),
    "gz cut": ("a.gz", gzip.compress(idx(np.zeros((9, 6, 6))))[:-9], "not a readable idx file"),
    "unknown": ("x.png", b"\x89PNG", "is no idx file of unsigned bytes; read are .npy"),
    "csv width": ("x.csv", b"1,2,3\n", "3 columns, the model reads 36"),
    "csv cell": ("x.csv", b"0," * 35 + b"0\n" + b"0," * 35 + b"x\n", "row 2, column '35': 'x'"),
    "csv head": ("x.csv", b"a," * 35 + b"b\n", "no samples below"),
    "csv text": ("x.csv", b"\xff\xfe\n", r"not a readable \.csv file"),
}
BAD["objects"] = (
    "x.npy",
    BAD["cut short"][1].replace(b"'|u1'", b"'|O' "),
    r"not a readable \.npy file",
)


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_sentence(case: str, images: Path) -> None:
    name, content, said = BAD[case]
    if name != "gone.npy":
        (images / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        predict(images, images / name, images / "out.txt")
    assert name in str(caught.value)
    assert not (images / "out.txt").exists()


def test_plain_circuits_are_refused(
    tmp_path: Path, x: np.ndarray, random_network: Callable[..., LogicNetwork]
) -> None:
    net = unroll(random_network(234))
    for name, plain in (
        ("no encoder", net.with_(encoder=None)),
        ("no classes", net.with_(head=Head.none(net.n_outputs))),
    ):
        save_netlist(tmp_path / "plain.npz", plain)
        with pytest.raises(InputError, match=rf"plain circuit \({name}\)"):
            predict(tmp_path / "plain.npz", x)


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    code = main([str(text) for text in argv])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_the_command(
    images: Path, x: np.ndarray, expected: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(images / "xy.npz", x=x, y=classes(expected))
    names = [NAMES[c] for c in classes(expected)]
    code, out, err = run(capsys, "predict", images, images / "xy.npz", "--threads", "1")
    assert (code, out.splitlines()) == (0, names)
    assert err.splitlines()[-1].startswith("150 images, ")
    assert err.splitlines()[-1].endswith("accuracy 100.00%")
    code, out, err = run(capsys, "predict", images, images / "xy.npz", "--quiet")
    assert (code, out.splitlines(), err) == (0, names, "")
    code, out, _ = run(capsys, "predict", images, images / "xy.npz", "--scores", "--json")
    found = json.loads(out)
    assert found["classes"] == names
    assert found["scores"] == expected.tolist()
    code, out, _ = run(capsys, "predict", images, images / "xy.npz", "--json", "-o", images / "o")
    assert "classes" not in json.loads(out)
    assert (images / "o").read_text().splitlines() == names
    for argv, said in (
        ((images / "gone", images / "xy.npz"), "no such model"),
        ((images, images / "gone.npy"), "no such file"),
        ((images, images / "xy.npz", "--kernel", "sse"), "there is no kernel 'sse'"),
        ((images, images / "xy.npz", "--labels", "kind"), "kind: no such file"),
        ((images, images / "xy.npz", "-o", images), "is a folder"),
    ):
        code, out, err = run(capsys, "predict", *argv)
        assert (code, out) == (2, "")
        assert said in err.splitlines()[-1]


@pytest.mark.parametrize("is_compiled", [True, False])
def test_predicting_needs_no_torch(
    is_compiled: bool, images: Path, x: np.ndarray, random_network: Callable[..., LogicNetwork]
) -> None:
    (images / "x.csv").write_bytes(csv_text(x))
    absent = ["torch", "sklearn"]
    if is_compiled:
        save_netlist(images / "netlist.npz", unroll(random_network(234, class_names=NAMES)))
        absent.append("amaranth")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "from gate2hw.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, "predict", images, images / "x.csv", "--quiet"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == N
