// Follows one bit of one frame through a top whose core only delays that bit: any frame (the one
// in which pick is high at its first beat), any stored bit and any bit of the result. It must come
// out in the result of that frame, in its place, with the value that the frame's bytes give it.
module frame_tag #(
    parameter BUS_BITS = 8,
    parameter FRAME_BITS = 1,
    parameter RESULT_BITS = 1,
    parameter INSIDE_BITS = 1
) (
    input wire clk,
    input wire rst,
    input wire live,
    input wire pick,
    input wire taken,
    input wire [BUS_BITS-1:0] s_tdata,
    input wire [FRAME_BITS-1:0] beat,
    input wire good,
    input wire malformed,
    input wire gone,
    input wire [INSIDE_BITS-1:0] inside,
    input wire m_tvalid,
    input wire [BUS_BITS-1:0] m_tdata,
    input wire [RESULT_BITS-1:0] result_beat,
    input wire [FRAME_BITS-1:0] low_beat,     // where the bytes of the feature lie; the threshold
    input wire [2:0] low_lane,
    input wire [FRAME_BITS-1:0] high_beat,
    input wire [2:0] high_lane,
    input wire is_wide,                       // features of two bytes
    input wire [15:0] threshold,
    input wire [RESULT_BITS-1:0] out_beat,    // where the bit of the result lies
    input wire [5:0] out_bit,
    output wire bad_wrong_bit,
    output wire can_give_1,
    output wire can_give_0,
    output wire can_follow_another            // the frame came in while another was inside
);
    reg collecting = 1'b0, flying = 1'b0;
    reg [INSIDE_BITS-1:0] ahead;
    reg [15:0] value;
    reg expected, was_behind;
    wire start = taken && beat == 0 && pick && !flying;
    wire [63:0] data = s_tdata;
    wire [7:0] low_byte = taken && beat == low_beat ? data[8*low_lane +: 8] : value[7:0];
    wire [7:0] high_byte = taken && beat == high_beat ? data[8*high_lane +: 8] : value[15:8];
    wire [15:0] value_now = {is_wide ? high_byte : 8'b0, low_byte};
    wire [63:0] out_data = m_tdata;
    wire shown = live && flying && ahead == 0 && m_tvalid && result_beat == out_beat;

    always @(posedge clk) begin
        value <= value_now;
        if (rst) begin
            collecting <= 1'b0;
            flying <= 1'b0;
        end else begin
            if (malformed) collecting <= 1'b0;
            else if (good && (collecting || start)) begin
                collecting <= 1'b0;
                flying <= 1'b1;
                ahead <= inside - gone;
                was_behind <= inside != 0;
                expected <= value_now > threshold;
            end else if (start) collecting <= 1'b1;
            if (flying && gone) begin
                if (ahead == 0) flying <= 1'b0;
                else ahead <= ahead - 1;
            end
        end
    end

    assign bad_wrong_bit = shown && out_data[out_bit] != expected;
    assign can_give_1 = shown && expected;
    assign can_give_0 = shown && !expected;
    assign can_follow_another = shown && was_behind;
endmodule
