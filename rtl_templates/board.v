// gate2hw_board: the top level of a board: clock, reset, line, model, lights.
//  //? template
// A line that ends with `//? word` is there on boards with that word; `gate2hw board`  //? template
// leaves the others out and fills in the parameters.  //? template
module gate2hw_board #(
    parameter BUS_BYTES = 1,
    parameter FRAME_BYTES = 64,
    parameter RESULT_BYTES = 1,
    parameter [63:0] MODEL = 64'd0,
    parameter CLOCKS_PER_BIT = 104,  //? uart
    parameter GAP_CLOCKS = 600000,  //? uart
    parameter PLL_DIVR = 4'd0,  //? ice40_pll
    parameter PLL_DIVF = 7'd0,  //? ice40_pll
    parameter PLL_DIVQ = 3'd0,  //? ice40_pll
    parameter PLL_FILTER_RANGE = 3'd1,  //? ice40_pll
    parameter PLL_CLKI_DIV = 1,  //? ecp5_pll
    parameter PLL_CLKFB_DIV = 1,  //? ecp5_pll
    parameter PLL_CLKOP_DIV = 8,  //? ecp5_pll
    parameter PLL_CLKOP_CPHASE = 7,  //? ecp5_pll
    parameter HEARTBEAT_BITS = 24,
    parameter LIGHTS = 1,
    parameter LIGHTS_LOW = 0  // lights that are on when the pin is low
) (
    input  wire clk_in,
    input  wire uart_rx,  //? uart
    output wire uart_tx,  //? uart
    input  wire spi_sck,  //? spi
    input  wire spi_cs_n,  //? spi
    input  wire spi_mosi,  //? spi
    output wire spi_miso,  //? spi
    output wire tied_high,  //? tied_high
    output wire [LIGHTS-1:0] led
);

    localparam [31:0] LOW = LIGHTS_LOW;

    wire clk;
    wire good;
    wire rst;
    wire [7:0] rx_data;
    wire rx_valid;
    wire rx_fault;
    wire rx_idle;
    wire [7:0] tx_data;
    wire tx_valid;
    wire tx_ready;
    wire [9:0] lights;
    wire unused = &{1'b0, lights};

    assign led = lights[LIGHTS-1:0] ^ LOW[LIGHTS-1:0];
    assign tied_high = 1'b1;  //? tied_high

    assign clk = clk_in;  //? no_pll
    assign good = 1'b1;  //? no_pll
    SB_PLL40_PAD #(  //? pll40_pad
    SB_PLL40_CORE #(  //? pll40_core
        .FEEDBACK_PATH("SIMPLE"),  //? ice40_pll
        .DIVR(PLL_DIVR),  //? ice40_pll
        .DIVF(PLL_DIVF),  //? ice40_pll
        .DIVQ(PLL_DIVQ),  //? ice40_pll
        .FILTER_RANGE(PLL_FILTER_RANGE)  //? ice40_pll
    ) pll (  //? ice40_pll
        .PACKAGEPIN(clk_in),  //? pll40_pad
        .REFERENCECLK(clk_in),  //? pll40_core
        .PLLOUTGLOBAL(clk),  //? ice40_pll
        .LOCK(good),  //? ice40_pll
        .BYPASS(1'b0),  //? ice40_pll
        .RESETB(1'b1)  //? ice40_pll
    );  //? ice40_pll
    (* ICP_CURRENT = "12" *) (* LPF_RESISTOR = "8" *)  //? ecp5_pll
    (* MFG_ENABLE_FILTEROPAMP = "1" *) (* MFG_GMCREF_SEL = "2" *)  //? ecp5_pll
    EHXPLLL #(  //? ecp5_pll
        .PLLRST_ENA("DISABLED"),  //? ecp5_pll
        .INTFB_WAKE("DISABLED"),  //? ecp5_pll
        .STDBY_ENABLE("DISABLED"),  //? ecp5_pll
        .DPHASE_SOURCE("DISABLED"),  //? ecp5_pll
        .OUTDIVIDER_MUXA("DIVA"),  //? ecp5_pll
        .OUTDIVIDER_MUXB("DIVB"),  //? ecp5_pll
        .OUTDIVIDER_MUXC("DIVC"),  //? ecp5_pll
        .OUTDIVIDER_MUXD("DIVD"),  //? ecp5_pll
        .FEEDBK_PATH("CLKOP"),  //? ecp5_pll
        .CLKI_DIV(PLL_CLKI_DIV),  //? ecp5_pll
        .CLKFB_DIV(PLL_CLKFB_DIV),  //? ecp5_pll
        .CLKOP_ENABLE("ENABLED"),  //? ecp5_pll
        .CLKOP_DIV(PLL_CLKOP_DIV),  //? ecp5_pll
        .CLKOP_CPHASE(PLL_CLKOP_CPHASE),  //? ecp5_pll
        .CLKOP_FPHASE(0)  //? ecp5_pll
    ) pll (  //? ecp5_pll
        .CLKI(clk_in),  //? ecp5_pll
        .CLKFB(clk),  //? ecp5_pll
        .CLKOP(clk),  //? ecp5_pll
        .LOCK(good),  //? ecp5_pll
        .RST(1'b0),  //? ecp5_pll
        .STDBY(1'b0),  //? ecp5_pll
        .PHASESEL0(1'b0),  //? ecp5_pll
        .PHASESEL1(1'b0),  //? ecp5_pll
        .PHASEDIR(1'b1),  //? ecp5_pll
        .PHASESTEP(1'b1),  //? ecp5_pll
        .PHASELOADREG(1'b1),  //? ecp5_pll
        .PLLWAKESYNC(1'b0),  //? ecp5_pll
        .ENCLKOP(1'b0)  //? ecp5_pll
    );  //? ecp5_pll

    gate2hw_reset reset (
        .clk(clk),
        .good(good),
        .rst(rst)
    );

    gate2hw_uart_rx #(  //? uart
        .CLOCKS_PER_BIT(CLOCKS_PER_BIT),  //? uart
        .GAP_CLOCKS(GAP_CLOCKS)  //? uart
    ) receiver (  //? uart
        .clk(clk),  //? uart
        .rst(rst),  //? uart
        .rx(uart_rx),  //? uart
        .data(rx_data),  //? uart
        .valid(rx_valid),  //? uart
        .fault(rx_fault),  //? uart
        .idle(rx_idle)  //? uart
    );  //? uart

    gate2hw_uart_tx #(  //? uart
        .CLOCKS_PER_BIT(CLOCKS_PER_BIT)  //? uart
    ) sender (  //? uart
        .clk(clk),  //? uart
        .rst(rst),  //? uart
        .data(tx_data),  //? uart
        .valid(tx_valid),  //? uart
        .ready(tx_ready),  //? uart
        .tx(uart_tx)  //? uart
    );  //? uart

    assign rx_fault = 1'b0;  //? spi
    gate2hw_spi spi (  //? spi
        .clk(clk),  //? spi
        .rst(rst),  //? spi
        .sck(spi_sck),  //? spi
        .cs_n(spi_cs_n),  //? spi
        .mosi(spi_mosi),  //? spi
        .miso(spi_miso),  //? spi
        .data(rx_data),  //? spi
        .valid(rx_valid),  //? spi
        .idle(rx_idle),  //? spi
        .tx_data(tx_data),  //? spi
        .tx_valid(tx_valid),  //? spi
        .tx_ready(tx_ready)  //? spi
    );  //? spi

    gate2hw_node #(
        .BUS_BYTES(BUS_BYTES),
        .FRAME_BYTES(FRAME_BYTES),
        .RESULT_BYTES(RESULT_BYTES),
        .MODEL(MODEL),
        .HEARTBEAT_BITS(HEARTBEAT_BITS)
    ) node (
        .clk(clk),
        .rst(rst),
        .rx_data(rx_data),
        .rx_valid(rx_valid),
        .rx_fault(rx_fault),
        .rx_idle(rx_idle),
        .tx_data(tx_data),
        .tx_valid(tx_valid),
        .tx_ready(tx_ready),
        .lights(lights)
    );

endmodule
