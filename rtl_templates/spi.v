// gate2hw_spi: SPI peripheral, mode 0 (CPOL 0, CPHA 0), most significant bit first.
//
// Oversampled: `sck`, `cs_n` and `mosi` each pass two flip-flops and everything runs on `clk`, so
// sck is data, not a clock. `miso` changes up to 4 clocks after sck falls: sck may be at most
// clk / 10, and `cs_n` stays high for 4 clocks or more. `miso` is driven all the time: one
// peripheral on the bus.
//
// `valid` pulses for a byte; a byte that `cs_n` cuts short is dropped. `idle` is high while `cs_n`
// is. A byte to send is offered by `tx_valid`; it is taken (`tx_ready`) when its first bit is
// clocked out, so none is lost where a transfer ends. Without one, zeros are sent.
module gate2hw_spi (
    input  wire       clk,
    input  wire       rst,
    input  wire       sck,
    input  wire       cs_n,
    input  wire       mosi,
    output wire       miso,
    output wire [7:0] data,
    output reg        valid,
    output wire       idle,
    input  wire [7:0] tx_data,
    input  wire       tx_valid,
    output wire       tx_ready
);

    reg [2:0] sck_line;
    reg [1:0] cs_line;
    reg [1:0] mosi_line;
    reg [2:0] count;  // bits of this byte that have come in
    reg [7:0] shift_in;
    reg [7:0] shift_out;
    reg loaded;  // shift_out holds a byte of the sender, not zeros

    wire rise = sck_line[2:1] == 2'b01;
    wire fall = sck_line[2:1] == 2'b10;

    assign idle = cs_line[1];
    assign miso = shift_out[7];
    assign data = shift_in;
    assign tx_ready = !idle && rise && count == 3'd0 && loaded;

    always @(posedge clk) begin
        sck_line <= {sck_line[1:0], sck};
        cs_line <= {cs_line[0], cs_n};
        mosi_line <= {mosi_line[0], mosi};
        valid <= 1'b0;
        if (idle) begin
            count <= 3'd0;
        end else if (rise) begin
            count <= count + 1'b1;
            shift_in <= {shift_in[6:0], mosi_line[1]};
            valid <= count == 3'd7;
        end
        if (idle || (fall && count == 3'd0)) begin
            shift_out <= tx_valid ? tx_data : 8'd0;
            loaded <= tx_valid;
        end else if (fall) begin
            shift_out <= {shift_out[6:0], 1'b0};
        end
        if (rst) begin
            sck_line <= 3'b000;
            cs_line <= 2'b11;
            valid <= 1'b0;
            loaded <= 1'b0;
        end
    end

endmodule
