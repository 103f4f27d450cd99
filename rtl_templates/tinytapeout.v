// tt_um_gate2hw: the model behind the 24 pins of a Tiny Tapeout tile; streams of one byte.
//
// ui_in   features, a byte a clock         uo_out  result bytes: class, then scores if compiled so
// uio[0]  in:  ui_in holds a feature       uio[4]  out: uo_out holds a result byte
// uio[1]  in:  it is the last of a frame   uio[5]  out: it is the last of a result
// uio[2]  in:  the result byte is taken    uio[6]  out: pulse, a frame of wrong length was dropped
// uio[3]  out: the feature is taken        uio[7]  unused, an input
//
// A byte moves at a rising edge of clk at which its valid and ready are both high. `rst_n` goes to
// flip-flops as a synchronous reset: hold it low over two rising edges and let it rise away from
// one. Change inputs away from rising edges too.
module tt_um_gate2hw (
    input  wire [7:0] ui_in,
    output wire [7:0] uo_out,
    input  wire [7:0] uio_in,
    output wire [7:0] uio_out,
    output wire [7:0] uio_oe,
    input  wire       ena,
    input  wire       clk,
    input  wire       rst_n
);

    wire unused = &{1'b0, ena, uio_in[7:3]};

    assign uio_oe = 8'b0111_1000;
    assign uio_out[2:0] = 3'b000;
    assign uio_out[7] = 1'b0;

    gate2hw_top model (
        .clk(clk),
        .rst(!rst_n),
        .s_axis_tdata(ui_in),
        .s_axis_tvalid(uio_in[0]),
        .s_axis_tready(uio_out[3]),
        .s_axis_tlast(uio_in[1]),
        .m_axis_tdata(uo_out),
        .m_axis_tvalid(uio_out[4]),
        .m_axis_tready(uio_in[2]),
        .m_axis_tlast(uio_out[5]),
        .frame_error(uio_out[6])
    );

endmodule
