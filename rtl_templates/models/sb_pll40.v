// Behaviour of iCE40's PLLs for simulation: SB_PLL40_CORE and SB_PLL40_PAD, SIMPLE feedback.
//
// f_out = f_in (DIVF + 1) / (2 ** DIVQ (DIVR + 1)), measured from the edges of the input. Until
// LOCK, 32 input cycles after RESETB, the output runs at a wrong frequency. LOCK never comes where
// phase detector (10..133 MHz) or oscillator (533..1066 MHz) would be out of range, or for a mode
// that this model has not got. Delays, DYNAMICDELAY and the shift register are not modelled.
`timescale 1ps / 1ps

module SB_PLL40_CORE #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter DELAY_ADJUSTMENT_MODE_FEEDBACK = "FIXED",
    parameter DELAY_ADJUSTMENT_MODE_RELATIVE = "FIXED",
    parameter SHIFTREG_DIV_MODE = 1'b0,
    parameter FDA_FEEDBACK = 4'b0000,
    parameter FDA_RELATIVE = 4'b0000,
    parameter PLLOUT_SELECT = "GENCLK",
    parameter DIVR = 4'b0000,
    parameter DIVF = 7'b0000000,
    parameter DIVQ = 3'b000,
    parameter FILTER_RANGE = 3'b000,
    parameter ENABLE_ICEGATE = 1'b0,
    parameter TEST_MODE = 1'b0,
    parameter EXTERNAL_DIVIDE_FACTOR = 1
) (
    input  wire       REFERENCECLK,
    output wire       PLLOUTCORE,
    output wire       PLLOUTGLOBAL,
    input  wire       EXTFEEDBACK,
    input  wire [7:0] DYNAMICDELAY,
    output reg        LOCK,
    input  wire       BYPASS,
    input  wire       RESETB,
    input  wire       LATCHINPUTVALUE,
    output wire       SDO,
    input  wire       SDI,
    input  wire       SCLK
);

    localparam LOCK_CYCLES = 32;
    localparam real RATIO = (DIVF + 1.0) / ((DIVR + 1.0) * (1 << DIVQ));

    real last;
    real period;
    real detector_mhz;
    real oscillator_mhz;
    integer cycles;
    reg oscillator;
    reg in_range;

    initial begin
        last = 0.0;
        period = 0.0;
        cycles = 0;
        oscillator = 1'b0;
        LOCK = 1'b0;
        in_range = 1'b0;
    end

    assign PLLOUTGLOBAL = BYPASS ? REFERENCECLK : oscillator;
    assign PLLOUTCORE = PLLOUTGLOBAL;
    assign SDO = 1'b0;

    always @(posedge REFERENCECLK) begin
        if (last > 0.0) period = $realtime - last;
        last = $realtime;
        cycles = RESETB === 1'b1 ? cycles + 1 : 0;
        if (period > 0.0) begin
            detector_mhz = 1.0e6 / period / (DIVR + 1.0);
            oscillator_mhz = detector_mhz * (DIVF + 1.0);
            in_range = detector_mhz > 9.99 && detector_mhz < 133.01 && oscillator_mhz > 532.9
                && oscillator_mhz < 1066.1 && DIVQ > 0 && DIVQ < 7
                && FEEDBACK_PATH == "SIMPLE" && PLLOUT_SELECT == "GENCLK";
        end
        LOCK <= cycles > LOCK_CYCLES && in_range;
    end

    always
        if (period > 0.0 && cycles > 0) begin
            #(period / RATIO / 2.0 * (LOCK ? 1.0 : 1.37)) oscillator = !oscillator;
        end else begin
            @(posedge REFERENCECLK) oscillator = 1'b0;
        end

endmodule

module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter DELAY_ADJUSTMENT_MODE_FEEDBACK = "FIXED",
    parameter DELAY_ADJUSTMENT_MODE_RELATIVE = "FIXED",
    parameter SHIFTREG_DIV_MODE = 1'b0,
    parameter FDA_FEEDBACK = 4'b0000,
    parameter FDA_RELATIVE = 4'b0000,
    parameter PLLOUT_SELECT = "GENCLK",
    parameter DIVR = 4'b0000,
    parameter DIVF = 7'b0000000,
    parameter DIVQ = 3'b000,
    parameter FILTER_RANGE = 3'b000,
    parameter ENABLE_ICEGATE = 1'b0,
    parameter TEST_MODE = 1'b0,
    parameter EXTERNAL_DIVIDE_FACTOR = 1
) (
    input  wire       PACKAGEPIN,
    output wire       PLLOUTCORE,
    output wire       PLLOUTGLOBAL,
    input  wire       EXTFEEDBACK,
    input  wire [7:0] DYNAMICDELAY,
    output wire       LOCK,
    input  wire       BYPASS,
    input  wire       RESETB,
    input  wire       LATCHINPUTVALUE,
    output wire       SDO,
    input  wire       SDI,
    input  wire       SCLK
);

    SB_PLL40_CORE #(
        .FEEDBACK_PATH(FEEDBACK_PATH),
        .PLLOUT_SELECT(PLLOUT_SELECT),
        .DIVR(DIVR),
        .DIVF(DIVF),
        .DIVQ(DIVQ)
    ) pll (
        .REFERENCECLK(PACKAGEPIN),
        .PLLOUTCORE(PLLOUTCORE),
        .PLLOUTGLOBAL(PLLOUTGLOBAL),
        .EXTFEEDBACK(EXTFEEDBACK),
        .DYNAMICDELAY(DYNAMICDELAY),
        .LOCK(LOCK),
        .BYPASS(BYPASS),
        .RESETB(RESETB),
        .LATCHINPUTVALUE(LATCHINPUTVALUE),
        .SDO(SDO),
        .SDI(SDI),
        .SCLK(SCLK)
    );

endmodule
