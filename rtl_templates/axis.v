// gate2hw_axis: the model with the names that AXI4-Stream gives its clock and reset.
//
// `aresetn` is active low and synchronous to `aclk` (proc_sys_reset, or two flip-flops of yours):
// held low for one rising edge it resets everything that needs it; both streams are idle meanwhile.
// `frame_error` pulses for one clock after a frame of wrong length, which gives no result.
module gate2hw_axis #(
    parameter TDATA_BITS = 8  // as compiled: not to be changed
) (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axis:m_axis, ASSOCIATED_RESET aresetn" *)
    input  wire                  aclk,
    (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST" *)
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input  wire                  aresetn,
    input  wire [TDATA_BITS-1:0] s_axis_tdata,
    input  wire                  s_axis_tvalid,
    output wire                  s_axis_tready,
    input  wire                  s_axis_tlast,
    output wire [TDATA_BITS-1:0] m_axis_tdata,
    output wire                  m_axis_tvalid,
    input  wire                  m_axis_tready,
    output wire                  m_axis_tlast,
    output wire                  frame_error
);

    gate2hw_top model (
        .clk(aclk),
        .rst(!aresetn),
        .s_axis_tdata(s_axis_tdata),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .s_axis_tlast(s_axis_tlast),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready),
        .m_axis_tlast(m_axis_tlast),
        .frame_error(frame_error)
    );

endmodule
