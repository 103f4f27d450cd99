// gate2hw_uart_rx: UART receiver; 8 data bits, least significant first, no parity, one stop bit.
//
// `rx` may change at any time: two flip-flops bring it into the clock domain. A start bit must
// still be low at its middle, so that spikes shorter than half a bit are no bytes. `valid` pulses
// for a byte, `fault` for one whose stop bit is low (noise, a break, the wrong baud rate). `idle`
// is high once the line has been quiet for GAP_CLOCKS. Bits must be at least 4 clocks long. Where
// a bit is sampled is known to one clock only, so that the baud rates of both ends may differ by
// 2 % with 4 clocks a bit, and by 3 % from 8 on.
module gate2hw_uart_rx #(
    parameter CLOCKS_PER_BIT = 104,
    parameter GAP_CLOCKS = 600000
) (
    input  wire       clk,
    input  wire       rst,
    input  wire       rx,
    output reg  [7:0] data,
    output reg        valid,
    output reg        fault,
    output wire       idle
);

    localparam TIMER_BITS = $clog2(CLOCKS_PER_BIT);
    localparam GAP_BITS = $clog2(GAP_CLOCKS + 1);
    localparam [31:0] BIT_LAST = CLOCKS_PER_BIT - 1;
    localparam [31:0] HALF_LAST = (CLOCKS_PER_BIT - 1) / 2;
    localparam [31:0] GAP_LAST = GAP_CLOCKS;

    reg [1:0] line;
    reg [TIMER_BITS-1:0] timer;
    reg [3:0] left;  // bits still to come, the start bit included; 0: waiting for one
    reg broken;      // the stop bit was low: no start bit before the line has been high again
    reg [GAP_BITS-1:0] quiet;

    wire level = line[1];
    wire waiting = left == 4'd0;
    wire sample = !waiting && timer == {TIMER_BITS{1'b0}};

    assign idle = quiet == GAP_LAST[GAP_BITS-1:0];

    always @(posedge clk) begin
        line <= {line[0], rx};
        valid <= 1'b0;
        fault <= 1'b0;
        if (waiting) begin
            timer <= HALF_LAST[TIMER_BITS-1:0];
            broken <= broken && !level;
            if (!level && !broken) left <= 4'd10;
        end else if (!sample) begin
            timer <= timer - 1'b1;
        end else begin
            timer <= BIT_LAST[TIMER_BITS-1:0];
            left <= left - 1'b1;
            if (left == 4'd10) begin
                if (level) left <= 4'd0;
            end else if (left == 4'd1) begin
                valid <= level;
                fault <= !level;
                broken <= !level;
            end else begin
                data <= {level, data[7:1]};
            end
        end
        if (!waiting || !level) quiet <= {GAP_BITS{1'b0}};
        else if (!idle) quiet <= quiet + 1'b1;
        if (rst) begin
            line <= 2'b11;
            left <= 4'd0;
            valid <= 1'b0;
            fault <= 1'b0;
            broken <= 1'b0;
            quiet <= {GAP_BITS{1'b0}};
        end
    end

endmodule
