// Models of tests/data/tiny.lib, with the primitive and the specify block that real ones have.
`timescale 1ns/1ps
module INV (output Y, input A);
  assign Y = ~A;
endmodule
module BUF (output Y, input A);
  assign Y = A;
endmodule
module NAND2 (output Y, input A, B);
  assign Y = ~(A & B);
endmodule
module NOR2 (output Y, input A, B);
  assign Y = ~(A | B);
endmodule
module AND2 (output Y, input A, B);
  assign Y = A & B;
endmodule
module OR2 (output Y, input A, B);
  assign Y = A | B;
endmodule
module XOR2 (output Y, input A, B);
  assign Y = A ^ B;
endmodule
module AOI21 (output Y, input A, B, C);
  assign Y = ~((A & B) | C);
endmodule
module TIELO (output Y);
  assign Y = 1'b0;
endmodule
module TIEHI (output Y);
  assign Y = 1'b1;
endmodule
module ADDER (output CO, output S, input P, input Q, input R);
  assign {CO, S} = P + Q + R;
endmodule
primitive tiny_dff (q, d, ck);
  output q;
  input d, ck;
  reg q;
  table
    // d ck : q : next
    0 r : ? : 0;
    1 r : ? : 1;
    ? f : ? : -;
    * b : ? : -;
  endtable
endprimitive
module DFF (output Q, input CK, input D);
  tiny_dff state (Q, D, CK);
  specify
    (CK => Q) = (0.1, 0.1);
    $setup(D, posedge CK, 0.015);
  endspecify
endmodule
