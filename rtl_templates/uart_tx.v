// gate2hw_uart_tx: UART transmitter; 8 data bits, least significant first, no parity, one stop bit.
//
// A byte is taken when `valid` and `ready` are high; bytes follow each other without a gap.
module gate2hw_uart_tx #(
    parameter CLOCKS_PER_BIT = 104
) (
    input  wire       clk,
    input  wire       rst,
    input  wire [7:0] data,
    input  wire       valid,
    output wire       ready,
    output wire       tx
);

    localparam TIMER_BITS = $clog2(CLOCKS_PER_BIT);
    localparam [31:0] BIT_LAST = CLOCKS_PER_BIT - 1;

    reg [8:0] shift;  // what follows the bit on the line
    reg low_now;      // the bit on the line, inverted: an FPGA that wakes with zeros sends no start bit
    reg [3:0] left;   // bits still to be sent, the one on the line included
    reg [TIMER_BITS-1:0] timer;

    wire bit_done = timer == {TIMER_BITS{1'b0}};

    assign ready = left == 4'd0 || (left == 4'd1 && bit_done);
    assign tx = !low_now;

    always @(posedge clk) begin
        if (ready && valid) begin
            low_now <= 1'b1;
            shift <= {1'b1, data};
            left <= 4'd10;
            timer <= BIT_LAST[TIMER_BITS-1:0];
        end else if (left != 4'd0) begin
            timer <= bit_done ? BIT_LAST[TIMER_BITS-1:0] : timer - 1'b1;
            if (bit_done) begin
                low_now <= !shift[0];
                shift <= {1'b1, shift[8:1]};
                left <= left - 1'b1;
            end
        end
        if (rst) begin
            low_now <= 1'b0;
            left <= 4'd0;
        end
    end

endmodule
