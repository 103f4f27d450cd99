// gate2hw_reset: synchronous reset, active high, after configuration and until the clock is good.
//
// This is the one place of a board that relies on an initial value: `count` is 0 when the FPGA has
// been configured (iCE40 flip-flops start at 0, ECP5's as the bitstream says). `good` may change at
// any time (a PLL's LOCK); while it is low the reset is on, and 15 clocks longer.
module gate2hw_reset (
    input  wire clk,
    input  wire good,
    output wire rst
);

    reg [1:0] good_line;
    reg [3:0] count;
    initial count = 4'd0;

    assign rst = count != 4'd15;

    always @(posedge clk) begin
        good_line <= {good_line[0], good};
        // until it is known, good_line may hold anything: only a known 1 counts
        if (good_line[1] == 1'b1) count <= rst ? count + 1'b1 : count;
        else count <= 4'd0;
    end

endmodule
