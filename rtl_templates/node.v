// gate2hw_node: the model behind the packets of a line, and what the lights show.
//
// lights[0] blinks, with a period of 2 ** HEARTBEAT_BITS clocks; lights[1] is on after a packet
// that was answered with a fault; lights[9:2] are the last class, its low bit first.
module gate2hw_node #(
    parameter BUS_BYTES = 1,
    parameter FRAME_BYTES = 64,
    parameter RESULT_BYTES = 1,
    parameter [63:0] MODEL = 64'd0,
    parameter HEARTBEAT_BITS = 24
) (
    input  wire       clk,
    input  wire       rst,
    input  wire [7:0] rx_data,
    input  wire       rx_valid,
    input  wire       rx_fault,
    input  wire       rx_idle,
    output wire [7:0] tx_data,
    output wire       tx_valid,
    input  wire       tx_ready,
    output wire [9:0] lights
);

    wire [8*BUS_BYTES-1:0] s_axis_tdata;
    wire s_axis_tvalid;
    wire s_axis_tready;
    wire s_axis_tlast;
    wire [8*BUS_BYTES-1:0] m_axis_tdata;
    wire m_axis_tvalid;
    wire m_axis_tready;
    wire m_axis_tlast;
    wire frame_error;
    wire [7:0] class_index;
    wire fault;
    reg [HEARTBEAT_BITS-1:0] beats;

    assign lights = {class_index, fault, beats[HEARTBEAT_BITS-1]};

    always @(posedge clk)
        if (rst) beats <= {HEARTBEAT_BITS{1'b0}};
        else beats <= beats + 1'b1;

    gate2hw_packet #(
        .BUS_BYTES(BUS_BYTES),
        .FRAME_BYTES(FRAME_BYTES),
        .RESULT_BYTES(RESULT_BYTES),
        .MODEL(MODEL)
    ) packet (
        .clk(clk),
        .rst(rst),
        .rx_data(rx_data),
        .rx_valid(rx_valid),
        .rx_fault(rx_fault),
        .rx_idle(rx_idle),
        .tx_data(tx_data),
        .tx_valid(tx_valid),
        .tx_ready(tx_ready),
        .s_axis_tdata(s_axis_tdata),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .s_axis_tlast(s_axis_tlast),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready),
        .m_axis_tlast(m_axis_tlast),
        .frame_error(frame_error),
        .class_index(class_index),
        .fault(fault)
    );

    gate2hw_top model (
        .clk(clk),
        .rst(rst),
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
