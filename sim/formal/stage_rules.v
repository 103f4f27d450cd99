// Rules of one stage of a streaming design, between two streams of groups: of each frame of
// IN_ROWS x IN_GROUPS it gives OUT_ROWS x OUT_GROUPS, none of them early, late, twice or never.
// Nothing is checked before the first reset, nor once the stream above took back an offer.
module stage_rules #(
    parameter IN_ROWS = 1,
    parameter IN_GROUPS = 1,
    parameter OUT_ROWS = 1,
    parameter OUT_GROUPS = 1,
    parameter PLACE_BITS = 1,   // of a row or group
    parameter SCAN_BITS = 1     // of a place of the stage's own scan
) (
    input wire clk,
    input wire rst,
    input wire in_valid,
    input wire in_ready,
    input wire out_valid,
    input wire out_ready,
    input wire [SCAN_BITS-1:0] scan,      // where the stage stands in its frame
    input wire [SCAN_BITS-1:0] scan_next, // where a step takes it
    output wire bad_early,      // a group is offered of a frame that has not begun to come
    output wire bad_late,       // a frame begins to go in before the one before is out
    output wire bad_offer_fell, // a group was offered, not taken, and is offered no more
    output wire bad_still,      // the output is open, there is something to do, but no step
    output wire bad_astray,     // a step to another place than the next
    output wire can_give,       // a group is given
    output wire can_wait,       // a group is offered and not taken
    output wire live,
    output wire [PLACE_BITS-1:0] in_row,
    output wire [PLACE_BITS-1:0] in_group,
    output wire [PLACE_BITS-1:0] out_row,
    output wire [PLACE_BITS-1:0] out_group,
    output wire [1:0] owed      // 0: as many frames in as out, 1: one more in, 3: one more out
);
    reg seen_reset = 1'b0, wrong = 1'b0, was_live = 1'b0;
    reg was_offered_in, was_offered_out, was_due;
    reg [SCAN_BITS-1:0] was_scan, was_next;
    reg [PLACE_BITS-1:0] in_row_now, in_group_now, out_row_now, out_group_now;
    reg [1:0] owed_now;
    wire took_back = was_live && was_offered_in && !in_valid;
    wire taken = in_valid && in_ready;
    wire given = out_valid && out_ready;
    wire in_starts = in_row_now == 0 && in_group_now == 0;
    wire in_row_ends = in_group_now == IN_GROUPS - 1;
    wire in_ends = in_row_ends && in_row_now == IN_ROWS - 1;
    wire out_row_ends = out_group_now == OUT_GROUPS - 1;
    wire out_ends = out_row_ends && out_row_now == OUT_ROWS - 1;
    wire [1:0] owed_given = given && out_ends ? owed_now - 2'd1 : owed_now;

    assign live = seen_reset && !rst && !wrong && !took_back;
    assign in_row = in_row_now;
    assign in_group = in_group_now;
    assign out_row = out_row_now;
    assign out_group = out_group_now;
    assign owed = owed_now;

    always @(posedge clk) begin
        if (rst) seen_reset <= 1'b1;
        if (rst) wrong <= 1'b0;
        else if (took_back) wrong <= 1'b1;
        was_live <= !rst && seen_reset;
        was_offered_in <= in_valid && !in_ready;
        was_offered_out <= out_valid && !out_ready;
        was_due <= out_ready && (in_valid || (owed_now == 2'd1 && !out_valid));
        was_scan <= scan;
        was_next <= scan_next;
        if (rst) begin
            in_row_now <= 0;
            in_group_now <= 0;
            out_row_now <= 0;
            out_group_now <= 0;
            owed_now <= 0;
        end else begin
            if (taken) in_group_now <= in_row_ends ? 0 : in_group_now + 1;
            if (taken && in_row_ends) in_row_now <= in_ends ? 0 : in_row_now + 1;
            if (given) out_group_now <= out_row_ends ? 0 : out_group_now + 1;
            if (given && out_row_ends) out_row_now <= out_ends ? 0 : out_row_now + 1;
            owed_now <= taken && in_ends ? owed_given + 2'd1 : owed_given;
        end
    end

    assign bad_early = live && out_valid
        && (owed_now == 2'd3 || (owed_now == 2'd0 && in_starts && !in_valid));
    assign bad_late = live && taken && in_starts && owed_given != 2'd0;
    assign bad_offer_fell = live && was_live && was_offered_out && !out_valid;
    assign bad_still = live && was_live && was_due && scan == was_scan
        && was_scan != was_next;
    assign bad_astray = live && was_live && scan != was_scan && scan != was_next;
    assign can_give = live && given;
    assign can_wait = live && was_live && was_offered_out && out_valid;
endmodule
