// Behaviour of ECP5's PLL for simulation: EHXPLLL with feedback from CLKOP.
//
// f_CLKOP = f_CLKI CLKFB_DIV / CLKI_DIV; the oscillator runs at f_CLKOP CLKOP_DIV, and CLKOS,
// CLKOS2 and CLKOS3 are it divided by their own DIV. Until LOCK, 32 input cycles after RST, the
// outputs run at a wrong frequency. LOCK never comes where phase detector (3.125..400 MHz) or oscillator
// (400..800 MHz) would be out of range, or for another feedback. Phases (CPHASE, FPHASE, the PHASE
// pins), trims, standby and the ENCLK pins are not modelled.
`timescale 1ps / 1ps

module gate2hw_ehxpll_output #(
    parameter ENABLE = "DISABLED",
    parameter DIV = 8
) (
    input  wire oscillator,  // at twice the frequency
    output reg  out
);

    integer count;

    initial begin
        out = 1'b0;
        count = 0;
    end

    always @(posedge oscillator)
        if (ENABLE == "ENABLED") begin
            count = count + 1;
            if (count >= DIV) begin
                count = 0;
                out = !out;
            end
        end

endmodule

module EHXPLLL #(
    parameter CLKI_DIV = 1,
    parameter CLKFB_DIV = 1,
    parameter CLKOP_DIV = 8,
    parameter CLKOS_DIV = 8,
    parameter CLKOS2_DIV = 8,
    parameter CLKOS3_DIV = 8,
    parameter CLKOP_ENABLE = "ENABLED",
    parameter CLKOS_ENABLE = "DISABLED",
    parameter CLKOS2_ENABLE = "DISABLED",
    parameter CLKOS3_ENABLE = "DISABLED",
    parameter CLKOP_CPHASE = 0,
    parameter CLKOS_CPHASE = 0,
    parameter CLKOS2_CPHASE = 0,
    parameter CLKOS3_CPHASE = 0,
    parameter CLKOP_FPHASE = 0,
    parameter CLKOS_FPHASE = 0,
    parameter CLKOS2_FPHASE = 0,
    parameter CLKOS3_FPHASE = 0,
    parameter FEEDBK_PATH = "CLKOP",
    parameter CLKOP_TRIM_POL = "RISING",
    parameter CLKOP_TRIM_DELAY = 0,
    parameter CLKOS_TRIM_POL = "RISING",
    parameter CLKOS_TRIM_DELAY = 0,
    parameter OUTDIVIDER_MUXA = "DIVA",
    parameter OUTDIVIDER_MUXB = "DIVB",
    parameter OUTDIVIDER_MUXC = "DIVC",
    parameter OUTDIVIDER_MUXD = "DIVD",
    parameter PLL_LOCK_MODE = 0,
    parameter PLL_LOCK_DELAY = 200,
    parameter STDBY_ENABLE = "DISABLED",
    parameter REFIN_RESET = "DISABLED",
    parameter SYNC_ENABLE = "DISABLED",
    parameter INT_LOCK_STICKY = "ENABLED",
    parameter DPHASE_SOURCE = "DISABLED",
    parameter PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED"
) (
    input  wire CLKI,
    input  wire CLKFB,
    input  wire PHASESEL1,
    input  wire PHASESEL0,
    input  wire PHASEDIR,
    input  wire PHASESTEP,
    input  wire PHASELOADREG,
    input  wire STDBY,
    input  wire PLLWAKESYNC,
    input  wire RST,
    input  wire ENCLKOP,
    input  wire ENCLKOS,
    input  wire ENCLKOS2,
    input  wire ENCLKOS3,
    output wire CLKOP,
    output wire CLKOS,
    output wire CLKOS2,
    output wire CLKOS3,
    output reg  LOCK,
    output wire INTLOCK,
    output wire REFCLK,
    output wire CLKINTFB
);

    localparam LOCK_CYCLES = 32;
    localparam real RATIO = CLKFB_DIV * 1.0 * CLKOP_DIV / CLKI_DIV;

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

    always @(posedge CLKI) begin
        if (last > 0.0) period = $realtime - last;
        last = $realtime;
        cycles = RST === 1'b1 ? 0 : cycles + 1;
        if (period > 0.0) begin
            detector_mhz = 1.0e6 / period / CLKI_DIV;
            oscillator_mhz = detector_mhz * CLKFB_DIV * CLKOP_DIV;
            in_range = detector_mhz > 3.12 && detector_mhz < 400.1 && oscillator_mhz > 399.9
                && oscillator_mhz < 800.1 && FEEDBK_PATH == "CLKOP"
                && CLKOP_ENABLE == "ENABLED";
        end
        LOCK <= cycles > LOCK_CYCLES && in_range;
    end

    // four changes a period: a rising edge for each half of the outputs' periods
    always
        if (period > 0.0 && cycles > 0) begin
            #(period / RATIO / 4.0 * (LOCK ? 1.0 : 1.37)) oscillator = !oscillator;
        end else begin
            @(posedge CLKI) oscillator = 1'b0;
        end

    gate2hw_ehxpll_output #(.ENABLE(CLKOP_ENABLE), .DIV(CLKOP_DIV)) op (oscillator, CLKOP);
    gate2hw_ehxpll_output #(.ENABLE(CLKOS_ENABLE), .DIV(CLKOS_DIV)) os (oscillator, CLKOS);
    gate2hw_ehxpll_output #(.ENABLE(CLKOS2_ENABLE), .DIV(CLKOS2_DIV)) os2 (oscillator, CLKOS2);
    gate2hw_ehxpll_output #(.ENABLE(CLKOS3_ENABLE), .DIV(CLKOS3_DIV)) os3 (oscillator, CLKOS3);

    assign INTLOCK = LOCK;
    assign REFCLK = CLKI;
    assign CLKINTFB = 1'b0;

endmodule
