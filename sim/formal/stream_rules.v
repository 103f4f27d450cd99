// Rules of both streams of a top, as wires that must never be high (bad_*), and events that must
// be possible (can_*). Nothing is checked before the first reset; rst may come at any time.
module stream_rules #(
    parameter FRAME_BEATS = 1,   // beats of a good frame
    parameter RESULT_BEATS = 1,  // beats of a result
    parameter BUS_BITS = 8,
    parameter CAPACITY = 1,      // most frames inside: taken whole, result not yet gone
    parameter PATIENCE = 1,      // most cycles with a frame inside and no result offered
    parameter IN_PATIENCE = 1,   // most cycles of a ready sink with the input shut
    parameter FRAME_BITS = 1,    // of a count up to FRAME_BEATS
    parameter RESULT_BITS = 1,   // of a count up to RESULT_BEATS
    parameter INSIDE_BITS = 1,   // of a count up to CAPACITY + 1
    parameter WAIT_BITS = 1,     // of a count up to PATIENCE + 1
    parameter SHUT_BITS = 1      // of a count up to IN_PATIENCE + 1
) (
    input wire clk,
    input wire rst,
    input wire s_tvalid,
    input wire s_tready,
    input wire s_tlast,
    input wire [BUS_BITS-1:0] m_tdata,
    input wire m_tvalid,
    input wire m_tready,
    input wire m_tlast,
    input wire frame_error,
    output wire bad_valid_fell,       // a beat was offered, not taken, and is offered no more
    output wire bad_payload_moved,    // or changed before it was taken
    output wire bad_reset,            // something is offered or reported right after a reset
    output wire bad_frame_error,      // not one pulse after the beat that shows a wrong length
    output wire bad_result_length,    // tlast not on the last beat of a result, or elsewhere
    output wire bad_result_invented,  // a result is offered and no good frame is inside
    output wire bad_frame_lost,       // more frames inside than there is room for
    output wire bad_no_result,        // no result offered in PATIENCE cycles, the sink ready or not
    output wire bad_input_shut,       // no beat taken in IN_PATIENCE cycles of a ready sink
    output wire can_fill,             // two frames inside
    output wire can_shut,             // the input is shut
    output wire can_recover,          // a result after a malformed frame
    output wire can_stall,            // a result's last beat taken after a stall
    output wire [FRAME_BITS-1:0] beat,
    output wire [RESULT_BITS-1:0] result_beat,
    output wire [INSIDE_BITS-1:0] inside,
    output wire live,
    output wire good,                 // the last beat of a good frame is taken
    output wire malformed,            // the beat that shows a wrong length is taken
    output wire gone                  // the last beat of a result is taken
);
    reg seen_reset = 1'b0;
    reg was_live = 1'b0, was_reset = 1'b0;
    reg was_offered, was_last, malformed_before, failed_once;
    reg [BUS_BITS-1:0] was_data;
    reg [FRAME_BITS-1:0] beat_count;
    reg [RESULT_BITS-1:0] result_count;
    reg [INSIDE_BITS-1:0] inside_count;
    reg [WAIT_BITS-1:0] waited;
    reg [SHUT_BITS-1:0] shut;
    wire taken = s_tvalid && s_tready;
    wire given = m_tvalid && m_tready;
    wire at_end = beat_count == FRAME_BEATS - 1;
    wire too_long = beat_count == FRAME_BEATS;

    assign live = seen_reset && !rst;
    assign beat = beat_count;
    assign result_beat = result_count;
    assign inside = inside_count;
    assign good = taken && s_tlast && at_end;
    assign malformed = taken && (s_tlast ? !at_end && !too_long : at_end);
    assign gone = given && m_tlast;

    always @(posedge clk) begin
        if (rst) seen_reset <= 1'b1;
        was_reset <= rst;
        was_live <= live;
        was_offered <= m_tvalid && !m_tready;
        was_data <= m_tdata;
        was_last <= m_tlast;
        malformed_before <= malformed;
        if (rst) begin
            beat_count <= 0;
            result_count <= 0;
            inside_count <= 0;
            waited <= 0;
            shut <= 0;
            failed_once <= 1'b0;
        end else begin
            if (taken) beat_count <= s_tlast ? 0 : too_long ? beat_count : beat_count + 1;
            if (given) result_count <= m_tlast ? 0 : result_count + 1;
            if (good && !gone && inside_count <= CAPACITY) inside_count <= inside_count + 1;
            if (gone && !good && inside_count != 0) inside_count <= inside_count - 1;
            waited <= m_tvalid || inside_count == 0 ? 0 : waited > PATIENCE ? waited : waited + 1;
            if (s_tready) shut <= 0;
            else if (m_tready && shut <= IN_PATIENCE) shut <= shut + 1;
            if (malformed) failed_once <= 1'b1;
        end
    end

    assign bad_valid_fell = live && was_live && was_offered && !m_tvalid;
    assign bad_payload_moved = live && was_live && was_offered && m_tvalid
        && (m_tdata != was_data || m_tlast != was_last);
    assign bad_reset = was_reset && (m_tvalid || frame_error);
    assign bad_frame_error = live && was_live && frame_error != malformed_before;
    assign bad_result_length = live && m_tvalid && m_tlast != (result_count == RESULT_BEATS - 1);
    assign bad_result_invented = live && m_tvalid && inside_count == 0;
    assign bad_frame_lost = live && inside_count > CAPACITY;
    assign bad_no_result = live && waited > PATIENCE;
    assign bad_input_shut = live && shut > IN_PATIENCE;
    assign can_fill = live && inside_count == 2;
    assign can_shut = live && was_live && !s_tready;
    assign can_recover = live && failed_once && gone;
    assign can_stall = live && was_live && was_offered && gone;
endmodule
