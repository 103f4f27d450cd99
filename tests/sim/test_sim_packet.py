"""packet.v beside a model that stalls, refuses or answers slowly: what the boards' bench cannot
provoke, as the generated top never does so."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate2hw.tools import registry
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.simulators import available
from sim.packets import Packet, find_packet, request

BENCH = """
`timescale 1ns / 1ps
module bench;
    localparam N = N_BYTES;
    reg clk, rst, rx_valid, s_ready, m_valid, frame_error;
    reg [7:0] rx_data;
    wire [7:0] tx_data, class_index;
    wire tx_valid, s_valid, s_last, m_ready, fault;
    wire [15:0] s_data;
    reg [15:0] m_data;
    reg [7:0] bytes [0:N-1];
    reg took_last;
    integer i, quiet, beats, lasts, sent;
    gate2hw_packet #(.BUS_BYTES(2), .FRAME_BYTES(5), .RESULT_BYTES(3)) dut (
        .clk(clk), .rst(rst), .rx_data(rx_data), .rx_valid(rx_valid), .rx_fault(1'b0),
        .rx_idle(quiet > 40), .tx_data(tx_data), .tx_valid(tx_valid), .tx_ready(1'b1),
        .s_axis_tdata(s_data), .s_axis_tvalid(s_valid), .s_axis_tready(s_ready),
        .s_axis_tlast(s_last), .m_axis_tdata(m_data), .m_axis_tvalid(m_valid),
        .m_axis_tready(m_ready), .m_axis_tlast(sent == 1), .frame_error(frame_error),
        .class_index(class_index), .fault(fault)
    );
    initial begin
        $readmemh("bytes.hex", bytes);
        clk = 0; rst = 1; rx_valid = 0; rx_data = 0; quiet = 0; beats = 0; lasts = 0; sent = 0;
        m_valid = 0; frame_error = 0; m_data = 16'h0201; s_ready = 0;
        for (i = 0; i < 8 * N + 400; i = i + 1) begin
            rx_valid = i >= 16 && i % 8 == 0 && i / 8 - 2 < N;
            if (rx_valid) rx_data = bytes[i / 8 - 2];
            quiet = rx_valid ? 0 : quiet + 1;
            s_ready = READY;
            #5;
            if (tx_valid) $display("TX %h", tx_data);
            took_last = s_valid && s_ready && s_last;
            if (s_valid && s_ready) begin
                beats = beats + 1;
                $display("BEAT %h %b", s_data, s_last);
            end
            if (m_ready) begin
                sent = sent + 1;
                m_data = 16'hxx03;
            end
            clk = 1;
            #5;
            // what follows is registered: it stands at the next rising edge
            frame_error = 0;
            if (took_last) lasts = lasts + 1;
            if (lasts > 0) begin ON_LAST end
            clk = 0;
            rst = i < 4;
        end
        $finish;
    end
endmodule
"""
ANSWERS = "if (sent < 2) m_valid = i % 3 == 0; else m_valid = 0;"
REFUSES = "frame_error = took_last;"


def run(
    work: Path, data: bytes, *, ready: str = "1", on_last: str = ANSWERS
) -> tuple[Packet | None, list[tuple[str, str]]]:
    """The answer to `data` (a byte every 8 clocks), and the beats (data, last) the model took."""
    reason = available("icarus")
    if reason is not None:
        pytest.skip(reason)
    (work / "bytes.hex").write_text("\n".join(f"{byte:02x}" for byte in data))
    bench = BENCH.replace("N_BYTES", str(len(data))).replace("READY", ready)
    (work / "bench.v").write_text(bench.replace("ON_LAST", on_last))
    program = Path(registry.find("iverilog")[0])
    source = data_dir("rtl_templates") / "packet.v"
    run_tool(
        [program, "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v", source],
        tool="iverilog",
        cwd=work,
        timeout_s=60,
        expect=["bench.vvp"],
    )
    vvp = program.with_name("vvp")
    lines = run_tool([vvp, "-n", "bench.vvp"], tool="vvp", cwd=work, timeout_s=60).stdout
    words = [line.split() for line in lines.splitlines()]
    heard = bytes(int(w[1], 16) for w in words if w[:1] == ["TX"])
    return find_packet(heard, data), [(w[1], w[2]) for w in words if w[:1] == ["BEAT"]]


FRAME = request(bytes([0x11, 0x22, 0x33, 0x44, 0x55]))


@pytest.mark.parametrize("ready", ["1", "i % 7 == 0"])
def test_a_frame_goes_in_and_its_result_comes_out(tmp_path, ready):
    packet, beats = run(tmp_path, FRAME, ready=ready)
    assert packet == Packet(0, b"\x01\x02\x03")
    assert [beat[:2] for beat in beats] == [("2211", "0"), ("4433", "0"), (beats[2][0], "1")]
    assert beats[2][0].endswith("55")


def test_a_model_that_stalls_too_long_is_told_and_the_frame_dropped(tmp_path):
    packet, beats = run(tmp_path, FRAME, ready="i > 120")
    assert packet == Packet(4, b"")
    # the model must have seen a frame of another length, ended by its last beat
    assert len(beats) != 3
    assert [last for _, last in beats] == ["0"] * (len(beats) - 1) + ["1"]


def test_a_frame_that_the_model_refuses_is_told(tmp_path):
    packet, _ = run(tmp_path, FRAME, on_last=REFUSES)
    assert packet == Packet(5, b"")


@pytest.mark.parametrize("cut", range(4, len(FRAME)))
def test_a_packet_cut_anywhere_never_gives_the_model_a_whole_frame(tmp_path, cut):
    packet, beats = run(tmp_path, FRAME[:cut])
    assert packet == Packet(3, b"")
    lasts = [last for _, last in beats]
    assert lasts in ([], ["1"], ["0", "1"], ["0", "0", "0", "1"])


def test_a_wrong_crc_never_gives_the_model_a_whole_frame(tmp_path):
    packet, beats = run(tmp_path, request(bytes(5), spoil=0x8000))
    assert packet == Packet(2, b"")
    assert [last for _, last in beats] == ["0", "0", "0", "1"]
