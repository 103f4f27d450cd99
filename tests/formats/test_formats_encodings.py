"""Float thresholds as integers, constants worked into tables, specs that are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.formats.encodings import ONE, ZERO, encoding_of, fix_input
from gate2hw.formats.spec import ImportSpec, InputSpec, parse_spec, read_spec


@pytest.mark.parametrize("seed", range(5))
def test_integer_thresholds_agree_on_every_value(seed):
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.uniform(-0.2, 1.2, (3, 5)).astype(np.float32), axis=1)
    rows[0, 1:3] = rows[0, 0], np.float32(51) / np.float32(255)
    spec = InputSpec((3,), 255, (255.0,), (0.0,))
    encoding = encoding_of(spec, rows, (3,))
    thresholds = encoding.thermometer.thresholds
    encoding.thermometer.check("input")
    for v in range(256):
        ours = (v > thresholds).ravel()
        wanted = (np.float32(v) / np.float32(255) > rows).ravel()
        found = [{ZERO: False, ONE: True}.get(code, ours[code]) for code in encoding.codes.tolist()]
        assert found == wanted.tolist()


def test_rounding_of_difflogic_is_a_threshold_of_one_half():
    """Evaluation inputs are ``x.round()``: half goes to even, which is 0."""
    encoding = encoding_of(InputSpec((1,), 255, (255.0,)), np.array([0.5], np.float32), (1,))
    assert encoding.thermometer.thresholds.tolist() == [[127]]


@pytest.mark.parametrize("arity", [1, 2, 3, 6])
def test_fix_input(arity):
    rng = np.random.default_rng(arity)
    tables = rng.integers(0, 2**64, 20, dtype=np.uint64) >> np.uint64(64 - (1 << arity))
    for slot, value in itertools.product(range(arity), (False, True)):
        fixed = fix_input(tables, arity, slot, np.full(20, value))
        bit = 1 << (arity - 1 - slot)
        for address in range(1 << arity):
            source = address | bit if value else address & ~bit
            assert (
                fixed >> np.uint64(address) & np.uint64(1)
                == tables >> np.uint64(source) & np.uint64(1)
            ).all()


def test_spec_of_every_entry():
    spec = parse_spec(
        """
[input]
shape = [3, 4, 5]
max_value = 15
scale = [1, 2.0, 3]
offset = 0.5
thresholds = [[1], [2], [3.5]]
order = "threshold-major"
softplus = 0.2
[gates]
parametrisation = "warp"
id_order = "lsb"
[[layers]]
op = "conv"
key = "1"
field = [3, 2]
stride = 2
[[layers]]
op = "pool"
window = 2
[output]
classes = 2
tau = 3
beta = 1
class_names = ["a", "b"]
"""
    )
    assert spec.input == InputSpec(
        (3, 4, 5), 15, (1, 2, 3), (0.5,), ((1,), (2,), (3.5,)), "threshold-major", 0.2
    )
    conv, pool = spec.layers
    assert (conv.field, conv.stride, conv.padding) == ((3, 2), (2, 2), (0, 0))
    assert (pool.op, pool.field, pool.stride) == ("pool", (2, 2), (2, 2))
    assert (spec.parametrisation, spec.id_order) == ("warp", "lsb")
    assert (spec.classes, spec.tau, spec.beta, spec.class_names) == (2, 3.0, 1.0, ("a", "b"))
    assert parse_spec("") == ImportSpec()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[inputs]", "did you mean 'input'"),
        ("[input]\nshap = [1]", "did you mean 'shape'"),
        ("[input]\nshape = [1, 2]", "shape is"),
        ("[input]\nshape = [100000, 100000, 100000]", "shape is"),
        ("[input]\nmax_value = 255", "need thresholds"),
        ("[input]\nmax_value = 0", "in 1..65535"),
        ("[input]\nthresholds = []", "thresholds must be"),
        ("[input]\nthresholds = [[1], [1, 2]]", "same number"),
        ("[input]\nscale = -1", "scale must be positive"),
        ("[input]\nscale = nan", "scale must be a number"),
        ('[input]\norder = "pixel"', "channel-major"),
        ('[gates]\nparametrisation = "wrap"', "did you mean 'warp'"),
        ('[[layers]]\nop = "conv"\nkey = "1"', "field is missing"),
        ('[[layers]]\nop = "lstm"\nkey = "1"', "Allowed: conv"),
        ('[[layers]]\nop = "dense"', "needs an op"),
        ('[[layers]]\nop = "pool"\nwindow = 0', "not a whole number or a pair"),
        ("[output]\nclasses = -1", "classes is -1"),
        ("[output]\ntau = 0", "must be positive"),
        ("[output]\nclass_names = 3", "no list of names"),
        ("layers = 3", "no list of tables"),
        ("input = 3", "no table"),
        ("[input", "not TOML"),
    ],
)
def test_bad_specs(text, message, tmp_path):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_spec(tmp_path / "s.toml")
    assert "s.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
