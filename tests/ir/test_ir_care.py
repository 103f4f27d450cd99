"""The care set: implications among thermometer bits, and the prefix that reaches legal codes."""

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.care import check_care, implications, legalised
from gate2hw.ir.gates import TT_AND
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import pack, simulate, unpack

# features interleaved
ENCODER = Encoder([0, 1, 0, 1, 0, 2, 0], [1, 2, 5, 9, 8, 3, 12], (3,), 15)


def _all_codes() -> np.ndarray:
    values = np.stack(np.meshgrid(*[np.arange(16)] * 3), axis=-1).reshape(-1, 3)
    return values[:, ENCODER.feature] > ENCODER.threshold


def test_implies_is_what_holds_on_every_legal_code() -> None:
    codes = _all_codes()
    found = implications(ENCODER)
    for i in range(7):
        for j in range(7):
            holds = bool((codes[:, j] | ~codes[:, i]).all())
            assert bool(found.implies(np.int64(i), np.int64(j))) == holds, (i, j)


def test_the_prefix_reaches_exactly_the_legal_codes() -> None:
    builder = NetlistBuilder(7)
    net = builder.build(2 * np.arange(1, 8), encoder=ENCODER)
    free = (np.arange(128)[:, None] >> np.arange(7)) & 1
    prefixed = legalised(net)
    reached = unpack(simulate(prefixed, pack(free)), 128)
    assert {tuple(row) for row in reached} == {tuple(row) for row in _all_codes()}
    codes = np.unique(_all_codes(), axis=0)
    assert np.array_equal(unpack(simulate(prefixed, pack(codes)), len(codes)), codes)
    assert prefixed.encoder is None


def test_the_prefix_leaves_the_gates_as_they_are() -> None:
    builder = NetlistBuilder(7)
    net = builder.build([2 * builder.gate(TT_AND, 1, 4) + 1], encoder=ENCODER)
    prefixed = legalised(net)
    codes = np.unique(_all_codes(), axis=0)
    assert np.array_equal(simulate(prefixed, pack(codes)), simulate(net, pack(codes)))
    assert prefixed.n_gates == net.n_gates + 4


def test_a_plain_circuit_has_no_care_set() -> None:
    net = NetlistBuilder(2).build([2])
    assert legalised(net) is net


def test_an_unknown_care_set_is_refused() -> None:
    with pytest.raises(InputError, match="thermometer"):
        check_care("thermo")
