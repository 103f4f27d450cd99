"""A user's own table: which columns are numbers, which categories, and what is refused."""

import gzip
import lzma
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.table import feature_names
from gate2hw.nn.data import load_dataset, make_thermometer
from gate2hw.nn.datasets import tables
from gate2hw.nn.datasets.tables import JET_FEATURES, load_table
from gate2hw.nn.recipe import DataSpec, ThermometerSpec

TEXT = """\
size, plan ,zip,who,kind
1.5,free,10,ann,b
2,"paid, much",9,bob,a
-3,?,9,eve,b
"""


def _write(folder: Path, text: str, name: str = "own.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_columns_of_numbers_and_of_texts(tmp_path: Path) -> None:
    raw = load_table(_write(tmp_path, TEXT), "kind", categorical=["zip"], leave_out=["who"])
    assert [column.name for column in raw.columns] == ["size", "plan", "zip"]
    assert raw.columns[1].categories == ("free", "paid, much")
    assert raw.columns[2].categories == ("9", "10")
    assert raw.x.tolist() == [[1.5, 0, 1], [2, 1, 0], [-3, -1, 0]]
    assert raw.class_names == ("a", "b")
    assert raw.y.tolist() == [1, 0, 1]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_tables(tmp_path: Path, pack) -> None:
    path = tmp_path / ("own.csv.gz" if pack is gzip.compress else "own.csv.xz")
    path.write_bytes(pack(TEXT.encode("utf-8-sig")))
    raw = load_table(path, "kind")
    assert (raw.name, raw.x.shape) == ("own", (3, 4))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"not a readable \.csv"):
        load_table(path, "kind")


def test_blocks_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_BLOCK_ROWS", 2)
    lines = [f"{i},{'uvw'[i % 3]},{i % 2}" for i in range(9)]
    raw = load_table(_write(tmp_path, "\n".join(["n,t,c", *lines])), "c")
    assert raw.x.tolist() == [[i, i % 3] for i in range(9)]
    lines[6] = "six,u,0"
    with pytest.raises(InputError, match="row 8, column 'n': 'six' is no number; mend it, or"):
        load_table(_write(tmp_path, "\n".join(["n,t,c", *lines])), "c")
    lines[6] = ",u,0"
    with pytest.raises(InputError, match="row 8, column 'n': '' is no number; fill it in"):
        load_table(_write(tmp_path, "\n".join(["n,t,c", *lines])), "c")


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, TEXT)
    with pytest.raises(InputError, match="no column 'zp'; did you mean 'zip'"):
        load_table(path, "kind", categorical=["zp"])
    with pytest.raises(InputError, match="no column 'whom'; did you mean 'who'"):
        load_table(path, "kind", leave_out=["whom"])
    with pytest.raises(InputError, match="two columns are named 'a'"):
        load_table(_write(tmp_path, "a,a,k\n1,2,3"), "k")
    with pytest.raises(InputError, match="no column besides 'k'"):
        load_table(_write(tmp_path, "a,k\n1,3"), "k", leave_out=["a"])
    names = "\n".join(f"name{i},0" for i in range(300))
    with pytest.raises(InputError, match=r"300 different texts.*data\.leave_out"):
        load_table(_write(tmp_path, f"id,k\n{names}"), "k")
    with pytest.raises(InputError, match=r"own\.csv, row 3: 3 cells, expected 2"):
        load_table(_write(tmp_path, "a,k\n1,2\n1,2,3"), "k")
    (tmp_path / "own.csv").write_bytes(b"a,k\n\xff,1")
    with pytest.raises(InputError, match=r"not a readable \.csv"):
        load_table(path, "k")


def test_a_mixed_table_through_the_data_set(tmp_path: Path) -> None:
    lines = ["n,t,u,c"]
    lines += [f"{i / 7},{'xy'[i % 5 != 0]},{'pq'[i % 5 == 0]},{i % 2}" for i in range(60)]
    path = _write(tmp_path, "\n".join(lines))
    data = load_dataset(DataSpec(source=path.name, target="c"), folders=[tmp_path])
    assert feature_names(data.columns) == ("n", "t=x", "t=y", "u=p", "u=q")
    assert data.scale is not None
    assert data.scale[1:].tolist() == [1, 1, 1, 1]
    assert data.info()["columns"][1] == {"name": "t", "categories": ["x", "y"]}
    for kind in ("uniform", "quantile"):
        layer = make_thermometer(data, ThermometerSpec(n_thresholds=3, kind=kind))
        assert layer.thresholds[1:].tolist() == [[0, 1, 2]] * 4
        assert layer.thresholds[0, 0] > 0
    fine = load_dataset(DataSpec(source=path.name, target="c", bits=12), folders=[tmp_path])
    assert (fine.max_value, fine.x_train[:, 0].max()) == (4095, 4095)
    spec = DataSpec(source=path.name, target="c", cuts=3)
    bits = load_dataset(spec, folders=[tmp_path])
    assert (bits.max_value, bits.input_shape) == (1, (7,))
    layer = make_thermometer(bits, ThermometerSpec(n_thresholds=1, kind="quantile"))
    assert layer.thresholds.max() == 0


def _jets(rows: int = 50, prefix: str = "") -> tuple[list[str], list[list[str]]]:
    rng = np.random.default_rng(1)
    names = [prefix + name for name in JET_FEATURES[::-1]]
    table = [[f"{v:.5f}" for v in rng.normal(3, 1, 16)] + ["gqtwz"[i % 5]] for i in range(rows)]
    return [*names, "class"], table


@pytest.mark.parametrize("prefix", ["", "j_"])
def test_jets(tmp_path: Path, prefix: str) -> None:
    names, rows = _jets(prefix=prefix)
    text = "\n".join(",".join(row) for row in [names, *rows])
    _write(tmp_path, text, "hls4ml_lhc_jets_hlf.csv")
    data = load_dataset(DataSpec(source="jets", bits=10), folders=[tmp_path])
    assert data.class_names == ("g", "q", "t", "w", "z")
    assert (data.input_shape, data.max_value) == ((16,), 1023)
    assert feature_names(data.columns) == JET_FEATURES
    layer = make_thermometer(data, ThermometerSpec())
    values = np.array([[float(cell) for cell in row[15::-1]] for row in rows])
    known = {tuple(row) for row in layer.quantise(values).tolist()}
    assert {tuple(row) for row in data.x_train.tolist()} <= known
    _write(tmp_path, text.replace("zlogz", "zlog"), "hls4ml_lhc_jets_hlf.csv")
    with pytest.raises(InputError, match=r"is not the table of LHC jets.*zlog, zlogz; get OpenML"):
        load_dataset(DataSpec(source="jets"), folders=[tmp_path])
    with pytest.raises(InputError, match=r"no file of LHC jets.*get OpenML's data set 42468"):
        load_dataset(DataSpec(source="jets"), folders=[tmp_path / "none"])


class _Table:
    """What pyarrow's table offers of what is used."""

    def __init__(self, columns: dict[str, list[object]]) -> None:
        self.columns = columns
        self.column_names = list(columns)

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(to_pylist=lambda: self.columns[name])


def test_parquet_through_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.parquet"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match="needs pyarrow, which is not installed; pip install"):
        load_table(path, "kind")
    columns = {"n": [1, 2.5], "t": ["u", None], "b": [b"p", b"q"], "kind": ["x", "y"]}
    fake = types.ModuleType("pyarrow.parquet")
    fake.read_table = lambda path: _Table(columns)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow", types.ModuleType("pyarrow"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", fake)
    raw = load_table(path, "kind")
    assert raw.x.tolist() == [[1, 0, 0], [2.5, -1, 1]]
    assert raw.columns[2].categories == ("p", "q")
    with pytest.raises(InputError, match="no column 'kin'"):
        load_table(path, "kin")
    columns["n"] = [1, None]
    with pytest.raises(InputError, match="row 2, column 'n': '' is no number"):
        load_table(path, "kind")


def test_a_real_parquet_file(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    names, rows = _jets()
    cells = [list(column) for column in zip(*rows, strict=True)]
    columns = {
        name: column if name == "class" else [float(cell) for cell in column]
        for name, column in zip(names, cells, strict=True)
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "jets.parquet")
    data = load_dataset(DataSpec(source="jets"), folders=[tmp_path])
    assert data.input_shape == (16,)
    (tmp_path / "jets.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match=r"not a readable \.parquet"):
        load_dataset(DataSpec(source="jets"), folders=[tmp_path])


@pytest.mark.parametrize("cell", ["", "?", " "])
def test_a_missing_class_is_no_class(tmp_path: Path, cell: str) -> None:
    path = _write(tmp_path, f"a,k\n1,x\n\n2,{cell}\n")
    with pytest.raises(InputError, match="row 4, column 'k': the class is missing"):
        load_table(path, "k")


def test_rows_are_called_by_their_line(tmp_path: Path) -> None:
    path = _write(tmp_path, 'a,t,k\n1,"two\nlines",x\n\n\nz,u,y\n')
    with pytest.raises(InputError, match="row 6, column 'a': 'z' is no number"):
        load_table(path, "k")


def test_a_corrupt_gz_is_one_sentence(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT.encode() * 50))
    packed[12:40] = b"\xff" * 28
    path = tmp_path / "own.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(InputError, match=r"not a readable \.csv"):
        load_table(path, "kind")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["2", "10", "-1"], ("-1", "2", "10")),
        (["1", "01"], ("01", "1")),
        (["10", "1_0"], ("10", "1_0")),
        (["1", str(2**63)], ("1", str(2**63))),
    ],
)
def test_different_texts_are_different_classes(tmp_path: Path, labels, names) -> None:
    path = _write(tmp_path, "\n".join(["a,k", *(f"1,{label}" for label in labels)]))
    raw = load_table(path, "k")
    assert raw.class_names == names
    assert [raw.class_names[i] for i in raw.y] == labels


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"n": [1, 2], "k": ["x", None]}, "row 2, column 'k': the class is missing"),
        ({"n": [1, 2], "k": [1.0, float("nan")]}, "row 2, column 'k': the class is missing"),
        ({"n": [b"\xff", b"a"], "k": ["x", "y"]}, "column 'n' holds bytes that are no UTF-8"),
    ],
)
def test_bad_cells_of_parquet(tmp_path: Path, monkeypatch, columns, message: str) -> None:
    fake = types.ModuleType("pyarrow.parquet")
    fake.read_table = lambda path: _Table(columns)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow", types.ModuleType("pyarrow"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", fake)
    with pytest.raises(InputError, match=message):
        load_table(tmp_path / "own.parquet", "k")
