import itertools

import numpy as np
import pytest

from gate2hw.ir import gates

FUNCTIONS = {
    "FALSE": lambda a, b: 0,
    "NOR": lambda a, b: 1 - (a | b),
    "NOT_A_AND_B": lambda a, b: (1 - a) & b,
    "NOT_A": lambda a, b: 1 - a,
    "A_AND_NOT_B": lambda a, b: a & (1 - b),
    "NOT_B": lambda a, b: 1 - b,
    "XOR": lambda a, b: a ^ b,
    "NAND": lambda a, b: 1 - (a & b),
    "AND": lambda a, b: a & b,
    "XNOR": lambda a, b: 1 - (a ^ b),
    "B": lambda a, b: b,
    "NOT_A_OR_B": lambda a, b: (1 - a) | b,
    "A": lambda a, b: a,
    "A_OR_NOT_B": lambda a, b: a | (1 - b),
    "OR": lambda a, b: a | b,
    "TRUE": lambda a, b: 1,
}
BITS = list(itertools.product((0, 1), repeat=2))
EVERY = pytest.mark.parametrize("tt", range(16))


def value(tt: int, a: int, b: int) -> int:
    return int(tt) >> (2 * a + b) & 1


def test_the_table_is_in_order_and_complete():
    assert [tt for tt, _, _ in gates.TABLE] == list(range(16))
    assert sorted(gates.NAMES) == sorted(FUNCTIONS)
    assert (gates.tt_of_name("AND"), gates.tt_of_name("XOR")) == (8, 6)
    assert (gates.tt_of_name("A"), gates.tt_of_name("B")) == (12, 10)
    with pytest.raises(KeyError):
        gates.tt_of_name("and")


@EVERY
def test_names_and_expressions_say_what_the_table_computes(tt):
    for a, b in BITS:
        expected = FUNCTIONS[gates.NAMES[tt]](a, b)
        assert value(tt, a, b) == expected
        assert eval(gates.EXPRESSIONS[tt], {"a": a, "b": b}) & 1 == expected
    assert gates.tt_of_name(gates.NAMES[tt]) == tt


@EVERY
def test_derived_tables(tt):
    c = gates.ANF[tt].tolist()
    for a, b in BITS:
        assert c[0] ^ (c[1] & a) ^ (c[2] & b) ^ (c[3] & a & b) == value(tt, a, b)
        assert value(gates.swap_inputs[tt], a, b) == value(tt, b, a)
        for ca, cb in BITS:
            flipped = gates.complement_inputs[2 * ca + cb, tt]
            assert value(flipped, a, b) == value(tt, a ^ ca, b ^ cb)
    depends_on_a = any(value(tt, 0, b) != value(tt, 1, b) for b in (0, 1))
    depends_on_b = any(value(tt, a, 0) != value(tt, a, 1) for a in (0, 1))
    assert gates.is_trivial[tt] == (not (depends_on_a and depends_on_b))


def test_reverse_address_converts_the_ids_of_difflogic():
    order = ["FALSE", "AND", "A_AND_NOT_B", "A", "NOT_A_AND_B", "B", "XOR", "OR"]
    order += ["NOR", "XNOR", "NOT_B", "A_OR_NOT_B", "NOT_A", "NOT_A_OR_B", "NAND", "TRUE"]
    for gate_id, name in enumerate(order):
        assert gates.reverse_address[gate_id] == gates.tt_of_name(name)
    assert (gates.reverse_address[gates.reverse_address] == np.arange(16)).all()


@pytest.mark.parametrize(
    "table",
    [
        gates.ANF,
        gates.swap_inputs,
        gates.complement_inputs,
        gates.reverse_address,
        gates.is_trivial,
    ],
)
def test_tables_cannot_be_written(table):
    with pytest.raises(ValueError, match="read-only"):
        table[0] = table[0]
