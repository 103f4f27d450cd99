"""Adult, MONK and Breast Cancer: cells become the features that the descriptions list."""

import hashlib
import lzma
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.table import feature_names
from gate2hw.nn.data import load_dataset
from gate2hw.nn.datasets.files import Md5
from gate2hw.nn.datasets.uci import (
    ADULT,
    BREAST_CANCER,
    MONKS,
    load_adult,
    load_breast_cancer,
    load_monk,
)
from gate2hw.nn.recipe import DataSpec

_POOR = "39, State-gov, 77516, HS-grad, 9, Divorced, Sales, Wife, White, {}, 0, 0, 40, Cuba, <=50K"
_RICH = "52, ?, 209642, Masters, 14, Widowed, ?, Husband, Black, Male, 7688, 0, 45, ?, >50K"


def _put(folder: Path, published, name: str, text: str, patch, suffix: str = "") -> Path:
    data = text.encode()
    patch.setitem(published.files, name, Md5(hashlib.md5(data).hexdigest()))
    path = folder / f"{name}{suffix}"
    path.write_bytes(lzma.compress(data) if suffix == ".xz" else data)
    return path


@pytest.fixture
def adult(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty rows of training, four of test, in the two forms that UCI's files have."""
    folder = tmp_path / "uci"
    folder.mkdir()
    rows = [_POOR.format("Female"), _POOR.format("Male"), _RICH, _RICH.replace("52", "17")] * 5
    _put(folder, ADULT, "adult.data", "\n".join(rows) + "\n\n", monkeypatch, ".xz")
    test = "|1x3 Cross validator\n" + "".join(f"{row}.\n" for row in rows[:4]) + "\n"
    _put(folder, ADULT, "adult.test", test, monkeypatch)
    return tmp_path


def test_adult_is_read_by_its_columns(adult: Path) -> None:
    raw = load_adult([adult])
    assert (raw.x.shape, raw.class_names) == ((20, 13), ("<=50K", ">50K"))
    assert raw.y_test is not None
    assert raw.y_test.tolist() == [0, 0, 1, 1]
    names = [column.name for column in raw.columns]
    assert "fnlwgt" not in names
    rich = dict(zip(names, raw.x[2], strict=True))
    assert (rich["age"], rich["capital-gain"], rich["workclass"]) == (52, 7688, -1)
    assert raw.columns[names.index("education")].categories[int(rich["education"])] == "Masters"
    assert sum(column.n_features for column in raw.columns) == 99 + 5


def test_adult_with_cuts_is_all_bits(adult: Path) -> None:
    data = load_dataset(DataSpec(source="adult", cuts=4), folders=[adult])
    assert data.max_value == 1
    assert data.scale is None
    names = feature_names(data.columns)
    assert data.input_shape == (len(names),)
    on = {name for name, bit in zip(names, data.x_test[2], strict=True) if bit}
    assert {"age>17", "age>39", "education=Masters", "capital-gain>0", "sex=Male"} <= on
    assert not any(name.startswith(("workclass=", "native-country=")) for name in on)
    mixed = load_dataset(DataSpec(source="adult"), folders=[adult])
    assert mixed.max_value == 65535
    assert mixed.x_test[2, 0] == 52


def test_monk_is_one_hot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f" {i % 2} {1 + i % 3} 1 2 3 {1 + i % 4} 2 data_{i}" for i in range(12)]
    text = "\n".join(rows) + "\n\n"
    _put(tmp_path, MONKS[2], "monks-2.train", text, monkeypatch)
    _put(tmp_path, MONKS[2], "monks-2.test", text, monkeypatch)
    data = load_dataset(DataSpec(source="monk-2"), folders=[tmp_path])
    assert (data.input_shape, data.max_value) == ((17,), 1)
    assert data.y_test.tolist() == [0, 1] * 6
    on = np.flatnonzero(data.x_test[5]).tolist()
    named = " ".join(feature_names(data.columns)[i] for i in on)
    assert named == "a1=3 a2=1 a3=2 a4=3 a5=2 a6=2"
    with pytest.raises(InputError, match=r"MONK-1's files \(monks-1\.train.*monks-problems"):
        load_monk(1, [tmp_path])
    (tmp_path / "monks-2.test").write_text(text.replace("data_3", "data_4"))
    with pytest.raises(InputError, match=r"monks-2\.test: is not the published file"):
        load_monk(2, [tmp_path])


def test_breast_cancer_has_51_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = "recurrence-events,40-49,premeno,20-24,0-2,?,2,right,right_up,no"
    text = f"{row}\nno-{row}\n"
    path = _put(tmp_path, BREAST_CANCER, "breast-cancer.data", text, monkeypatch)
    raw = load_breast_cancer([tmp_path])
    assert raw.y.tolist() == [1, 0]
    assert sum(column.n_features for column in raw.columns) == 51
    assert (raw.x[0] == raw.x[1]).all()
    assert raw.x[0].tolist() == [3, 2, 4, 0, -1, 1, 1, 2, 1]
    path.write_text(text.replace("premeno", "premen"))
    with pytest.raises(InputError, match=r"row 1, column 'menopause'.*did you mean 'premeno'"):
        load_breast_cancer([tmp_path], check=False)
    path.write_text(f"\n|note\n{text}".replace("no-rec", "\nno-rec").replace("right,", "up,"))
    with pytest.raises(InputError, match="row 3, column 'breast'"):
        load_breast_cancer([tmp_path], check=False)
    path.write_text(f"|note\n\n{text}\n{row},no\n")
    with pytest.raises(InputError, match="row 6: 11 cells, expected 10"):
        load_breast_cancer([tmp_path], check=False)
    path.write_text(text.replace(",?", ""))
    with pytest.raises(InputError, match="row 1: 9 cells, expected 10"):
        load_breast_cancer([tmp_path], check=False)
    path.write_text(text.replace("no-rec", "rec").replace("recurrence-events", "relapse"))
    with pytest.raises(InputError, match="label 'relapse' is no class"):
        load_breast_cancer([tmp_path], check=False)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="is no text"):
        load_breast_cancer([tmp_path], check=False)


@pytest.mark.parametrize(
    ("source", "n_features", "train", "test"),
    [
        ("adult", 104, [24720, 7841], [12435, 3846]),
        ("monk-1", 17, [62, 62], [216, 216]),
        ("monk-2", 17, [105, 64], [290, 142]),
        ("monk-3", 17, [62, 60], [204, 228]),
        ("breast-cancer", 51, [161, 68], [40, 17]),
    ],
)
def test_the_published_files(data_dir: Path, source, n_features, train, test) -> None:
    data = load_dataset(DataSpec(source=source), folders=[data_dir])
    assert data.input_shape == (n_features,)
    y = np.concatenate([data.y_train, data.y_validation])
    assert np.bincount(y).tolist() == train
    assert np.bincount(data.y_test).tolist() == test
