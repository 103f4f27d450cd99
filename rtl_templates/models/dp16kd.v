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

// One port: which bits of a line of memory, 36 bits, it writes, and what it gives.
module gate2hw_dp16kd_port #(
    parameter WIDTH = 18,
    parameter WRITEMODE = "NORMAL",
    parameter REGMODE = "NOREG",
    parameter RESETMODE = "SYNC"
) (
    input  wire        clk,
    input  wire        on,
    input  wire        we,
    input  wire        oce,
    input  wire        rst,
    input  wire [4:0]  at,     // the address within the line, and byte enables
    input  wire [35:0] value,
    input  wire [35:0] line,   // what the memory holds
    output wire        write,
    output wire [35:0] mask,   // the bits of the line that `data` replaces
    output wire [35:0] data,
    output wire [35:0] give
);

    localparam [35:0] ALL = {36{1'b1}} >> (36 - WIDTH);

    reg [35:0] latch;  // what the array gave
    reg [35:0] out;    // behind the output register
    reg [5:0] first;   // the lowest bit of the word in the line
    reg [35:0] enabled;

    wire active = on && !(RESETMODE == "SYNC" && rst);
    wire [35:0] word = (line >> first) & ALL;

    assign write = active && we;
    assign mask = enabled << first;
    assign data = value << first;
    assign give = REGMODE == "OUTREG" ? out : latch;

    initial begin
        latch = 36'd0;
        out = 36'd0;
    end

    always @* begin
        enabled = ALL;
        case (WIDTH)
            1: first = 9 * at[4:3] + at[2:0];
            2: first = 9 * at[4:3] + 2 * at[2:1];
            4: first = 9 * at[4:3] + 4 * at[2];
            9: first = 9 * at[4:3];
            18: begin
                first = 18 * at[4];
                enabled = {{9{at[1]}}, {9{at[0]}}};
            end
            default: begin
                first = 0;
                enabled = {{9{at[3]}}, {9{at[2]}}, {9{at[1]}}, {9{at[0]}}};
            end
        endcase
    end

    always @(posedge clk) begin
        if (active) begin
            if (!we || WRITEMODE == "READBEFOREWRITE") latch <= word;
            else if (WRITEMODE == "WRITETHROUGH") latch <= (value & enabled) | (word & ~enabled);
        end
        if (oce) out <= latch;
        if (rst) begin
            latch <= 36'd0;
            out <= 36'd0;
        end
    end

    always @(posedge rst)
        if (RESETMODE == "ASYNC") begin
            latch <= 36'd0;
            out <= 36'd0;
        end

endmodule

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

    localparam LINES = 512;

    reg [35:0] mem [0:LINES-1];

    wire [17:0] di_a =
        {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
        DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [13:0] ad_a =
        {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1,
        ADA0};
    wire clk_a = CLKA ^ (CLKAMUX == "INV");
    wire [17:0] di_b =
        {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
        DIB4, DIB3, DIB2, DIB1, DIB0};
    wire [13:0] ad_b =
        {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1,
        ADB0};
    wire clk_b = CLKB ^ (CLKBMUX == "INV");
    wire write_a, write_b;
    wire [35:0] mask_a, data_a, give_a, mask_b, data_b, give_b;

    integer i;
    initial
        for (i = 0; i < LINES; i = i + 1)
            mem[i] = {INITIAL[40 * i + 20 +: 18], INITIAL[40 * i +: 18]};

    // bit by bit: the other port may write the rest of the line in the same instant
    task store;
        input [8:0] line;
        input [35:0] mask;
        input [35:0] data;
        integer k;
        for (k = 0; k < 36; k = k + 1)
            if (mask[k]) mem[line][k] <= data[k];
    endtask

    always @(posedge clk_a) if (write_a) store(ad_a[13:5], mask_a, data_a);
    always @(posedge clk_b) if (write_b) store(ad_b[13:5], mask_b, data_b);

    gate2hw_dp16kd_port #(
        .WIDTH(DATA_WIDTH_A),
        .WRITEMODE(WRITEMODE_A),
        .REGMODE(REGMODE_A),
        .RESETMODE(RESETMODE)
    ) port_a (
        .clk(clk_a),
        .on(CEA && {CSA2, CSA1, CSA0} == 3'b000 && CSDECODE_A == "0b000"),
        .we(WEA),
        .oce(OCEA),
        .rst(RSTA),
        .at(ad_a[4:0]),
        .value(DATA_WIDTH_A == 36 ? {di_b, di_a} : {18'd0, di_a}),
        .line(mem[ad_a[13:5]]),
        .write(write_a),
        .mask(mask_a),
        .data(data_a),
        .give(give_a)
    );

    gate2hw_dp16kd_port #(
        .WIDTH(DATA_WIDTH_B),
        .WRITEMODE(WRITEMODE_B),
        .REGMODE(REGMODE_B),
        .RESETMODE(RESETMODE)
    ) port_b (
        .clk(clk_b),
        .on(CEB && {CSB2, CSB1, CSB0} == 3'b000 && CSDECODE_B == "0b000"),
        .we(WEB),
        .oce(OCEB),
        .rst(RSTB),
        .at(ad_b[4:0]),
        .value({18'd0, di_b}),
        .line(mem[ad_b[13:5]]),
        .write(write_b),
        .mask(mask_b),
        .data(data_b),
        .give(give_b)
    );

    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
                DOA4, DOA3, DOA2, DOA1, DOA0} =
        DATA_WIDTH_B == 36 ? give_b[17:0] : give_a[17:0];
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
                DOB4, DOB3, DOB2, DOB1, DOB0} =
        DATA_WIDTH_B == 36 ? give_b[35:18] : give_b[17:0];

endmodule
