"""Where the passes start: equal to the unrolled model, checked, and wrong starts found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate2hw import flow
from gate2hw.errors import CheckFailedError
from gate2hw.flow.build import BuildFolder, silent
from gate2hw.flow.reporting import report
from gate2hw.flow.signoff import sharing
from gate2hw.flow.signoff.checks import Chain, load_chain, prove_passes
from gate2hw.flow.verifying import _detail, _links_without_golden, _proof_work, _Verifier
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.layers import GroupSum, LogicDense, Thermometer
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.simulate import classes, random_features
from gate2hw.ir.store import Golden
from gate2hw.ir.unroll import unroll
from gate2hw.passes.unroll_shared import unroll_shared

NAME = "LogicNetwork = netlist before = after passes"


@pytest.fixture
def network(random_network: Callable[..., LogicNetwork]) -> LogicNetwork:
    """A network with a padded convolution, a pool and a dense layer."""
    return random_network(2, padding=(1, 1), dense=(60,))


def golden_of(network: LogicNetwork) -> Golden:
    x = np.random.default_rng(7).integers(0, 256, (70, *network.thermometer.input_shape))
    expected = evaluate(network, x)
    y = np.full(len(x), -1)
    return Golden(x.astype(np.uint8), y, expected, classes(expected), network.digest)


def rare_network() -> LogicNetwork:
    """Output 1 is x0 & x1 & x2 & ~x3, of bits that are 1 for five values in 256."""
    thermometer = Thermometer((4,), np.full((4, 1), 250), 255)
    first = LogicDense((4,), np.array([[0, 1], [2, 3]]), np.array([8, 4], np.uint64))
    second = LogicDense((2,), np.array([[0, 1], [0, 1]]), np.array([14, 8], np.uint64))
    layers = [("in", thermometer), ("a", first), ("b", second), ("sum", GroupSum((2,), [0, 1, 2]))]
    return chain(layers)  # type: ignore[arg-type]


def without_output(net: Netlist) -> Netlist:
    """`net` with its last output 0: for most networks, and most inputs of the rare one, right."""
    outputs = np.array(net.outputs)
    outputs[-1] = 0
    return net.with_(outputs=outputs)


def flipped(net: Netlist) -> Netlist:
    tt = np.array(net.tt)
    tt[-1] ^= 14
    return net.with_(tt=tt)


def test_level_0_starts_from_the_raw_netlist_and_the_others_from_the_kernels(
    network: LogicNetwork,
) -> None:
    raw = unroll(network)
    net, records = sharing.started(network, 0)
    assert (net, records) == (raw, [])
    for level in (1, 2, 3):
        net, (record,) = sharing.started(network, level)
        assert net == unroll_shared(network) == sharing.start_of(network, level)
        assert (record.name, record.changed, record.n_vectors) == ("unroll_shared", True, 256)
        assert (record.gates_before, record.gates_after) == (raw.n_gates, net.n_gates)
        assert (record.depth_before, record.depth_after) == (raw.depth, net.depth)
        assert record.gates_after < record.gates_before


def test_compile_itself_finds_a_wrong_step(
    network: LogicNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "unroll_shared", lambda network: flipped(unroll_shared(network)))
    with pytest.raises(CheckFailedError, match=r"unroll_shared: LogicNetwork against .* input \["):
        flow.compile(network, tmp_path, opt_level=1)
    assert BuildFolder(tmp_path).result("compile") is None
    flow.compile(network, tmp_path, opt_level=0)


def test_what_few_vectors_do_not_see_is_proved_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = rare_network()
    assert sharing.prove_start(network, unroll_shared(network), None, tmp_path)["result"] == (
        "equivalent"
    )
    wrong = without_output(unroll_shared(network))
    monkeypatch.setattr(sharing, "unroll_shared", lambda network: wrong)
    assert sharing.started(network, 1)[0] is wrong
    with pytest.raises(CheckFailedError, match=r"unroll_shared is proved wrong on input features"):
        sharing.prove_start(network, wrong, None, tmp_path)


def test_beyond_the_limit_nothing_is_unrolled_and_the_record_says_so(
    network: LogicNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(network: LogicNetwork) -> Netlist:
        raise AssertionError("unrolled")

    monkeypatch.setattr(sharing, "PROVED_GATES", 10)
    monkeypatch.setattr(sharing, "N_VECTORS", 6000)
    monkeypatch.setattr(sharing, "_BLOCK_BYTES", 2**20)
    monkeypatch.setattr(sharing, "unroll", never)
    net, golden = sharing.start_of(network, 2), golden_of(network)
    entry = sharing.prove_start(network, net, golden, tmp_path)
    assert entry["result"] == "simulated"
    assert entry["coverage"].startswith("70 test and 6,000 random vectors")
    assert "too many for SAT" in entry["reason"]
    check = {"method": "ABC cec", "passes": [entry, {"name": "fold", "result": "equivalent"}]}
    assert _detail(check) == "ABC cec: 1 passes and the gate cloud equivalent"
    entry_of_proof = {**entry, "result": "equivalent"}
    proved = _detail({**check, "passes": [entry_of_proof, check["passes"][1]]})
    assert proved.startswith("ABC cec: kernels simplified once, 1 passes")
    assert not list(tmp_path.glob("*.aig"))
    for wrong in (flipped(net), without_output(net)):
        with pytest.raises(CheckFailedError, match="unroll_shared: LogicNetwork against"):
            sharing.prove_start(network, wrong, golden, tmp_path)
    monkeypatch.setattr(sharing, "GATE_VECTORS", 1)
    entry = sharing.prove_start(network, net, None, tmp_path)
    assert entry["coverage"].startswith("0 test and 4,096 random vectors")


def test_without_a_verdict_of_abc_vectors_are_run(
    network: LogicNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "N_VECTORS", 5000)
    from gate2hw.passes.proof.equivalence import Proof

    undecided = Proof("undecided", "abc cec", None, 1.0, reason="no verdict in 1 s")
    monkeypatch.setattr(sharing, "prove_equal", lambda *args, **options: undecided)
    entry = sharing.prove_start(network, unroll_shared(network), None, tmp_path)
    assert (entry["result"], entry["reason"]) == ("simulated", "no verdict in 1 s")


@pytest.fixture
def compiled_network(network: LogicNetwork, tmp_path: Path) -> Chain:
    """The chain of a network compiled from Python: no golden file."""
    result = flow.compile(network, tmp_path / "build", opt_level=2).result
    first, *others = result["passes"]
    assert first["name"] == "unroll_shared"
    assert first["gates_before"] == result["gates"]["instantiated"] == unroll(network).n_gates
    assert first["gates_after"] == others[0]["gates_before"] == unroll_shared(network).n_gates
    assert others[-1]["gates_after"] == result["gates"]["optimised"]
    return load_chain(BuildFolder(tmp_path / "build"))


def test_the_step_is_proved_with_the_passes(compiled_network: Chain, tmp_path: Path) -> None:
    first, *others = prove_passes(compiled_network, tmp_path / "proof", silent)
    assert (first["name"], first["result"]) == ("unroll_shared", "equivalent")
    assert not first["in_parts"]
    assert {entry["result"] for entry in others} == {"equivalent"}


def test_a_step_too_large_for_sat_is_told_apart_in_the_report(
    compiled_network: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PROVED_GATES", 10)
    monkeypatch.setattr(sharing, "N_VECTORS", 5000)
    run = _Verifier(compiled_network, "icarus", 0, silent)
    run.link("verify.proof", "proof", "key", lambda: _proof_work(compiled_network, silent))
    assert run.links[0]["result"] == "passed"
    said = "not proved (1,512 unrolled gates are too many for SAT): 0 test and "
    told = lines(compiled_network)
    assert not any("Unrolled model" in link for link in told)
    for text in (run.links[0]["detail"], told["Model = netlist before passes"].detail):
        assert said.replace("1,512", f"{unroll(compiled_network.network).n_gates:,}") in text


def links(chain: Chain, n_random: int) -> dict[str, tuple[str, str]]:
    assert chain.golden_reason is not None
    run = _Verifier(chain, "icarus", n_random, silent)
    _links_without_golden(run, f"key {n_random}", chain.golden_reason)
    return {link["name"]: (link["result"], link["detail"]) for link in run.links}


def lines(chain: Chain) -> dict[str, Any]:
    from gate2hw.report.chain import check_lines

    return {line.link: line for line in check_lines(report(chain.folder.path)["report"])}


def test_without_a_golden_file_the_model_is_checked_on_random_inputs(
    compiled_network: Chain,
) -> None:
    chain = compiled_network
    none = links(chain, 0)
    assert none[NAME] == (
        "not checked",
        "no random vectors were asked for, and there are no others",
    )
    found = links(chain, 300)
    assert found["torch = LogicNetwork"][0] == "not checked"
    assert found[NAME] == ("passed", "reference simulator: 300 random vectors")
    assert links(chain, 300)[NAME][1].endswith("(checked before)")
    shown = lines(chain)
    assert shown["Torch model = LogicNetwork"].status == "not checked"
    line = shown["LogicNetwork = netlist before passes = netlist after passes"]
    assert (line.status, line.detail) == (
        "passed",
        "reference simulator: 300 vectors, 0 mismatches",
    )


def test_without_a_golden_file_a_wrong_netlist_is_found(compiled_network: Chain) -> None:
    head = compiled_network.net.head
    bias = head.bias + np.arange(len(head.bias))
    net = compiled_network.net.with_(head=type(head)(head.group_ptr, head.weight, bias))
    chain = Chain(**{**vars(compiled_network), "net": net})
    result, detail = links(chain, 64)[NAME]
    assert result == "FAILED"
    assert "64 of 64 vectors differ" in detail
    line = lines(chain)["LogicNetwork = netlist before passes = netlist after passes"]
    assert line.status == "FAILED"


def test_features_are_legal_and_dark_as_well(network: LogicNetwork) -> None:
    encoder = unroll(network).encoder
    assert encoder is not None
    x = sharing._features(encoder, 501, np.random.default_rng(0))
    assert x.shape == (501, *encoder.shape)
    assert 0 <= x.min() <= x.max() <= encoder.max_value
    plain = random_features(encoder, 501, np.random.default_rng(0))
    assert (x[0::2] == plain[0::2]).all()
    assert x[1::2].mean() < 0.7 * x[0::2].mean()
