"""Lines built as columns of bytes are those that Python would format one by one."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.ir.byte_lines import choices, join_lines, numerals

EDGES = sorted(
    {max(0, 10**k + d) for k in range(13) for d in (-1, 0, 1)} | {2**31, 2**32 - 1, 2**32}
)


def lines(*columns):
    return join_lines(*columns).splitlines()


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.uint64])
def test_numerals(dtype):
    """All numbers together, and each alone: the width follows the highest."""
    values = np.array([v for v in EDGES if v <= np.iinfo(dtype).max], dtype)
    assert lines(numerals(values), "\n") == [str(v) for v in values.tolist()]
    for value in values:
        assert lines(numerals(np.array([value], dtype)), "\n") == [str(value)]
    few = np.arange(20_050, dtype=np.int64)
    assert lines(numerals(few), "\n") == [str(v) for v in range(20_050)]


def test_columns_side_by_side():
    text = choices(["", "a", "bcd"])
    number = np.array([10, 9999, 10000, 0])
    got = join_lines("<", text[[2, 0, 1, 1]], numerals(number), "> ", numerals(number[::-1]), "\n")
    assert got == "<bcd10> 0\n<9999> 10000\n<a10000> 9999\n<a0> 10\n"
    assert join_lines("x", numerals(np.zeros(0, np.int64))) == ""
