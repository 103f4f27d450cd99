"""check_software: what must be equal for scores and for the class alone; the LUTs are checked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.signoff.checks import (
    Chain,
    _check_exact,
    _golden,
    _load_luts,
    check_software,
    prove_passes,
)
from gate2hw.ir.lutnetlist import LutNetlist, from_netlist, save_lutnetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import classes, random_features, scores
from gate2hw.ir.store import Golden, save_golden
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.unroll_shared import unroll_shared


@pytest.fixture
def chain_of(random_network: Callable[..., LogicNetwork]) -> Callable[..., Chain]:
    """Make the chain of a random network compiled with some options, with no files."""
    network = random_network(2, dense=(60,))
    raw = unroll_shared(network)

    def make(output: str, care: str = "thermometer", **changes: Any) -> Chain:
        options = {"output": output, "care": care, "opt_level": 2}
        net = run_pipeline(raw, 2, care=care, output=output).net  # type: ignore[arg-type]
        x = random_features(raw.encoder, 50, np.random.default_rng(3))  # type: ignore[arg-type]
        expected = scores(raw, x)
        golden = Golden(
            x.astype(np.uint8), np.full(50, -1), expected, classes(expected), raw.digest
        )
        parts: dict[str, Any] = {"net": net, "luts": from_netlist(net), **changes}
        return Chain(
            folder=None,  # type: ignore[arg-type]
            network=network,
            raw=raw,
            net=parts["net"],
            golden=golden,
            golden_path=None,
            golden_reason=None,
            manifest=None,  # type: ignore[arg-type]
            compiled={"options": options},
            luts=parts["luts"],
        )

    return make


def shifted(net: Netlist, by: list[int]) -> Netlist:
    head = net.head
    return net.with_(head=type(head)(head.group_ptr, head.weight, head.bias + np.array(by)))


@pytest.mark.parametrize("output", ["class", "scores"])
def test_good_chains_pass(chain_of: Callable[..., Chain], output: str) -> None:
    chain = chain_of(output)
    assert chain.luts is not None
    done = check_software(chain, 100)
    assert (done["n_golden"], done["n_random"]) == (50, 100)
    assert done["n_luts"] == chain.luts.n_gates
    assert "n_luts" not in check_software(chain_of(output, luts=None), 100)


def test_a_common_shift_of_scores_counts_only_for_scores(chain_of: Callable[..., Chain]) -> None:
    for output, by, sentence in (
        ("scores", [3, 3, 3], "optimised netlist: 50 of 50 vectors differ.*expected scores"),
        ("class", [0, 1, 0], "optimised netlist: 50 of 50 .*differences of scores"),
    ):
        net = shifted(chain_of(output).net, by)
        with pytest.raises(CheckFailedError, match=sentence):
            check_software(chain_of(output, net=net), 10)
    net = shifted(chain_of("class").net, [3, 3, 3])
    check_software(chain_of("class", net=net), 10)


@pytest.mark.parametrize("output", ["class", "scores"])
def test_a_wrong_lut_is_found(chain_of: Callable[..., Chain], output: str) -> None:
    luts = chain_of(output).luts
    assert isinstance(luts, LutNetlist)
    init = luts.init.copy()
    init[int(luts.outputs[-1] >> 1) - luts.first_gate] ^= np.uint64(15)
    with pytest.raises(CheckFailedError, match="torch against the LUT netlist"):
        check_software(chain_of(output, luts=luts.with_(init=init)), 10)


def test_luts_of_another_model_are_refused(chain_of: Callable[..., Chain], tmp_path: Path) -> None:
    chain = chain_of("class")
    assert chain.luts is not None
    path = tmp_path / "luts4.npz"
    assert _load_luts(path, chain.network) is None
    save_lutnetlist(path, chain.luts)
    assert _load_luts(path, chain.network) == chain.luts
    save_lutnetlist(path, chain.luts.with_(digest="f" * 64))
    with pytest.raises(InputError, match="belongs to another model: digest ffffffffffff"):
        _load_luts(path, chain.network)


def test_a_golden_file_that_is_gone_is_refused(
    chain_of: Callable[..., Chain], tmp_path: Path
) -> None:
    chain, golden = chain_of("class"), tmp_path / "golden.npz"
    assert chain.golden is not None
    folder = BuildFolder(tmp_path)
    compiled = {"golden": "golden.npz", "root_digest": chain.raw.digest, "golden_reason": None}
    with pytest.raises(InputError, match=r"golden.npz was there .* put it back or compile again"):
        _golden(folder, None, chain.network, compiled)
    never = {**compiled, "golden_reason": "no golden.npz stands beside the model"}
    assert _golden(folder, None, chain.network, never) == (None, None, never["golden_reason"])
    save_golden(golden, chain.golden)
    assert _golden(folder, None, chain.network, compiled)[1] == golden
    golden.unlink()
    lossy = {"approximation": {}, "options": {}}
    for reason, refused in ((None, True), ("none was given", False)):
        bare = replace(chain, folder=folder, compiled={**lossy, "golden_reason": reason})
        with pytest.raises(InputError, match="is gone") if refused else nullcontext():
            _check_exact(bare)


@pytest.mark.parametrize("care", ["thermometer", "none"])
@pytest.mark.parametrize("output", ["class", "scores"])
def test_passes_are_proved_as_compiled(
    chain_of: Callable[..., Chain], tmp_path: Path, care: str, output: str
) -> None:
    chain = chain_of(output, care)
    entries = prove_passes(chain, tmp_path, lambda *_: None)
    assert entries
    assert {entry["result"] for entry in entries} == {"equivalent"}
    assert all(entry["coverage"] for entry in entries)
    tt = chain.net.tt.copy()
    tt[0] ^= 6
    with pytest.raises(CheckFailedError, match=r"netlist.npz is not what the passes make"):
        prove_passes(chain_of(output, care, net=chain.net.with_(tt=tt)), tmp_path, lambda *_: None)
