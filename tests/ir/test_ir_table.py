"""A row of texts becomes the same numbers that the model was trained on."""

import json

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.table import (
    Column,
    columns_from_json,
    columns_to_json,
    expand,
    feature_names,
    read_cells,
)

COLUMNS = (
    Column("age"),
    Column("sex", ("Female", "Male")),
    Column("hours", cuts=(20.0, 40.5)),
)


def test_rows_become_features() -> None:
    rows = [["39", "Male", "40"], [" 1.5", " ? ", "41"], ["-2e3", "Female", "20"]]
    values = read_cells(COLUMNS, rows, "here")
    assert values.tolist() == [[39, 1, 40], [1.5, -1, 41], [-2000, 0, 20]]
    features = expand(COLUMNS, values)
    assert features.tolist() == [[39, 0, 1, 1, 0], [1.5, 0, 0, 1, 1], [-2000, 1, 0, 0, 0]]
    assert feature_names(COLUMNS) == ("age", "sex=Female", "sex=Male", "hours>20", "hours>40.5")
    assert features.shape[1] == sum(column.n_features for column in COLUMNS)
    assert [column.is_binary for column in COLUMNS] == [False, True, True]
    assert expand(COLUMNS, values[:0]).shape == (0, 5)


def test_columns_survive_the_model_file() -> None:
    data = json.loads(json.dumps(columns_to_json(COLUMNS)))
    assert columns_from_json(data) == COLUMNS
    assert "cuts" not in data[1]
    for broken in (3, [3], [{}], [{"name": "a", "cuts": ["x"]}]):
        with pytest.raises(InputError, match=r"info\.columns"):
            columns_from_json(broken)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["x", "Male", "4"], "here, row 2, column 'age': 'x' cannot be read; it must be a number"),
        (["nan", "Male", "4"], "column 'age': 'nan'"),
        (["", "Male", "4"], "column 'age': ''"),
        (["1", "Malle", "4"], "column 'sex': 'Malle' cannot be read; did you mean 'Male'"),
        (["1", "Male"], "here, row 2: 2 cells, expected 3"),
    ],
)
def test_unreadable_cells_are_named(row: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_cells(COLUMNS, [["1", "Male", "3"], row], "here")


def test_a_missing_mark_may_be_a_category() -> None:
    column = Column("x", ("?", "a"))
    assert np.array_equal(read_cells([column], [["?"], [""]], "here"), [[0], [-1]])


@pytest.mark.parametrize(
    ("categories", "cuts", "message"),
    [
        (("a",), (1.0,), "has categories and cuts"),
        (("a", "a"), (), "names a category twice"),
        ((), (1.0, 1.0), "rise strictly"),
        ((), (float("nan"),), "finite"),
    ],
)
def test_contradicting_columns_are_refused(categories, cuts, message: str) -> None:
    with pytest.raises(InputError, match=f"column 'c'.*{message}"):
        Column("c", categories, cuts)
