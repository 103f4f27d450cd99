import numpy as np
import pytest

from gate2hw.errors import IRError
from gate2hw.ir.layers import (
    GroupSum,
    LogicConv,
    LogicDense,
    OrPool,
    Thermometer,
    layer_fields,
    layer_from_fields,
)


def thermometer(**changes):
    values = {"input_shape": (2, 4, 4), "thresholds": [[1, 5], [2, 7]], "max_value": 9}
    return Thermometer(**(values | changes))


def conv(**changes):
    values = {
        "input_shape": (2, 4, 4),
        "leaves": np.zeros((3, 4, 3), int),
        "tables": (np.full((3, 2), 8), np.full((3, 1), 6)),
        "field": (2, 3),
    }
    return LogicConv(**(values | changes))


def pool(**changes):
    values = {"input_shape": (2, 4, 4), "window": (2, 2), "stride": (2, 2)}
    return OrPool(**(values | changes))


def dense(**changes):
    values = {"input_shape": (2, 3), "wiring": [[0, 1], [5, 2]], "tables": [8, 6]}
    return LogicDense(**(values | changes))


def groups(**changes):
    return GroupSum(**({"input_shape": (6,), "group_ptr": [0, 2, 6]} | changes))


OUTSIDE = np.zeros((3, 4, 3), int)
OUTSIDE[1, 2] = (0, 2, 0)
WIDE_TABLE = (np.array([[8, 8], [8, 8], [8, 16]]), np.full((3, 1), 6))

BROKEN = [
    (thermometer, {"input_shape": (2, 4)}, r"input shape \(2, 4\) is neither"),
    (thermometer, {"input_shape": (2, 0, 4)}, "neither"),
    (thermometer, {"thresholds": [1, 5]}, r"thresholds have shape \(2,\)"),
    (thermometer, {"thresholds": [[1, 5]]}, r"expected \(2, T\)"),
    (thermometer, {"thresholds": np.zeros((2, 0), int)}, "at least one threshold"),
    (thermometer, {"max_value": 0}, "max_value 0 is outside"),
    (thermometer, {"max_value": 65536}, "max_value 65536 is outside"),
    (thermometer, {"thresholds": [[1, 5], [7, 7]]}, "channel 1 are not strictly rising"),
    (thermometer, {"thresholds": [[1, 5], [2, 9]]}, r"thresholds must lie in 0\.\.8"),
    (thermometer, {"thresholds": [[-1, 5], [2, 7]]}, r"thresholds must lie in 0\.\.8"),
    (thermometer, {"scale": [1.0]}, "scale must be 2 finite numbers"),
    (thermometer, {"offset": [1.0, np.nan]}, "offset must be 2 finite numbers"),
    (conv, {"input_shape": (32,)}, r"input shape \(32,\) is not \(channels, rows, columns\)"),
    (conv, {"field": (2, 3, 1)}, r"are \(rows, columns\) each"),
    (conv, {"stride": (0, 1)}, "stride must be positive"),
    (conv, {"padding": (-1, 0)}, "padding not negative"),
    (conv, {"field": (5, 3)}, r"a \(5, 3\) field does not fit"),
    (conv, {"tables": ()}, "tree depth of at least 1"),
    (conv, {"arity": 7}, r"tables have 7 inputs, allowed are 1\.\.6"),
    (conv, {"arity": 0}, "tables have 0 inputs"),
    (conv, {"leaves": np.zeros((3, 3, 3), int)}, r"leaves have shape \(3, 3, 3\)"),
    (conv, {"leaves": OUTSIDE}, r"kernel 1, leaf 2: .* = \(0, 2, 0\) is outside \(2, 2, 3\)"),
    (conv, {"leaves": -OUTSIDE}, "kernel 1, leaf 2"),
    (conv, {"tables": (np.full((3, 1), 8),) * 2}, "tables of tree level 0 have shape"),
    (conv, {"tables": WIDE_TABLE}, "tree level 0, kernel 2, gate 1: .* more than 4 bits"),
    (pool, {"input_shape": (32,)}, "is not"),
    (pool, {"window": (2,)}, "each"),
    (pool, {"stride": (2, 0)}, "stride must be positive"),
    (pool, {"padding": (2, 0)}, r"padding \(2, 0\) must be less than window"),
    (pool, {"window": (5, 2)}, r"a \(5, 2\) window does not fit"),
    (dense, {"wiring": [0, 1]}, r"wiring has shape \(2,\)"),
    (dense, {"wiring": np.zeros((0, 2), int), "tables": []}, "N >= 1"),
    (dense, {"wiring": np.zeros((2, 7), int)}, "tables have 7 inputs"),
    (dense, {"tables": [8]}, r"tables have shape \(1,\)"),
    (dense, {"wiring": [[0, 1], [5, 6]]}, r"gate 1: input 1 is wired to 6, allowed are 0\.\.5"),
    (dense, {"wiring": [[0, -1], [5, 2]]}, "gate 0: input 1 is wired to -1"),
    (dense, {"tables": [8, 16]}, "gate 1: the truth table has more than 4 bits"),
    (groups, {"group_ptr": [0]}, "at least one class"),
    (groups, {"group_ptr": []}, "at least one class"),
    (groups, {"group_ptr": [0, 2, 5]}, "groups must cover all 6 outputs"),
    (groups, {"group_ptr": [1, 2, 6]}, "groups must cover all 6 outputs"),
    (groups, {"group_ptr": [0, 2, 2, 6]}, "class 1 has no outputs"),
    (groups, {"group_ptr": [0, 4, 2, 6]}, "class 1 has no outputs"),
    (groups, {"tau": 0.0}, "tau is 0.0"),
    (groups, {"tau": float("nan")}, "tau is nan"),
]


@pytest.mark.parametrize(("make", "changes", "message"), BROKEN)
def test_check_names_the_place(make, changes, message):
    make().check("layer 'x'")
    with pytest.raises(IRError, match=rf"^layer 'x'.*{message}"):
        make(**changes).check("layer 'x'")


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (thermometer, {"thresholds": [[1.5, 2], [3, 4]]}),
        (dense, {"tables": [8, -1]}),
        (dense, {"wiring": [[0, 2**40], [1, 2]]}),
        (groups, {"group_ptr": [0, float("nan"), 6]}),
    ],
)
def test_values_that_do_not_fit_their_column_are_refused(make, changes):
    with pytest.raises(IRError, match="cannot hold"):
        make(**changes)


def test_output_shapes():
    assert thermometer().output_shape == (4, 4, 4)
    assert Thermometer((3,), [[1, 2]] * 3, 9).output_shape == (6,)
    assert conv().output_shape == (3, 3, 2)
    assert conv(stride=(2, 2), padding=(1, 2)).output_shape == (3, 3, 3)
    assert pool(padding=(1, 0)).output_shape == (2, 3, 2)
    assert dense().output_shape == (2,)
    assert groups().output_shape == (2,)
    assert conv().n_unique_gates == 9
    assert conv().depth == 2


@pytest.mark.parametrize("make", [thermometer, conv, pool, dense, groups])
def test_fields_round_trip(make):
    layer = make()
    fields, arrays = layer_fields(layer)
    again = layer_from_fields(fields, arrays)
    assert again == layer
    assert again is not layer
    with pytest.raises(IRError, match=type(layer).__name__):
        layer_from_fields({**fields, "surprise": 1}, arrays)


def test_layers_differ_by_content():
    assert dense() != dense(tables=[8, 7])
    assert dense() != groups()


@pytest.mark.parametrize("op", ["LogicConv3d", None, 7, ["LogicConv"]])
def test_an_unknown_layer_type_is_refused(op):
    with pytest.raises(IRError, match="unknown layer type"):
        layer_from_fields({"op": op}, {})


def test_arrays_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        dense().tables[0] = 1
