"""The benches are tested themselves: every planted fault must fail them, for the right reason."""

from __future__ import annotations

import re

import pytest

FEW = {"stalls": 20, "blocked": 10, "reset": 6, "malformed": 10, "padding": 4}

SHIM = """
module lgn_top (
    input wire clk, input wire rst,
    input wire [7:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
    input wire s_axis_tlast,
    output wire [7:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready,
    output wire m_axis_tlast, output wire frame_error);
    wire s_ready, m_valid, error;
    wire [7:0] m_data;
    // Whether the output stood still, with a beat waiting, at the last edge.
    reg still;
    reg [5:0] n_still, n_beats;
    reg was_reset = 0;
    reg late_error;
    always @(posedge clk) begin
        still <= !rst && m_axis_tvalid && !m_axis_tready;
        n_still <= rst || !m_valid || m_axis_tready ? 0 : n_still + 1;
        if (rst) n_beats <= 0;
        else if (s_axis_tvalid && s_axis_tready) n_beats <= n_beats == 5 ? 0 : n_beats + 1;
        if (rst) was_reset <= 1;
        late_error <= error;
    end
    lgn_top_real real_top (
        .clk(clk), .rst({rst}), .s_axis_tdata({s_data}), .s_axis_tvalid({s_valid}),
        .s_axis_tready(s_ready), .s_axis_tlast({s_last}), .m_axis_tdata(m_data),
        .m_axis_tvalid(m_valid), .m_axis_tready({m_ready}), .m_axis_tlast(m_axis_tlast),
        .frame_error(error));
    assign s_axis_tready = {ready};
    assign m_axis_tdata = {data};
    assign m_axis_tvalid = {valid};
    assign frame_error = {error};
endmodule
"""
HEALTHY = {
    "rst": "rst",
    "s_data": "s_axis_tdata",
    "s_valid": "s_axis_tvalid",
    "s_last": "s_axis_tlast",
    "m_ready": "m_axis_tready",
    "ready": "s_ready",
    "data": "m_data",
    "valid": "m_valid",
    "error": "error",
}


def shim(text, **faults):
    """The top renamed, inside a module of its old name that has a fault in its glue."""
    assert set(faults) <= set(HEALTHY)
    renamed = re.sub(r"\bmodule lgn_top(?=[ (])", "module lgn_top_real", text)
    assert renamed != text
    glue = SHIM
    for name, value in {**HEALTHY, **faults}.items():
        glue = glue.replace("{" + name + "}", value)
    return renamed + glue


def failed_tests(run):
    return {name for name, test in run.result["tests"].items() if not test["passed"]}


KINDS = pytest.mark.parametrize("kind", ["core", pytest.param("top", marks=pytest.mark.slow)])


@pytest.fixture
def design(small_design, tmp_path):
    return small_design.copy(tmp_path)


@pytest.mark.slow
def test_the_shim_itself_is_harmless(design, icarus):
    design.edit("top", shim)
    run = design.run("top", icarus, frames=FEW)
    assert run.passed, run.log


@KINDS
def test_one_flipped_gate(design, icarus, kind):
    def flip(text):
        # The gate that drives an output: inverted, it moves a score on every vector.
        driver = re.search(r"assign y\[4\] = ~?(n\d+);", text)[1]
        return re.sub(rf"wire {driver} = (.*);", rf"wire {driver} = ~(\1);", text)

    design.edit("gates", flip)
    run = design.run(kind, icarus, frames=FEW)
    assert not run.passed
    assert run.result["mismatches"] == run.result["n_compared"]
    assert run.result["first_mismatch"]["x"] is not None


@pytest.mark.parametrize("output", ["class", pytest.param("scores", marks=pytest.mark.slow)])
def test_ties_to_the_highest_index(nets, make_design, icarus, output):
    design = make_design(nets.net(n_features=6), output=output)

    def lose(text):
        changed, count = re.subn(r"(assign second_\w+ = .*) > ", r"\1 >= ", text)
        assert count
        return changed

    design.edit("core", lose)
    run = design.run("core", icarus, n_random=0, n_golden=0, n_corners=0, frames=FEW)
    assert not run.passed
    # Only tie vectors are given, each of them must see it.
    assert run.result["tests"]["all_vectors"]["mismatches"] == run.result["n_ties"] == 16
    assert run.result["first_mismatch"]["kind"] == "tie"


def test_tvalid_dropped_under_stall(design, icarus):
    design.edit(
        "top", lambda text: shim(text, valid="m_valid & ~still", m_ready="m_axis_tready & ~still")
    )
    run = design.run("top", icarus, frames=FEW)
    assert "random_stalls" in failed_tests(run)
    assert "tvalid fell before the beat was taken" in run.log
    # nothing is lost: the monitor alone sees it
    assert run.result["tests"]["random_stalls"]["mismatches"] == 0


def test_frame_error_missing(design, icarus):
    design.edit("top", lambda text: shim(text, error="1'b0"))
    run = design.run("top", icarus, frames=FEW)
    assert failed_tests(run) == {"malformed_frames"}
    assert "frame_error was high in 0 cycles, expected 10" in run.log


def test_result_lost_under_back_pressure(design, icarus):
    lost = "m_axis_tready | (n_still == 30)"
    design.edit("top", lambda text: shim(text, m_ready=lost))
    run = design.run("top", icarus, frames=FEW)
    assert "blocked_sink" in failed_tests(run)
    assert run.result["mismatches"] > 0 or run.result["n_violations"] > 0


FAULTS = {
    "frame_error twice": ({"error": "error | late_error"}, {"malformed_frames"}),
    "frame_error on good frames": ({"error": "n_beats == 5"}, {"back_to_back"}),
    "payload not held": ({"data": "m_data ^ {7'b0, still}"}, {"random_stalls", "blocked_sink"}),
    "tvalid waits for tready": ({"valid": "m_valid & m_axis_tready"}, {"blocked_sink"}),
    "tlast ignored": ({"s_last": "n_beats == 5"}, {"malformed_frames"}),
    "reset ignored": ({"rst": "rst & ~was_reset"}, {"reset_in_frame"}),
    "stalls nobody asked for": (
        {"ready": "s_ready & (n_beats != 3 | late)", "s_valid": "s_axis_tvalid & s_axis_tready"},
        {"back_to_back"},
    ),
    "tready stuck": ({"ready": "1'b0", "s_valid": "1'b0"}, {"back_to_back", "blocked_sink"}),
    "X on tvalid": ({"valid": "m_valid ? 1'b1 : 1'bx"}, {"back_to_back"}),
    "X in the result": ({"data": "m_data[0] ? m_data : 8'hxx"}, {"back_to_back"}),
    "wrong lane bit": ({"s_data": "{s_axis_tdata[7:3], 3'b0}"}, {"back_to_back"}),
    "beats lost when stalled": ({"s_valid": "s_axis_tvalid & ~still"}, {"random_stalls"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_the_top(design, icarus, name):
    faults, expected = FAULTS[name]
    waits = "s_axis_tvalid && n_beats == 3 && !s_axis_tready"
    late = f"    reg late;\n    always @(posedge clk) late <= !rst && {waits};\n"

    def plant(text):
        return shim(text, **faults).replace("    reg late_error;\n", "    reg late_error;\n" + late)

    design.edit("top", plant)
    run = design.run("top", icarus, frames=FEW)
    assert not run.passed
    assert expected <= failed_tests(run), run.result["violations"]


@pytest.mark.slow
def test_a_beat_that_waits_costs_a_later_one_its_bit(nets, make_design, icarus, tmp_path):
    """What is offered stands still, as the monitor sees; only a bit behind it is lost."""
    design = make_design(nets.net(n_features=6, group=12), output="scores").copy(tmp_path)

    def lose(text):
        changed, count = re.subn(r"= data_0;", "= data_0 & 1'b1;", text)
        assert count == 1
        return changed

    design.edit("top", lose)
    run = design.run("top", icarus, frames=FEW)
    assert "every_beat_waits" in failed_tests(run)


def core_shim(**faults):
    """The core renamed, with a fault at its ports."""
    healthy = {"rst": "rst", "ce": "ce", "in_valid": "in_valid", "valid": "valid"}

    def change(text):
        glue = re.search(r"^module lgn_core(?=[ (])", text, re.MULTILINE)
        assert glue
        renamed = text[: glue.end()] + "_real" + text[glue.end() :]
        ports = {**healthy, **faults}
        n_bits, n_index, n_scores = (
            int(re.search(rf"\[(\d+):0\] {name};", text)[1])
            for name in ("bits", "class_index", "scores")
        )
        return (
            renamed
            + f"""
module lgn_core (input wire clk, input wire rst, input wire ce, input wire in_valid,
    input wire [{n_bits}:0] bits, output wire out_valid, output wire [{n_index}:0] class_index,
    output wire [{n_scores}:0] scores);
    wire valid;
    reg later;
    always @(posedge clk) if (ce) later <= valid & ~rst;
    lgn_core_real real_core (.clk(clk), .rst({ports["rst"]}), .ce({ports["ce"]}),
        .in_valid({ports["in_valid"]}), .bits(bits), .out_valid(valid),
        .class_index(class_index), .scores(scores));
    assign out_valid = {ports["valid"]};
endmodule
"""
        )

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"ce": "1'b1"}, {"gaps_and_stalls"}),
        ({"rst": "1'b0"}, {"latency", "reset_in_flight"}),
        ({"valid": "1'b1"}, {"latency", "gaps_and_stalls"}),
        ({"valid": "later"}, {"latency", "all_vectors"}),
        ({"in_valid": "1'b0"}, {"latency", "all_vectors"}),
    ],
    ids=["ce ignored", "no reset", "always valid", "valid late", "never valid"],
)
def test_faults_of_the_core(design, icarus, faults, expected):
    design.edit("core", core_shim(**faults))
    run = design.run("core", icarus, frames=FEW)
    assert not run.passed
    assert expected <= failed_tests(run), run.result["violations"]


@pytest.mark.slow
def test_a_healthy_core_passes_through_the_shim(design, icarus):
    design.edit("core", core_shim())
    assert design.run("core", icarus, frames=FEW).passed


@pytest.mark.slow
def test_padding_that_leaks_into_a_feature(nets, make_design, icarus):
    design = make_design(nets.net(n_features=5), output="scores", bus_bytes=2)

    def leak(text):
        wide = re.sub(r"\[7:0\] (s_axis_tdata|m_axis_tdata|m_data)", r"[15:0] \1", SHIM)
        for name, value in {**HEALTHY, "s_data": LEAK}.items():
            wide = wide.replace("{" + name + "}", value)
        return re.sub(r"\bmodule lgn_top(?=[ (])", "module lgn_top_real", text) + wide

    design.edit("top", leak)
    run = design.run("top", icarus, frames={**FEW, "padding": 24})
    assert {"back_to_back", "padding_ignored"} <= failed_tests(run)


LEAK = "s_axis_tlast ? {8'b0, s_axis_tdata[7:0] ^ s_axis_tdata[15:8]} : s_axis_tdata"
