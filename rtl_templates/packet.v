// gate2hw_packet: packets of bytes from a line (UART, SPI) to frames of the model, and back.
//
// Request:  A5 5A  length(2)  payload(length)  CRC(2)      length: FRAME_BYTES, or 0: who is it?
// Answer:   A5 5A  status(1)  length(2)  payload(length)  CRC(2)
//
// Numbers of two bytes are little-endian. The CRC is CRC-16/CCITT-FALSE (polynomial 1021, start
// FFFF, most significant bit first, not inverted) over all that follows A5 5A; that of a good answer
// starts from the CRC of its request, so that an answer to another request does not pass for it.
// The payload of an answer is the model's result frame (class, then scores if compiled so), or 8
// bytes of its digest if the request was empty. Status 0: good; else the payload is empty:
//   1 the length is wrong   2 the CRC is wrong   3 the line: a bad stop bit, or the packet broke off
//   4 bytes came faster than the model took them  5 the model refused the frame
//
// Flow control: one packet at a time. What comes in between a request and the end of its answer is
// ignored, so the host waits for the answer. The payload goes to the model as it comes in; only its
// last beat waits for the CRC, and a packet that turns out bad is made a frame of wrong length,
// which the model drops. After a fault everything is ignored until the line is quiet (`rx_idle`),
// then the answer names the fault, and the search for A5 5A begins anew.
module gate2hw_packet #(
    parameter BUS_BYTES = 1,
    parameter FRAME_BYTES = 64,
    parameter RESULT_BYTES = 1,
    parameter [63:0] MODEL = 64'd0
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire [7:0]             rx_data,
    input  wire                   rx_valid,
    input  wire                   rx_fault,
    input  wire                   rx_idle,
    output reg  [7:0]             tx_data,
    output wire                   tx_valid,
    input  wire                   tx_ready,
    output reg  [8*BUS_BYTES-1:0] s_axis_tdata,
    output reg                    s_axis_tvalid,
    input  wire                   s_axis_tready,
    output reg                    s_axis_tlast,
    input  wire [8*BUS_BYTES-1:0] m_axis_tdata,
    input  wire                   m_axis_tvalid,
    output wire                   m_axis_tready,
    input  wire                   m_axis_tlast,
    input  wire                   frame_error,
    output reg  [7:0]             class_index,
    output reg                    fault
);

    localparam FRAME_BEATS = (FRAME_BYTES + BUS_BYTES - 1) / BUS_BYTES;
    localparam BEAT_BITS = FRAME_BEATS > 1 ? $clog2(FRAME_BEATS) : 1;
    localparam LANE_BITS = BUS_BYTES > 1 ? $clog2(BUS_BYTES) : 1;
    localparam MODEL_BYTES = 8;
    localparam [31:0] FRAME_LENGTH = FRAME_BYTES;
    localparam [31:0] RESULT_LENGTH = RESULT_BYTES;
    localparam [31:0] BEATS_LEFT = FRAME_BEATS - 1;
    localparam [31:0] LANE_LAST = BUS_BYTES - 1;
    localparam [31:0] ONE = 1;

    localparam [7:0] MARK_0 = 8'hA5;
    localparam [7:0] MARK_1 = 8'h5A;

    localparam [2:0] GOOD = 3'd0;
    localparam [2:0] BAD_LENGTH = 3'd1;
    localparam [2:0] BAD_CRC = 3'd2;
    localparam [2:0] BAD_LINE = 3'd3;
    localparam [2:0] TOO_FAST = 3'd4;
    localparam [2:0] REFUSED = 3'd5;

    localparam [3:0] AT_MARK_0 = 4'd0;
    localparam [3:0] AT_MARK_1 = 4'd1;
    localparam [3:0] AT_LENGTH_0 = 4'd2;
    localparam [3:0] AT_LENGTH_1 = 4'd3;
    localparam [3:0] AT_PAYLOAD = 4'd4;
    localparam [3:0] AT_CRC_0 = 4'd5;
    localparam [3:0] AT_CRC_1 = 4'd6;
    localparam [3:0] LAST_BEAT = 4'd7;
    localparam [3:0] TAKEN = 4'd8;
    localparam [3:0] RESULT = 4'd9;
    localparam [3:0] ANSWER = 4'd10;
    localparam [3:0] DROP = 4'd11;
    localparam [3:0] QUIET = 4'd12;

    localparam [2:0] SEND_MARK_0 = 3'd0;
    localparam [2:0] SEND_MARK_1 = 3'd1;
    localparam [2:0] SEND_STATUS = 3'd2;
    localparam [2:0] SEND_LENGTH_0 = 3'd3;
    localparam [2:0] SEND_LENGTH_1 = 3'd4;
    localparam [2:0] SEND_PAYLOAD = 3'd5;
    localparam [2:0] SEND_CRC_0 = 3'd6;
    localparam [2:0] SEND_CRC_1 = 3'd7;

    function [15:0] crc_of;
        input [15:0] old;
        input [7:0] value;
        integer i;
        begin
            crc_of = old ^ {value, 8'd0};
            for (i = 0; i < 8; i = i + 1)
                crc_of = {crc_of[14:0], 1'b0} ^ (crc_of[15] ? 16'h1021 : 16'h0000);
        end
    endfunction

    reg [3:0] state;
    reg [2:0] phase;
    reg [2:0] status;
    reg [15:0] crc;
    reg [15:0] left;    // bytes of the payload still to come, or to go
    reg [7:0] low;      // the first byte of a number of two
    reg who;            // the request was empty: the answer is the digest
    reg open;           // the model has part of a frame
    reg [BEAT_BITS-1:0] beats_left;
    reg [LANE_BITS-1:0] lane;
    reg [8*BUS_BYTES-1:0] beat;
    reg [8*MODEL_BYTES-1:0] digest;

    wire in_packet = state >= AT_LENGTH_0 && state <= AT_CRC_1;
    wire stream_free = !s_axis_tvalid || s_axis_tready;
    wire lane_last = lane == LANE_LAST[LANE_BITS-1:0];
    wire no_beats_left = beats_left == {BEAT_BITS{1'b0}};
    wire [15:0] number = {rx_data, low};
    wire has_payload = status == GOOD;
    wire sending = tx_valid && tx_ready;
    wire unused = &{1'b0, m_axis_tlast};

    reg [8*BUS_BYTES-1:0] filled;  // the beat with the byte that just came in
    reg [7:0] result_byte;
    integer k;
    always @* begin
        filled = beat;
        result_byte = m_axis_tdata[7:0];
        for (k = 0; k < BUS_BYTES; k = k + 1)
            if (lane == k[LANE_BITS-1:0]) begin
                filled[8*k +: 8] = rx_data;
                result_byte = m_axis_tdata[8*k +: 8];
            end
    end

    assign tx_valid = state == ANSWER && (phase != SEND_PAYLOAD || who || m_axis_tvalid);
    assign m_axis_tready = sending && phase == SEND_PAYLOAD && !who && (lane_last || left == 16'd1);

    always @*
        case (phase)
            SEND_MARK_0: tx_data = MARK_0;
            SEND_MARK_1: tx_data = MARK_1;
            SEND_STATUS: tx_data = {5'd0, status};
            SEND_LENGTH_0: tx_data = left[7:0];
            SEND_LENGTH_1: tx_data = left[15:8];
            SEND_PAYLOAD: tx_data = who ? digest[7:0] : result_byte;
            SEND_CRC_0: tx_data = crc[7:0];
            default: tx_data = crc[15:8];
        endcase

    always @(posedge clk) begin
        if (s_axis_tready) s_axis_tvalid <= 1'b0;

        case (state)
            AT_MARK_0: if (rx_valid && rx_data == MARK_0) state <= AT_MARK_1;
            AT_MARK_1: begin
                crc <= 16'hFFFF;
                who <= 1'b0;
                open <= 1'b0;
                lane <= {LANE_BITS{1'b0}};
                beats_left <= BEATS_LEFT[BEAT_BITS-1:0];
                if (rx_valid && rx_data == MARK_1) state <= AT_LENGTH_0;
                else if (rx_idle || rx_fault || (rx_valid && rx_data != MARK_0)) state <= AT_MARK_0;
            end
            AT_LENGTH_0: if (rx_valid) begin
                low <= rx_data;
                state <= AT_LENGTH_1;
            end
            AT_LENGTH_1: if (rx_valid) begin
                left <= number;
                who <= number == 16'd0;
                if (number == FRAME_LENGTH[15:0]) state <= AT_PAYLOAD;
                else if (number == 16'd0) state <= AT_CRC_0;
                else begin
                    status <= BAD_LENGTH;
                    state <= DROP;
                end
            end
            AT_PAYLOAD: if (rx_valid) begin
                left <= left - 1'b1;
                beat <= filled;
                lane <= lane_last ? {LANE_BITS{1'b0}} : lane + 1'b1;
                if (left == 16'd1) begin
                    state <= AT_CRC_0;
                end else if (lane_last) begin
                    if (stream_free) begin
                        s_axis_tdata <= filled;
                        s_axis_tvalid <= 1'b1;
                        s_axis_tlast <= 1'b0;
                        beats_left <= beats_left - 1'b1;
                        open <= 1'b1;
                    end else begin
                        status <= TOO_FAST;
                        state <= DROP;
                    end
                end
            end
            AT_CRC_0: if (rx_valid) begin
                low <= rx_data;
                state <= AT_CRC_1;
            end
            AT_CRC_1: if (rx_valid) begin
                status <= number == crc ? GOOD : BAD_CRC;
                if (number != crc) state <= DROP;
                else state <= who ? ANSWER : LAST_BEAT;
            end
            LAST_BEAT: if (stream_free) begin
                s_axis_tdata <= beat;
                s_axis_tvalid <= 1'b1;
                s_axis_tlast <= 1'b1;
                state <= TAKEN;
            end
            TAKEN: if (s_axis_tready) state <= RESULT;
            RESULT: if (frame_error) begin
                status <= REFUSED;
                state <= ANSWER;
            end else if (m_axis_tvalid) begin
                state <= ANSWER;
            end
            DROP: if (stream_free) begin
                // one beat ends the frame too early, unless only the last is missing: then two
                s_axis_tvalid <= open;
                s_axis_tlast <= !no_beats_left;
                open <= open && no_beats_left;
                beats_left <= ONE[BEAT_BITS-1:0];
                if (!open) state <= QUIET;
            end
            QUIET: if (rx_idle) state <= ANSWER;
            ANSWER: if (sending && phase == SEND_CRC_1) state <= AT_MARK_0;
            default: state <= AT_MARK_0;
        endcase

        if (in_packet && rx_valid && state < AT_CRC_0) crc <= crc_of(crc, rx_data);
        if (in_packet && !rx_valid && (rx_fault || rx_idle)) begin
            status <= BAD_LINE;
            state <= DROP;
        end

        if (state != ANSWER) begin
            phase <= SEND_MARK_0;
            digest <= MODEL;
        end
        if (state == RESULT || state == QUIET || state == AT_CRC_1) begin
            lane <= {LANE_BITS{1'b0}};
        end
        if (sending) begin
            if (phase != SEND_PAYLOAD) phase <= phase + 1'b1;
            case (phase)
                SEND_MARK_1: begin
                    if (!has_payload) crc <= 16'hFFFF;  // else it is that of the request
                    fault <= !has_payload;
                    left <= !has_payload ? 16'd0 : who ? MODEL_BYTES : RESULT_LENGTH[15:0];
                end
                SEND_LENGTH_1: if (!has_payload) phase <= SEND_CRC_0;
                SEND_PAYLOAD: begin
                    left <= left - 1'b1;
                    lane <= lane_last ? {LANE_BITS{1'b0}} : lane + 1'b1;
                    digest <= {8'd0, digest[8*MODEL_BYTES-1:8]};
                    if (!who && left == RESULT_LENGTH[15:0]) class_index <= tx_data;
                    if (left == 16'd1) phase <= SEND_CRC_0;
                end
                default: ;
            endcase
            if (phase >= SEND_STATUS && phase <= SEND_PAYLOAD) crc <= crc_of(crc, tx_data);
        end

        if (rst) begin
            state <= AT_MARK_0;
            phase <= SEND_MARK_0;
            s_axis_tvalid <= 1'b0;
            open <= 1'b0;
            fault <= 1'b0;
            class_index <= 8'd0;
        end
    end

endmodule
