"""Sources, splits, quantisation and the refusals that name the place."""

from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.nn.data import load_dataset, make_thermometer, stratified_split
from gate2hw.nn.recipe import DataSpec, ThermometerSpec


def _load(folder: Path, source: str, **options):
    return load_dataset(DataSpec(source=source, **options), folders=[folder])


def _save(folder: Path, **arrays) -> None:
    np.savez(folder / "own.npz", **arrays)


def _toy(n: int = 60, n_classes: int = 3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 4)), np.arange(n) % n_classes


def test_digits_splits_are_fixed_disjoint_and_stratified() -> None:
    first, second = (load_dataset(DataSpec(split=split)) for split in (0, 1))
    again = load_dataset(DataSpec(split=0, validation_fraction=0.3))
    assert first.input_shape == (1, 8, 8)
    assert first.max_value == first.x_train.max() == 16
    assert first.class_names == tuple("0123456789")
    assert np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.y_test[:50], second.y_test[:50])
    parts = (first.x_train, first.x_validation, first.x_test)
    assert sum(map(len, parts)) == 1797
    assert abs(len(first.x_test) - 0.2 * 1797) < 5
    rows = np.concatenate(parts).reshape(1797, -1)
    assert len(np.unique(rows, axis=0)) == 1797
    share = np.bincount(first.y_test) / np.bincount(np.concatenate([first.y_train, first.y_test]))
    assert np.ptp(share) < 0.02


def test_stratified_split_keeps_a_sample_of_each_class() -> None:
    y = np.array([0] * 10 + [1])
    rest, part = stratified_split(y, 0.5, np.random.default_rng(0))
    assert sorted([*rest, *part]) == list(range(11))
    assert len(part) == 5
    assert 10 in rest


def test_npz_of_integers_is_kept_as_it_is(tmp_path: Path) -> None:
    x, y = _toy()
    _save(tmp_path, X=x.astype(np.uint8), y=y, class_names=np.array(["p", "q", "r"]))
    data = _load(tmp_path, "own.npz")
    assert data.max_value == 255
    assert data.scale is None
    assert data.class_names == ("p", "q", "r")
    assert set(map(tuple, data.x_test)) <= set(map(tuple, x))
    _save(tmp_path, x=x * 100, y=y)
    assert _load(tmp_path, "own.npz").max_value == 65535


def test_npz_with_its_own_test_split(tmp_path: Path) -> None:
    x, y = _toy()
    labels = np.array(["cat", "ant", "bee"])[y]
    _save(tmp_path, x=x, y=labels, x_test=x[:7], y_test=labels[:7])
    data = _load(tmp_path, "own.npz", split=3)
    assert data.class_names == ("ant", "bee", "cat")
    assert np.array_equal(data.x_test, x[:7])
    assert [data.class_names[c] for c in data.y_test] == labels[:7].tolist()
    assert len(data.x_train) + len(data.x_validation) == 60


def test_images_get_a_channel(tmp_path: Path) -> None:
    x, y = _toy()
    _save(tmp_path, x=x.reshape(60, 2, 2), y=y)
    assert _load(tmp_path, "own.npz").input_shape == (1, 2, 2)


def test_float_features_are_quantised_by_training_samples_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, y = _toy()
    floats = np.column_stack([rng.normal(3, 10, 60), x[:, 0], np.full(60, 2.5)])
    test = np.array([[1e6, 5, 2.5], [-1e6, 255, 2.5]])
    _save(tmp_path, x=floats, y=y, x_test=test, y_test=np.array([0, 1]))
    data = _load(tmp_path, "own.npz")
    assert data.max_value == 255
    assert data.scale[1:].tolist() == [1.0, 255.0]
    assert data.offset[1] == 0
    assert data.x_train[:, 0].min() == 0
    assert data.x_train[:, 0].max() == 255
    assert data.x_test.tolist() == [[255, 5, 0], [0, 255, 0]]
    layer = make_thermometer(data, ThermometerSpec(n_thresholds=4))
    assert np.array_equal(layer.quantise(test), data.x_test)
    values = np.sort(layer.quantise(floats)[:, 0])
    assert {0, 255} <= set(values.tolist())


def test_csv_with_a_target_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    lines = ["length,kind,width"]
    lines += [f"{rng.normal():.3f},{('b', 'a')[i % 2]},{i}" for i in range(40)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n\n")
    data = _load(tmp_path, "own.csv", target="kind")
    assert data.class_names == ("a", "b")
    assert data.input_shape == (2,)
    assert data.scale[1] == 1.0
    # width i is even for 'b': both columns kept their row
    assert ((data.x_train[:, 1] % 2 == 0) == (data.y_train == 1)).all()


def test_integer_classes_of_a_csv_sort_as_numbers(tmp_path: Path) -> None:
    lines = ["v,c"] + [f"{i},{i % 11}" for i in range(110)]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    names = _load(tmp_path, "own.csv", target="c").class_names
    assert names == tuple(str(c) for c in range(11))


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("a,b\n1,x\n", "", "data.target must name the column"),
        ("a,kind\n1,x\n", "kin", "no column 'kin'; did you mean 'kind'"),
        ("a,kind\n1,x\nwide,x\n", "kind", "row 3, column 'a': 'wide' is no number"),
        ("a,kind\n1,x\n1,2,3\n", "kind", "row 3: 3 cells, expected 2"),
        ("a,kind\n", "kind", "at least one row"),
    ],
)
def test_bad_csv_is_refused_with_row_and_column(tmp_path, text, target, message) -> None:
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        _load(tmp_path, "own.csv", target=target)


def _bad_npz() -> list[tuple[dict, dict, str]]:
    x, y = _toy()
    nan = x.astype(float)
    nan[3, 1] = np.nan
    three = np.array(["a", "b", "c", "d"])
    return [
        ({"a": x, "y": y}, {}, r"needs arrays x \(or X\) and y; found a, y"),
        ({"x": x, "y": y[:-1]}, {}, r"x has shape \(60, 4\) and its labels \(59,\)"),
        ({"x": x, "y": y, "x_test": x}, {}, "x_test and y_test come together"),
        ({"x": x, "y": y + 0.5}, {}, "labels are float64"),
        ({"x": x, "y": y, "class_names": three[:2]}, {}, "label 2 is outside 0..1"),
        ({"x": x, "y": y, "class_names": three}, {}, "class 'd' has no training samples"),
        ({"x": x, "y": y * 0}, {}, "holds one class"),
        ({"x": nan, "y": y}, {}, "feature .* is not finite"),
        ({"x": x - 9, "y": y}, {"max_value": 255}, "holds the value -"),
        ({"x": x, "y": y}, {"max_value": 99}, r"holds the value \d+; allowed are 0..99"),
        ({"x": x + 0.5, "y": y}, {"max_value": 300}, "values must be integers 0..300"),
        ({"x": x[:, :, None, None, None], "y": y}, {}, r"samples have shape \(4, 1, 1, 1\)"),
        ({"x": x, "y": y, "x_test": x[:, :2], "y_test": y}, {}, r"x_test of \(2,\)"),
        ({"x": x.astype(str), "y": y}, {}, "must hold numbers"),
        ({"x": x[:0], "y": y[:0]}, {}, "holds no samples"),
    ]


@pytest.mark.parametrize(("arrays", "options", "message"), _bad_npz())
def test_bad_npz_is_refused(tmp_path: Path, arrays, options, message: str) -> None:
    _save(tmp_path, **arrays)
    with pytest.raises(InputError, match=message):
        _load(tmp_path, "own.npz", **options)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no data file 'own.npz'; tried .*own.npz; give .*--data"):
        _load(tmp_path, "own.npz")
    with pytest.raises(InputError, match="did you mean 'digits'"):
        _load(tmp_path, "digit")
    (tmp_path / "own.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        _load(tmp_path, "own.npz")
    np.savez(tmp_path / "own.npz", x=np.array([{}]), y=np.zeros(1))
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        _load(tmp_path, "own.npz")
    (tmp_path / "own.txt").write_text("1")
    with pytest.raises(InputError, match=r"allowed: \.npz, \.csv"):
        _load(tmp_path, "own.txt")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1, 2]), r"it is of shape \(2,\)"),
        (np.array("many"), "it is of shape"),
        (2.5, "it is 2.5"),
        (-1, "it is -1"),
        (70000, "it is 70000"),
        (float("nan"), "it is nan"),
    ],
)
def test_a_bad_max_value_is_refused(tmp_path: Path, value, message: str) -> None:
    x, y = _toy()
    _save(tmp_path, x=x, y=y, max_value=value)
    with pytest.raises(InputError, match=rf"own\.npz: max_value must be one whole.*{message}"):
        _load(tmp_path, "own.npz")


@pytest.mark.parametrize("label", [np.inf, -np.inf, 1e300, np.nan])
def test_labels_that_are_no_integers_are_refused(tmp_path: Path, label: float) -> None:
    x, y = _toy()
    _save(tmp_path, x=x, y=np.where(y == 2, label, y))
    with pytest.raises(InputError, match="must be finite integers or texts"):
        _load(tmp_path, "own.npz")


def test_labels_of_bytes_are_texts(tmp_path: Path) -> None:
    x, y = _toy()
    _save(tmp_path, x=x, y=np.array([b"p", b"q", b"r"])[y])
    assert _load(tmp_path, "own.npz").class_names == ("p", "q", "r")
    _save(tmp_path, x=x, y=y, class_names=np.array([b"p", b"q", "\u00e9".encode()]))
    assert _load(tmp_path, "own.npz").class_names == ("p", "q", "\u00e9")
    _save(tmp_path, x=x, y=np.array([b"p", b"q", b"\xff"])[y])
    with pytest.raises(InputError, match=r"no UTF-8"):
        _load(tmp_path, "own.npz")


def test_samples_without_features_and_ranges_beyond_floats_are_refused(tmp_path: Path) -> None:
    x, y = _toy()
    for shape in ((60, 0), (60, 3, 0)):
        _save(tmp_path, x=np.zeros(shape), y=y)
        with pytest.raises(InputError, match="holds no features"):
            _load(tmp_path, "own.npz")
    for size in (1.5e308, 1e-320):
        _save(tmp_path, x=np.where(x > 99, size, -size), y=y)
        with pytest.raises(InputError, match="feature 0 goes from"):
            _load(tmp_path, "own.npz")


def test_an_npy_under_another_name_is_one_sentence(tmp_path: Path) -> None:
    with (tmp_path / "own.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        _load(tmp_path, "own.npz")


@pytest.mark.parametrize("options", [{"target": "k"}, {"categorical": ("k",)}, {"leave_out": "k"}])
@pytest.mark.parametrize("source", ["digits", "own.npz", "adult"])
def test_what_is_for_tables_is_refused_elsewhere(tmp_path: Path, source: str, options) -> None:
    with pytest.raises(InputError, match=rf"{source}: data\.{next(iter(options))} is for tables"):
        _load(tmp_path, source, **options)


def test_the_digest_is_of_all_that_is_trained_on(tmp_path: Path) -> None:
    x, y = _toy()
    arrays = {"x": x, "y": y, "x_test": x, "y_test": y}
    altered = [
        {},
        {"x": np.where(np.arange(60)[:, None] == 7, x ^ 1, x)},
        {"x_test": x ^ 1},
        {"y": y[::-1]},
        {"y_test": y[::-1]},
        {"class_names": np.array(["p", "q", "r"])},
        {"x": x / 7, "x_test": x / 7},
        {"x": x / 14, "x_test": x / 14},
    ]
    digests = []
    for changes in altered:
        _save(tmp_path, **{**arrays, **changes})
        digests.append(_load(tmp_path, "own.npz").digest)
        assert _load(tmp_path, "own.npz").digest == digests[-1]
    assert len(set(digests)) == len(altered)
