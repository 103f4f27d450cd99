#include <stddef.h>
#include <stdlib.h>
#include <stdbool.h>

void logic_gate_net(char const *inp, char *out) {
	const char v0 = (char) (~inp[1]);
	const char v1 = (char) (~inp[6]);
	const char v2 = (char) (inp[2] & inp[5]);
	const char v3 = (char) (~inp[3]);
	const char v4 = (char) (~(char) 0);
	const char v5 = (char) (inp[6] ^ inp[1]);
	const char v6 = (char) (inp[1]);
	const char v7 = (char) (inp[3] & ~inp[5]);
	const char v8 = (char) (~(char) 0);
	const char v9 = (char) (~(inp[7] ^ inp[9]));
	const char v10 = (char) (~(inp[4] ^ inp[8]));
	const char v11 = (char) (~inp[0]);
	const char v12 = (char) (inp[4] & inp[6]);
	const char v13 = (char) (inp[0] & inp[3]);
	const char v14 = (char) (inp[8] ^ inp[9]);
	const char v15 = (char) (inp[2] | inp[9]);
	out[0] = (char) (v12);
	out[1] = (char) (v3 ^ v0);
	out[2] = (char) (v6 | v6);
	out[3] = (char) (v8 & v11);
	out[4] = (char) ((char) 0);
	out[5] = (char) (~v11);
	out[6] = (char) ((char) 0);
	out[7] = (char) (v13);
	out[8] = (char) (~(v8 & v1));
	out[9] = (char) (~v10 | v14);
	out[10] = (char) (~(v5 ^ v15));
	out[11] = (char) (v12 ^ v5);
}

void apply_logic_gate_net (bool const *inp, int *out, size_t len) {
    char *inp_temp = malloc(10*sizeof(char));
    char *out_temp = malloc(12*sizeof(char));
    char *out_temp_o = malloc(3*sizeof(char));
    
    for(size_t i = 0; i < len; ++i) {
    
        // Converting the bool array into a bitpacked array
        for(size_t d = 0; d < 10; ++d) {
            char res = (char) 0;
            for(size_t b = 0; b < 8; ++b) {
                res <<= 1;
                res += !!(inp[i * 10 * 8 + (8 - b - 1) * 10 + d]);
            }
            inp_temp[d] = res;
        }
    
        // Applying the logic gate net
        logic_gate_net(inp_temp, out_temp);
        
        // GroupSum of the results via logic gate networks
        for(size_t c = 0; c < 3; ++c) {  // for each class
            // Initialize the output bits
            for(size_t d = 0; d < 3; ++d) {
                out_temp_o[d] = (char) 0;
            }
            
            // Apply the adder logic gate network
            for(size_t a = 0; a < 4; ++a) {
                char carry = out_temp[c * 4 + a];
                char out_temp_o_d;
                for(int d = 3 - 1; d >= 0; --d) {
                    out_temp_o_d  = out_temp_o[d];
                    out_temp_o[d] = carry ^ out_temp_o_d;
                    carry         = carry & out_temp_o_d;
                }
            }
            
            // Unpack the result bits
            for(size_t b = 0; b < 8; ++b) {
                const char bit_mask = (char) 1 << b;
                int res = 0;
                for(size_t d = 0; d < 3; ++d) {
                    res <<= 1;
                    res += !!(out_temp_o[d] & bit_mask);
                }
                out[(i * 8 + b) * 3 + c] = res;
            }
        }
    }
    free(inp_temp);
    free(out_temp);
    free(out_temp_o);
}
