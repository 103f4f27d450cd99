"""Tables of the UCI repository: Adult, MONK-1/2/3, Breast Cancer (Ljubljana).

The categories are those that the repository's descriptions list, in their order, so that they do
not depend on what a file happens to hold. Adult is without ``fnlwgt``, the weight of a row in the
census, which says nothing about the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from gate2hw.errors import InputError
from gate2hw.ir.table import Column, read_cells
from gate2hw.nn.datasets.files import Md5, Published, find_folder, not_found, payload
from gate2hw.nn.datasets.raw import RawData, class_numbers

__all__ = ["ADULT", "BREAST_CANCER", "MONKS", "load_adult", "load_breast_cancer", "load_monk"]

_SOURCE: Final = "archive.ics.uci.edu/ml/machine-learning-databases/"

ADULT: Final = Published(
    "Adult",
    ("", "uci", "adult"),
    {
        "adult.data": Md5("5d7c39d7b8804f071cdd1f2a7c460872"),
        "adult.test": Md5("35238206dfdf7f1fe215bbb874adecdc"),
    },
    f"{_SOURCE}adult/",
)
BREAST_CANCER: Final = Published(
    "Breast Cancer",
    ("", "uci", "breast-cancer"),
    {"breast-cancer.data": Md5("d887db31e2b99e39c4b7fc79d2f36a3a")},
    f"{_SOURCE}breast-cancer/",
)
_MONK_MD5: Final = {
    1: ("fc1fc3a673e00908325c67cf16283335", "de4255acb72fb29be5125a7c874e28a0"),
    2: ("f109ee3f95805745af6cdff06d6fbc94", "106cb9049ba5ccd7969a0bd5ff19681d"),
    3: ("613e44dbb8ffdf54d364bd91e4e74afd", "46815731e31c07f89422cf60de8738e7"),
}
MONKS: Final = {
    number: Published(
        f"MONK-{number}",
        ("", "uci", "monks", "monks-problems"),
        {f"monks-{number}.train": Md5(train), f"monks-{number}.test": Md5(test)},
        f"{_SOURCE}monks-problems/",
    )
    for number, (train, test) in _MONK_MD5.items()
}


def _categories(name: str, text: str) -> Column:
    return Column(name, tuple(text.split()))


_ADULT_COLUMNS: Final = (
    Column("age"),
    _categories(
        "workclass",
        "Private Self-emp-not-inc Self-emp-inc Federal-gov Local-gov State-gov Without-pay "
        "Never-worked",
    ),
    Column("fnlwgt"),
    _categories(
        "education",
        "Bachelors Some-college 11th HS-grad Prof-school Assoc-acdm Assoc-voc 9th 7th-8th 12th "
        "Masters 1st-4th 10th Doctorate 5th-6th Preschool",
    ),
    Column("education-num"),
    _categories(
        "marital-status",
        "Married-civ-spouse Divorced Never-married Separated Widowed Married-spouse-absent "
        "Married-AF-spouse",
    ),
    _categories(
        "occupation",
        "Tech-support Craft-repair Other-service Sales Exec-managerial Prof-specialty "
        "Handlers-cleaners Machine-op-inspct Adm-clerical Farming-fishing Transport-moving "
        "Priv-house-serv Protective-serv Armed-Forces",
    ),
    _categories("relationship", "Wife Own-child Husband Not-in-family Other-relative Unmarried"),
    _categories("race", "White Asian-Pac-Islander Amer-Indian-Eskimo Other Black"),
    _categories("sex", "Female Male"),
    Column("capital-gain"),
    Column("capital-loss"),
    Column("hours-per-week"),
    _categories(
        "native-country",
        "United-States Cambodia England Puerto-Rico Canada Germany Outlying-US(Guam-USVI-etc) "
        "India Japan Greece South China Cuba Iran Honduras Philippines Italy Poland Jamaica "
        "Vietnam Mexico Portugal Ireland France Dominican-Republic Laos Ecuador Taiwan Haiti "
        "Columbia Hungary Guatemala Nicaragua Scotland Thailand Yugoslavia El-Salvador "
        "Trinadad&Tobago Peru Hong Holand-Netherlands",
    ),
)
_NOT_READ: Final = _ADULT_COLUMNS.index(Column("fnlwgt"))

_BREAST_COLUMNS: Final = (
    _categories("age", "10-19 20-29 30-39 40-49 50-59 60-69 70-79 80-89 90-99"),
    _categories("menopause", "lt40 ge40 premeno"),
    _categories(
        "tumor-size", "0-4 5-9 10-14 15-19 20-24 25-29 30-34 35-39 40-44 45-49 50-54 55-59"
    ),
    _categories(
        "inv-nodes", "0-2 3-5 6-8 9-11 12-14 15-17 18-20 21-23 24-26 27-29 30-32 33-35 36-39"
    ),
    _categories("node-caps", "yes no"),
    _categories("deg-malig", "1 2 3"),
    _categories("breast", "left right"),
    _categories("breast-quad", "left_up left_low right_up right_low central"),
    _categories("irradiat", "yes no"),
)
_MONK_COLUMNS: Final = tuple(
    Column(f"a{number}", tuple(str(value) for value in range(1, size + 1)))
    for number, size in enumerate((3, 3, 2, 3, 4, 2), start=1)
)


def _folder(published: Published, folders: Sequence[Path | str]) -> Path:
    folder = find_folder(published, folders)
    if folder is None:
        raise not_found([published], folders)
    return folder


def _rows(
    published: Published, folder: Path, name: str, check: bool, separator: str | None = ","
) -> tuple[list[list[str]], list[int]]:
    """(cells of each row, its line in the file); empty lines and those that begin with | are no
    rows."""
    data = payload(published, folder, name, check=check)
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{folder / name}: is no text ({error})") from error
    texts = (line.strip() for line in lines)
    numbered = [
        (number, text)
        for number, text in enumerate(texts, start=1)
        if text and not text.startswith("|")
    ]
    rows = [[cell.strip() for cell in text.split(separator)] for _, text in numbered]
    return rows, [number for number, _ in numbered]


def _split_rows(
    where: str, rows: list[list[str]], lines: list[int], label: int, n_cells: int
) -> tuple[list[list[str]], list[str]]:
    """(cells without the label, labels); InputError for a row of another length."""
    for number, row in zip(lines, rows, strict=True):
        if len(row) != n_cells:
            raise InputError(f"{where}, row {number}: {len(row)} cells, expected {n_cells}")
    label %= n_cells
    return [row[:label] + row[label + 1 :] for row in rows], [row[label] for row in rows]


def load_adult(folders: Sequence[Path | str], *, check: bool = True) -> RawData:
    """Adult (census income): 32,561 rows and 16,281 of the test, 13 columns, two classes.

    Missing values stay, as none of the categories. Raises InputError for missing or altered files.
    """
    folder = _folder(ADULT, folders)
    columns = tuple(c for i, c in enumerate(_ADULT_COLUMNS) if i != _NOT_READ)
    names = ("<=50K", ">50K")
    values, labels = [], []
    for name in ADULT.files:
        where = str(folder / name)
        rows, lines = _rows(ADULT, folder, name, check)
        cells, texts = _split_rows(where, rows, lines, -1, len(_ADULT_COLUMNS) + 1)
        cells = [row[:_NOT_READ] + row[_NOT_READ + 1 :] for row in cells]
        values.append(read_cells(columns, cells, where, lines))
        labels.append(np.array([text.rstrip(".") for text in texts]))
    (y, y_test), _ = class_numbers(str(folder), labels, names)
    return RawData("adult", values[0], y, names, 0, values[1], y_test, columns)


def load_breast_cancer(folders: Sequence[Path | str], *, check: bool = True) -> RawData:
    """Breast Cancer of Ljubljana: 286 rows, 9 columns, two classes, no test split of its own."""
    folder = _folder(BREAST_CANCER, folders)
    (name,) = BREAST_CANCER.files
    where = str(folder / name)
    rows, lines = _rows(BREAST_CANCER, folder, name, check)
    cells, texts = _split_rows(where, rows, lines, 0, len(_BREAST_COLUMNS) + 1)
    names = ("no-recurrence-events", "recurrence-events")
    (y,), _ = class_numbers(where, [np.array(texts)], names)
    values = read_cells(_BREAST_COLUMNS, cells, where, lines)
    return RawData("breast-cancer", values, y, names, columns=_BREAST_COLUMNS)


def load_monk(number: int, folders: Sequence[Path | str], *, check: bool = True) -> RawData:
    """MONK's problem 1, 2 or 3: 124, 169 or 122 training rows, all 432 robots as the test."""
    published = MONKS[number]
    folder = _folder(published, folders)
    values, labels = [], []
    for name in published.files:
        where = str(folder / name)
        rows, lines = _rows(published, folder, name, check, separator=None)
        rows = [row[:-1] for row in rows]
        cells, texts = _split_rows(where, rows, lines, 0, len(_MONK_COLUMNS) + 1)
        values.append(read_cells(_MONK_COLUMNS, cells, where, lines))
        labels.append(np.array(texts))
    (y, y_test), names = class_numbers(str(folder), labels, ("0", "1"))
    return RawData(f"monk-{number}", values[0], y, names, 0, values[1], y_test, _MONK_COLUMNS)
