"""Which netlist MODEL names, and which model file and golden vectors belong to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError, ModelFileError
from gate2hw.flow.models import SHIFTED, find_netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import Golden, save_golden, save_netlist, save_network
from gate2hw.ir.unroll import unroll


@pytest.fixture
def network(random_network: Callable[..., LogicNetwork]) -> LogicNetwork:
    return random_network(1)


def record(folder: Path, network: LogicNetwork, root: str, output: str) -> None:
    """The record of a compile step."""
    result = {
        "root_digest": root,
        "model": {"digest": network.digest},
        "options": {"output": output, "name": "tiny"},
    }
    step = {"key": "k", "files": {}, "result": result, "time_s": 1.0}
    text = json.dumps({"schema": 1, "steps": {"compile": step}})
    (folder / "build.json").write_text(text)


def golden_of(network: LogicNetwork, digest: str) -> Golden:
    x = np.random.default_rng(0).integers(0, 256, (5, 1, 6, 6)).astype(np.uint8)
    found = scores(unroll(network), x)
    return Golden(x, np.zeros(5, np.int64), found, classes(found), digest)


def test_a_model_is_unrolled_and_simplified(tmp_path: Path, network: LogicNetwork) -> None:
    save_network(tmp_path / "model.safetensors", network)
    save_golden(tmp_path / "golden.npz", golden_of(network, network.digest))
    for path in (tmp_path, tmp_path / "model.safetensors"):
        found = find_netlist(path)
        assert 0 < found.net.n_gates < unroll(network).n_gates
        assert "not compiled before" in found.notes[0]
        golden, beside = found.golden(), found.network()
        assert golden is not None
        assert (scores(found.net, golden.x) == golden.scores).all()
        assert beside is not None
        assert beside.digest == network.digest


def test_a_netlist_comes_before_the_model(tmp_path: Path, network: LogicNetwork) -> None:
    save_network(tmp_path / "model.safetensors", network)
    net = unroll(network)
    save_netlist(tmp_path / "netlist.npz", net)
    for path in (tmp_path, tmp_path / "netlist.npz"):
        found = find_netlist(path)
        assert found.net == net
        assert found.notes == ()
        assert found.network() is not None
    record(tmp_path, network, net.digest, "class")
    for path in (tmp_path, tmp_path / "netlist.npz"):
        found = find_netlist(path)
        assert (found.name, found.notes) == ("tiny", (SHIFTED,))


def test_a_lossy_build_keeps_its_model(
    tmp_path: Path, network: LogicNetwork, random_network: Callable[..., LogicNetwork]
) -> None:
    save_network(tmp_path / "model.safetensors", network)
    save_netlist(tmp_path / "netlist.npz", unroll(network).with_(digest="lossy"))
    save_golden(tmp_path / "golden.npz", golden_of(network, network.digest))
    record(tmp_path, network, "lossy", "scores")
    found = find_netlist(tmp_path)
    assert found.network() is not None
    assert found.golden() is None
    save_golden(tmp_path / "golden_lossy.npz", golden_of(network, "lossy"))
    assert found.golden() is not None
    save_network(tmp_path / "model.safetensors", random_network(2))
    assert find_netlist(tmp_path).network() is None


def test_what_is_no_model(tmp_path: Path, network: LogicNetwork) -> None:
    save_netlist(tmp_path / "netlist.npz", unroll(network))
    record(tmp_path, network, "0" * 64, "scores")
    with pytest.raises(InputError, match="belongs to another model"):
        find_netlist(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(ModelFileError, match="no such model, netlist or build folder"):
        find_netlist(tmp_path)
    tmp_path.mkdir()
    with pytest.raises(InputError, match="holds no model and no netlist"):
        find_netlist(tmp_path)
    (tmp_path / "net.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelFileError, match="cut short or damaged"):
        find_netlist(tmp_path / "net.npz")
