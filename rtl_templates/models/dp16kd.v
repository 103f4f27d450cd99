// Behaviour of ECP5's block RAM for simulation: DP16KD, 18 Kbit, two ports.
//
// Widths 1, 2, 4, 9, 18 on each port; 36 where A writes and B reads (then B's high half is on DOB,
// its low half on DOA). Addresses count bits of data: a width of 9 uses ADx13..3, of 18 ADx13..4
// with ADx1..0 as byte enables, of 36 ADx13..5 with ADx3..0. A width below 9 leaves the ninth bit
// of each byte alone. Write modes NORMAL (the output stays), WRITETHROUGH, READBEFOREWRITE; output
// register (REGMODE OUTREG); reset of the output, SYNC or ASYNC, of which a synchronous one blocks
// the write; inverted clocks; initial contents. Chip selects must equal CSDECODE, of which 0b000 is modelled.
// Where both ports touch a word in one instant, reads see the old one; of two writes B's stays.
`timescale 1ps / 1ps

module DP16KD (
    input  wire DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6,
                DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
    input  wire ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1,
                ADA0,
    input  wire CEA, OCEA, CLKA, WEA, RSTA,
    input  wire CSA2, CSA1, CSA0,
    output wire DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6,
                DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
    input  wire DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6,
                DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
    input  wire ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1,
                ADB0,
    input  wire CEB, OCEB, CLKB, WEB, RSTB,
    input  wire CSB2, CSB1, CSB0,
    output wire DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6,
                DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);

    parameter DATA_WIDTH_A = 18;
    parameter DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG";
    parameter REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC";
    parameter ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000";
    parameter CSDECODE_B = "0b000";
    parameter WRITEMODE_A = "NORMAL";
    parameter WRITEMODE_B = "NORMAL";
    parameter CLKAMUX = "CLKA";
    parameter CLKBMUX = "CLKB";
    parameter GSR = "ENABLED";
    parameter INIT_DATA = "STATIC";
    parameter WID = 0;
    parameter INITVAL_00 = 320'd0;
    parameter INITVAL_01 = 320'd0;
    parameter INITVAL_02 = 320'd0;
    parameter INITVAL_03 = 320'd0;
    parameter INITVAL_04 = 320'd0;
    parameter INITVAL_05 = 320'd0;
    parameter INITVAL_06 = 320'd0;
    parameter INITVAL_07 = 320'd0;
    parameter INITVAL_08 = 320'd0;
    parameter INITVAL_09 = 320'd0;
    parameter INITVAL_0A = 320'd0;
    parameter INITVAL_0B = 320'd0;
    parameter INITVAL_0C = 320'd0;
    parameter INITVAL_0D = 320'd0;
    parameter INITVAL_0E = 320'd0;
    parameter INITVAL_0F = 320'd0;
    parameter INITVAL_10 = 320'd0;
    parameter INITVAL_11 = 320'd0;
    parameter INITVAL_12 = 320'd0;
    parameter INITVAL_13 = 320'd0;
    parameter INITVAL_14 = 320'd0;
    parameter INITVAL_15 = 320'd0;
    parameter INITVAL_16 = 320'd0;
    parameter INITVAL_17 = 320'd0;
    parameter INITVAL_18 = 320'd0;
    parameter INITVAL_19 = 320'd0;
    parameter INITVAL_1A = 320'd0;
    parameter INITVAL_1B = 320'd0;
    parameter INITVAL_1C = 320'd0;
    parameter INITVAL_1D = 320'd0;
    parameter INITVAL_1E = 320'd0;
    parameter INITVAL_1F = 320'd0;
    parameter INITVAL_20 = 320'd0;
    parameter INITVAL_21 = 320'd0;
    parameter INITVAL_22 = 320'd0;
    parameter INITVAL_23 = 320'd0;
    parameter INITVAL_24 = 320'd0;
    parameter INITVAL_25 = 320'd0;
    parameter INITVAL_26 = 320'd0;
    parameter INITVAL_27 = 320'd0;
    parameter INITVAL_28 = 320'd0;
    parameter INITVAL_29 = 320'd0;
    parameter INITVAL_2A = 320'd0;
    parameter INITVAL_2B = 320'd0;
    parameter INITVAL_2C = 320'd0;
    parameter INITVAL_2D = 320'd0;
    parameter INITVAL_2E = 320'd0;
    parameter INITVAL_2F = 320'd0;
    parameter INITVAL_30 = 320'd0;
    parameter INITVAL_31 = 320'd0;
    parameter INITVAL_32 = 320'd0;
    parameter INITVAL_33 = 320'd0;
    parameter INITVAL_34 = 320'd0;
    parameter INITVAL_35 = 320'd0;
    parameter INITVAL_36 = 320'd0;
    parameter INITVAL_37 = 320'd0;
    parameter INITVAL_38 = 320'd0;
    parameter INITVAL_39 = 320'd0;
    parameter INITVAL_3A = 320'd0;
    parameter INITVAL_3B = 320'd0;
    parameter INITVAL_3C = 320'd0;
    parameter INITVAL_3D = 320'd0;
    parameter INITVAL_3E = 320'd0;
    parameter INITVAL_3F = 320'd0;

    localparam [320*64-1:0] INITIAL = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
        INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
        INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
        INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
        INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D,
        INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
        INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F,
        INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
        INITVAL_00
    };

    localparam BYTES = 2048;

    reg [8:0] mem [0:BYTES-1];
    reg [35:0] latch_a, latch_b;  // what the array gave
    reg [35:0] out_a, out_b;      // behind the output register

    wire [17:0] di_a =
        {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
        DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [13:0] ad_a =
        {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1,
        ADA0};
    wire clk_a = CLKA ^ (CLKAMUX == "INV");
    wire on_a = CEA && {CSA2, CSA1, CSA0} == 3'b000 && CSDECODE_A == "0b000";
    wire [17:0] di_b =
        {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
        DIB4, DIB3, DIB2, DIB1, DIB0};
    wire [13:0] ad_b =
        {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1,
        ADB0};
    wire clk_b = CLKB ^ (CLKBMUX == "INV");
    wire on_b = CEB && {CSB2, CSB1, CSB0} == 3'b000 && CSDECODE_B == "0b000";
    wire [35:0] write_a = DATA_WIDTH_A == 36 ? {di_b, di_a} : {18'd0, di_a};
    wire [35:0] write_b = {18'd0, di_b};

    integer i;
    initial
        for (i = 0; i < BYTES; i = i + 1)
            mem[i] = INITIAL[20 * (i / 2) + 9 * (i % 2) +: 9];
    initial begin
        latch_a = 36'd0;
        latch_b = 36'd0;
        out_a = 36'd0;
        out_b = 36'd0;
    end

    // the word of `width` bits at an address
    function [35:0] word;
        input integer width;
        input [13:0] at;
        case (width)
            1: word = {35'd0, mem[at[13:3]][at[2:0]]};
            2: word = {34'd0, mem[at[13:3]][{at[2:1], 1'b0} +: 2]};
            4: word = {32'd0, mem[at[13:3]][{at[2], 2'b00} +: 4]};
            9: word = {27'd0, mem[at[13:3]]};
            18: word = {18'd0, mem[{at[13:4], 1'b1}], mem[{at[13:4], 1'b0}]};
            default: word = {
                mem[{at[13:5], 2'd3}], mem[{at[13:5], 2'd2}],
                mem[{at[13:5], 2'd1}], mem[{at[13:5], 2'd0}]
            };
        endcase
    endfunction

    // the word with the bytes that are enabled replaced
    function [35:0] merged;
        input integer width;
        input [13:0] at;
        input [35:0] value;
        input [35:0] old;
        begin
            merged = value;
            if (width >= 18) begin
                if (!at[0]) merged[8:0] = old[8:0];
                if (!at[1]) merged[17:9] = old[17:9];
            end
            if (width == 36) begin
                if (!at[2]) merged[26:18] = old[26:18];
                if (!at[3]) merged[35:27] = old[35:27];
            end
        end
    endfunction

    task store;
        input integer width;
        input [13:0] at;
        input [35:0] value;
        case (width)
            1: mem[at[13:3]][at[2:0]] <= value[0];
            2: mem[at[13:3]][{at[2:1], 1'b0} +: 2] <= value[1:0];
            4: mem[at[13:3]][{at[2], 2'b00} +: 4] <= value[3:0];
            9: mem[at[13:3]] <= value[8:0];
            18: begin
                if (at[0]) mem[{at[13:4], 1'b0}] <= value[8:0];
                if (at[1]) mem[{at[13:4], 1'b1}] <= value[17:9];
            end
            default: begin
                if (at[0]) mem[{at[13:5], 2'd0}] <= value[8:0];
                if (at[1]) mem[{at[13:5], 2'd1}] <= value[17:9];
                if (at[2]) mem[{at[13:5], 2'd2}] <= value[26:18];
                if (at[3]) mem[{at[13:5], 2'd3}] <= value[35:27];
            end
        endcase
    endtask

    always @(posedge clk_a) begin
        if (on_a && !(RESETMODE == "SYNC" && RSTA)) begin
            if (WEA) store(DATA_WIDTH_A, ad_a, write_a);
            if (!WEA || WRITEMODE_A == "READBEFOREWRITE")
                latch_a <= word(DATA_WIDTH_A, ad_a);
            else if (WRITEMODE_A == "WRITETHROUGH")
                latch_a <= merged(
                    DATA_WIDTH_A, ad_a, write_a, word(DATA_WIDTH_A, ad_a)
                );
        end
        if (OCEA) out_a <= latch_a;
        if (RSTA) begin
            latch_a <= 36'd0;
            out_a <= 36'd0;
        end
    end
    always @(posedge RSTA)
        if (RESETMODE == "ASYNC") begin
            latch_a <= 36'd0;
            out_a <= 36'd0;
        end

    always @(posedge clk_b) begin
        if (on_b && !(RESETMODE == "SYNC" && RSTB)) begin
            if (WEB) store(DATA_WIDTH_B, ad_b, write_b);
            if (!WEB || WRITEMODE_B == "READBEFOREWRITE")
                latch_b <= word(DATA_WIDTH_B, ad_b);
            else if (WRITEMODE_B == "WRITETHROUGH")
                latch_b <= merged(
                    DATA_WIDTH_B, ad_b, write_b, word(DATA_WIDTH_B, ad_b)
                );
        end
        if (OCEB) out_b <= latch_b;
        if (RSTB) begin
            latch_b <= 36'd0;
            out_b <= 36'd0;
        end
    end
    always @(posedge RSTB)
        if (RESETMODE == "ASYNC") begin
            latch_b <= 36'd0;
            out_b <= 36'd0;
        end

    wire [35:0] give_a = REGMODE_A == "OUTREG" ? out_a : latch_a;
    wire [35:0] give_b = REGMODE_B == "OUTREG" ? out_b : latch_b;

    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
                DOA4, DOA3, DOA2, DOA1, DOA0} =
        DATA_WIDTH_B == 36 ? give_b[17:0] : give_a[17:0];
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
                DOB4, DOB3, DOB2, DOB1, DOB0} =
        DATA_WIDTH_B == 36 ? give_b[35:18] : give_b[17:0];

endmodule
