"""convert, opt and import; circuits like those of EPFL, proved equal and no larger."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from gate2hw.cli import main
from gate2hw.errors import CheckFailedError, InputError, ToolTimeoutError
from gate2hw.flow import converting
from gate2hw.flow.converting import convert, opt
from gate2hw.formats.circuits import read_circuit
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.ands import to_ands
from gate2hw.ir.blif import write_blif
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.ir.simulate import pack, random_words, scores_of_bits, simulate, unpack
from gate2hw.ir.store import load_network, save_netlist
from gate2hw.ir.unroll import unroll
from gate2hw.passes.manager import PipelineResult, run_pipeline
from gate2hw.passes.proof.equivalence import Proof

HERE = Path(__file__).parent
DATA = HERE.parent / "formats" / "data"


def _load_circuits():
    spec = importlib.util.spec_from_file_location("epfl_like", HERE / "epfl_like.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["epfl_like"] = module
    spec.loader.exec_module(module)
    return module


epfl_like = _load_circuits()
SAMPLES = {sample.name: sample for sample in epfl_like.samples()}


def values(net: Netlist, numbers: list[int]) -> list[int]:
    """Outputs as integers for inputs as integers, bit 0 first."""
    bits = np.array([[v >> i & 1 for i in range(net.n_inputs)] for v in numbers], bool)
    out = unpack(simulate(net, pack(bits)), len(numbers))
    return [sum(int(bit) << o for o, bit in enumerate(row)) for row in out.tolist()]


def numbers_for(net: Netlist) -> list[int]:
    rng = random.Random(1)
    n = net.n_inputs
    return [0, 1, (1 << n) - 1, *(rng.getrandbits(n) for _ in range(100))]


def check_meaning(sample, path: Path) -> None:
    numbers = numbers_for(sample.net)
    found = values(read_circuit(path), numbers)
    assert found == [sample.meaning(v) for v in numbers]


FAST = [("aiger", 1), ("gates", 3)]
ALL = [(mode, level) for mode in ("aiger", "gates") for level in range(4)]


def _optimise(sample, mode, level, tmp_path):
    write_aiger(sample.net, tmp_path / "in.aig")
    strashed = opt(tmp_path / "in.aig", tmp_path / "s.aig", mode="aiger", level=0)["after"]["ands"]
    out = tmp_path / ("out.aig" if mode == "aiger" else "out.v")
    result = opt(tmp_path / "in.aig", out, mode=mode, level=level)
    assert result["proof"]["result"] == "equivalent"
    check_meaning(sample, out)
    before, after = result["before"], result["after"]
    unit = "ands" if mode == "aiger" else "gates"
    assert after[unit] <= before[unit]
    if mode == "aiger":
        written = read_aiger(out)
        assert after["ands"] == written.n_gates == len(to_ands(written).rhs0)
        assert after["ands"] <= before["ands"] == strashed
    return result


@pytest.mark.parametrize(("mode", "level"), FAST)
@pytest.mark.parametrize("name", ["adder", "dec", "int2float", "priority"])
def test_circuits_like_epfl(name, mode, level, tmp_path):
    _optimise(SAMPLES[name], mode, level, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["aiger", "gates"])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_level_is_never_worse_than_the_one_below(name, mode, tmp_path):
    sizes = []
    for level in range(4):
        after = _optimise(SAMPLES[name], mode, level, tmp_path)["after"]
        sizes.append(tuple(after.values()))
    assert sizes == sorted(sizes, reverse=True)


def test_opt_keeps_the_head_and_the_encoder(random_network, tmp_path):
    net = unroll(random_network(3))
    save_netlist(tmp_path / "n.npz", net)
    bits = np.random.default_rng(0).integers(0, 2, (100, net.n_inputs)).astype(bool)
    for mode in ("gates", "aiger"):
        opt(tmp_path / "n.npz", tmp_path / "o.npz", level=1, mode=mode)
        back = read_circuit(tmp_path / "o.npz")
        assert back.encoder == net.encoder
        assert back.digest == net.digest
        assert (scores_of_bits(back, bits) == scores_of_bits(net, bits)).all()


def test_circuits_without_logic(tmp_path):
    for net in (NetlistBuilder(3).build([0, 1, 2, 5]), NetlistBuilder(0).build([1])):
        write_aiger(net, tmp_path / "i.aig")
        for target in ("o.aag", "o.v"):
            result = opt(tmp_path / "i.aig", tmp_path / target, level=2)
            assert result["after"]["depth"] == 0
            assert values(read_circuit(tmp_path / target), [0]) == values(net, [0])


def faulty(net: Netlist) -> Netlist:
    return net.with_(outputs=net.outputs ^ 1)


def test_a_wrong_pass_is_caught_and_nothing_written(tmp_path, monkeypatch):
    sample = SAMPLES["int2float"]
    write_aiger(sample.net, tmp_path / "in.aig")

    def pipeline(net, level, **options):
        return PipelineResult(faulty(net), (), np.zeros(0, np.int64))

    monkeypatch.setattr(converting, "run_pipeline", pipeline)
    with pytest.raises(CheckFailedError, match="not equal to its source, nothing is written"):
        opt(tmp_path / "in.aig", tmp_path / "o.v", mode="gates")
    honest = converting._abc
    monkeypatch.setattr(
        converting,
        "_abc",
        lambda script, a, b: honest(script, a, b) if script == "strash" else faulty(_one_less(a)),
    )
    with pytest.raises(CheckFailedError, match="nothing is written"):
        opt(tmp_path / "in.aig", tmp_path / "o.aig", level=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.aig"]


def test_undecided_as_a_whole_is_proved_pass_by_pass(tmp_path, monkeypatch):
    write_aiger(SAMPLES["int2float"].net, tmp_path / "in.aig")
    honest, asked = converting.prove_equal, []

    def whole_is_undecided(before, after, **options):
        asked.append((before, after))
        if len(asked) == 1:
            return Proof("undecided", "none", None, 0.0, reason="too hard")
        return honest(before, after, **options)

    monkeypatch.setattr(converting, "prove_equal", whole_is_undecided)
    proof = opt(tmp_path / "in.aig", tmp_path / "o.v", mode="gates", level=2)["proof"]
    assert (proof["result"], proof["method"]) == ("equivalent", "abc cec, pass by pass")
    assert proof["reason"] == "too hard"
    assert proof["coverage"].startswith(f"each of {len(asked) - 1} passes")
    (before, after), steps = asked[0], asked[1:]
    assert steps[0][0].content_digest() == before.content_digest()
    assert steps[-1][1].content_digest() == after.content_digest()


def tangle(seed: int) -> Netlist:
    """60 random gates of nearby signals, in which ABC and the passes stop at different places."""
    rng = np.random.default_rng(seed)
    builder, nodes = NetlistBuilder(8), list(range(1, 9))
    for _ in range(60):
        near = sorted(set(nodes[-14:] + nodes[:8]))
        a, b = sorted(rng.choice(near, 2, replace=False).tolist())
        nodes.append(builder.gate(int(rng.choice([8, 14, 6, 4, 2, 7])), a, b))
    return builder.build([2 * node for node in nodes[-6:]])


@pytest.fixture
def short_scripts(monkeypatch):
    """One command of ABC, once: enough for crossing to win."""
    scripts = {0: (), 1: (converting._RESYN2,), 2: (), 3: ()}
    monkeypatch.setattr(converting, "SCRIPTS", scripts)
    monkeypatch.setattr(converting, "MAX_ROUNDS", {0: 0, 1: 1, 2: 0, 3: 0})


def test_crossing_beats_the_passes_and_is_proved_once(tmp_path, monkeypatch, short_scripts):
    source = tmp_path / "in.aig"
    write_aiger(tangle(0), source)
    alone = run_pipeline(read_circuit(source), 3, care="none").net
    honest, asked = converting.prove_equal, []

    def first_is(verdict):
        def prove(before, after, **options):
            asked.append(after)
            if len(asked) == 1 and verdict == "undecided":
                return Proof("undecided", "none", None, 0.0, reason="too hard")
            return honest(before, after, **options)

        asked.clear()
        monkeypatch.setattr(converting, "prove_equal", prove)
        return opt(source, tmp_path / "o.npz", mode="gates", level=3)

    after = first_is("honest")["after"]
    assert tuple(after.values()) < (alone.n_gates, alone.depth)
    assert len(asked) == 1
    result = first_is("undecided")
    assert read_circuit(tmp_path / "o.npz").content_digest() == alone.content_digest()
    assert result["after"] == {"gates": alone.n_gates, "depth": alone.depth}
    assert result["proof"]["method"] == "abc cec, pass by pass"
    assert result["proof"]["reason"] == "what ABC made smaller: too hard"


def test_crossing_makes_fewer_ands(tmp_path, monkeypatch, short_scripts):
    write_aiger(tangle(7), tmp_path / "in.aig")

    def ands():
        return opt(tmp_path / "in.aig", tmp_path / "o.aig", level=3)["after"]["ands"]

    crossed = ands()
    monkeypatch.setattr(converting, "CROSSED_LEVEL", 9)
    assert crossed < ands()


@pytest.mark.parametrize("result", ["undecided", "different"])
def test_a_pass_without_a_proof_is_no_proof(result, tmp_path, monkeypatch):
    write_aiger(SAMPLES["int2float"].net, tmp_path / "in.aig")
    asked = []

    def undecided(before, after, **_):
        asked.append(after)
        verdict = result if len(asked) == 3 else "undecided" if len(asked) == 1 else "equivalent"
        return Proof(verdict, "none", None, 0.0, reason="too hard")

    monkeypatch.setattr(converting, "prove_equal", undecided)
    said = "too hard; dce: too hard" if result == "undecided" else "'dce' is proved wrong"
    with pytest.raises(CheckFailedError, match=said):
        opt(tmp_path / "in.aig", tmp_path / "o.v", mode="gates", level=2)
    assert [path.name for path in tmp_path.iterdir()] == ["in.aig"]


def _one_less(path: Path) -> Netlist:
    """The circuit of `path` with an AND taken out, so that it looks better."""
    (path.parent / "next.aig").write_bytes(path.read_bytes())
    net = read_aiger(path)
    top = net.first_gate + net.n_gates - 1
    literal = np.where(net.outputs >> 1 == top, 0, net.outputs)
    keep = slice(0, net.n_gates - 1)
    return net.with_(
        tt=net.tt[keep],
        in0=net.in0[keep],
        in1=net.in1[keep],
        origin=net.origin[keep],
        outputs=literal,
        level_ptr=np.minimum(net.level_ptr, net.n_gates - 1),
    )


def test_a_script_that_takes_too_long_is_left_out(tmp_path, monkeypatch):
    sample = SAMPLES["priority"]
    write_aiger(sample.net, tmp_path / "in.aig")
    honest = converting._abc

    def slow(script, source, target):
        if script.startswith("dc2"):
            raise ToolTimeoutError("too long")
        return honest(script, source, target)

    monkeypatch.setattr(converting, "_abc", slow)
    result = opt(tmp_path / "in.aig", tmp_path / "o.aig", level=2)
    assert any(entry["ands"] is None for entry in result["tries"])
    check_meaning(sample, tmp_path / "o.aig")


def test_a_model_is_unrolled(random_network, tmp_path):
    from gate2hw.ir.store import save_network

    network = random_network(1)
    save_network(tmp_path / "m.safetensors", network)
    result = convert(tmp_path / "m.safetensors", tmp_path / "n.npz")
    assert result["gates"] == unroll(network).n_gates
    assert read_circuit(tmp_path / "n.npz") == unroll(network)


def test_mode_and_care_that_do_not_go_together(tmp_path):
    with pytest.raises(InputError, match="leave --care out"):
        opt(tmp_path / "a.npz", tmp_path / "b.npz", mode="aiger", care="thermometer")
    with pytest.raises(InputError, match="modes are gates and aiger"):
        opt(tmp_path / "a.npz", tmp_path / "b.npz", level=7)


def run(capsys, *argv: object) -> tuple[int, str, str]:
    try:
        code = main([str(word) for word in argv])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_convert_from_the_command_line(capsys, tmp_path):
    net = SAMPLES["adder"].net.with_(
        head=Head(np.array([0, 33]), np.ones(33, np.int32), np.zeros(1, np.int64))
    )
    save_netlist(tmp_path / "n.npz", net)
    code, out, err = run(capsys, "convert", tmp_path / "n.npz", tmp_path / "n.blif")
    assert code == 0
    assert "n.blif: 160 gates" in out
    assert "note: BLIF holds no sums" in err
    code, out, _ = run(capsys, "convert", tmp_path / "n.npz", tmp_path / "n.json", "--json")
    assert json.loads(out)["outputs"] == 33
    words = random_words(net, 2, np.random.default_rng(0))
    back = read_circuit(tmp_path / "n.blif")
    assert (simulate(back, words) == simulate(net, words)).all()


@pytest.mark.parametrize("suffix", [".aag", ".aig", ".blif", ".c", ".json", ".npz", ".v"])
def test_info_knows_every_format(suffix, capsys, tmp_path):
    save_netlist(tmp_path / "n.npz", SAMPLES["int2float"].net)
    convert(tmp_path / "n.npz", tmp_path / f"i{suffix}")
    code, out, _ = run(capsys, "info", tmp_path / f"i{suffix}", "--json")
    assert code == 0
    assert json.loads(out)["inputs"] == 11
    assert json.loads(out)["kind"].startswith("netlist")


def test_opt_from_the_command_line(capsys, tmp_path):
    write_aiger(SAMPLES["int2float"].net, tmp_path / "i.aig")
    code, out, _ = run(capsys, "opt", tmp_path / "i.aig", "-o", tmp_path / "o.aig", "-O", "1")
    assert code == 0
    assert "81 -> " in out
    assert "proved equivalent (abc cec" in out
    code, out, _ = run(capsys, "opt", tmp_path / "i.aig", "-o", tmp_path / "o.v", "--json")
    assert json.loads(out)["mode"] == "gates"


def test_import_from_the_command_line(capsys, tmp_path):
    out = tmp_path / "m" / "model.safetensors"
    argv = ["import", DATA / "difflogic64.c", "--from", "difflogic", "-o", out]
    code, text, _ = run(capsys, *argv, "--check", DATA / "circuit.check.npz")
    assert code == 2
    assert not out.exists()
    code, text, _ = run(capsys, *argv)
    assert code == 0
    assert "equal to the original, evaluated plainly on 256 inputs" in text
    assert load_network(out).group_sum.n_classes == 3
    # and it compiles as any model does
    code, text, _ = run(capsys, "compile", out, "-o", tmp_path / "b")
    assert code == 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["convert", "none.aig", "o.v"], "none.aig: cannot be read"),
        (["convert", "none.aig", "o.xyz"], "names no netlist format"),
        (["convert", "none.npz", "o.v"], "no such netlist file"),
        (["opt", "none.blif", "-o", "o.v"], "none.blif: cannot be read"),
        (["opt", "none.blif"], "-o"),
        (["opt", "a.aig", "-o", "b.aig", "-O", "9"], "invalid choice"),
        (["opt", "a.aig", "-o", "b.aig", "--timeout", "-1"], "no time in seconds"),
        (["import", "none.pt", "--from", "torchlogix", "-o", "m"], "none.pt: no such file"),
        (["import", "none.pt", "-o", "m"], "--from"),
        (["import", "x.pt", "--from", "dwn", "-o", "m", "--spec", "none.toml"], "none.toml"),
    ],
)
def test_bad_input_is_exit_2_and_leaves_nothing(capsys, argv, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert said in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["convert", "opt", "import"])
def test_help_shows_an_example(command, capsys):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"gate2hw {command} " in out.split("example")[1].replace("\n", " ")


def one_gate(tmp_path, tt):
    builder = NetlistBuilder(2)
    path = tmp_path / "in.blif"
    write_blif(builder.build([2 * builder.gate(tt, 1, 2)]), path)
    return path


def test_a_care_set_needs_an_encoder(tmp_path):
    with pytest.raises(InputError, match="no encoder"):
        opt(one_gate(tmp_path, 8), tmp_path / "out.blif", care="thermometer")
    assert not (tmp_path / "out.blif").exists()


def test_convert_says_how_many_ands_an_aiger_file_has(tmp_path):
    found = convert(one_gate(tmp_path, 6), tmp_path / "out.aig")
    assert found["notes"] == ["AIGER writes the gates as 3 ANDs"]
