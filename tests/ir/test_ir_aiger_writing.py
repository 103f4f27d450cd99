"""The AIGER writer in blocks: the same bytes whatever their size, and a plain coder agrees."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.ir import aiger, ands
from gate2hw.ir.builder import from_columns


def random_net(seed, n_inputs=6, n_gates=300):
    rng = np.random.default_rng(seed)
    high = np.arange(1 + n_inputs, 1 + n_inputs + n_gates)
    low = np.maximum(0, high - 40)
    return from_columns(
        n_inputs,
        rng.integers(0, 16, n_gates).astype(np.uint8),
        rng.integers(low, high).astype(np.int32),
        rng.integers(low, high).astype(np.int32),
        rng.integers(0, 2 * high[-1], 20),
    )


def plain_leb128(values):
    coded = bytearray()
    for value in values:
        while value > 127:
            coded.append(value & 127 | 128)
            value >>= 7
        coded.append(value)
    return bytes(coded)


def test_coding_of_numbers():
    rng = np.random.default_rng(0)
    edges = [max(0, 2**k + d) for k in range(36) for d in (-1, 0, 1)]
    values = [v for v in edges if v < 2**35] + rng.integers(0, 2**35, 50).tolist()
    for some in (values, values[:20], [0], [127], [128], [2**35 - 1], []):
        assert aiger._leb128(np.array(some, np.int64)) == plain_leb128(some)


@pytest.mark.parametrize("suffix", [".aag", ".aig"])
def test_blocks_change_nothing(suffix, tmp_path, monkeypatch):
    net, path = random_net(1), tmp_path / f"net{suffix}"
    aiger.write_aiger(net, path)
    expected = path.read_bytes()
    monkeypatch.setattr(aiger, "_BLOCK", 5)
    monkeypatch.setattr(aiger, "CHUNK", 7)
    monkeypatch.setattr(ands, "BLOCK", 6)
    monkeypatch.setattr(ands, "CHUNK", 4)
    aiger.write_aiger(net, path)
    assert path.read_bytes() == expected
