/* What the kernels are given. Rows are signals, `batch` samples each, side by side. */
#ifndef GATE2HW_KERNELS_H
#define GATE2HW_KERNELS_H

#include <stdint.h>
#include <string.h>

#define GATE2HW_ABI 5 /* raised with each change of what the library is called with */

struct dense {
    int64_t n_signals, n_gates, batch;
    const void *x;            /* (n_signals, batch) */
    const void *coefficients; /* (n_gates, 4): c0 + c1 a + c2 b + c3 a b */
    const int64_t *in0, *in1; /* (n_gates,) rows of x */
    void *out;                /* (n_gates, batch) */
    const void *grad;         /* (n_gates, batch), of out */
    /* who reads signal s: gate reader[r] / 2, as its input reader[r] % 2, for r in
     * reader_ptr[s] .. reader_ptr[s + 1] */
    const int64_t *reader_ptr, *reader;
    void *grad_x;             /* (n_signals, batch) */
    void *grad_coefficients;  /* (n_gates, 4) */
};

struct mix {
    int64_t n_signals, n_inputs, n_positions, n_candidates, batch;
    const void *x;         /* (n_signals, batch) */
    const void *shares;    /* (n_inputs, n_candidates) */
    const int64_t *places; /* (n_inputs * n_positions, n_candidates) rows of x */
    void *out;             /* (n_inputs * n_positions, batch) */
    const void *grad;      /* the same, of out */
    /* which places are signal s: reader[r] for r in reader_ptr[s] .. reader_ptr[s + 1] */
    const int64_t *reader_ptr, *reader;
    void *grad_x;          /* (n_signals, batch), or NULL */
    void *grad_shares;     /* (n_inputs, n_candidates) */
};

struct relax {
    int64_t n_gates;
    double scale;       /* of the logits */
    const void *logits; /* (n_gates, 16) of the functions, by truth table */
    void *coefficients; /* (n_gates, 4) */
    const void *grad;   /* the same, of the coefficients */
    void *grad_logits;  /* (n_gates, 16), or NULL: then the coefficients are worked out */
};

#define MAX_DEPTH 6
#define MAX_LEAVES 64
#define MAX_WINDOW 64 /* places of a pool's window */

struct tree {
    int64_t n_kernels, depth, batch; /* batch is whole groups: see gate2hw_group */
    /* kernels.TreeGeometry */
    int64_t channels, height, width;
    int64_t field[2], stride[2], padding[2], positions[2];
    int64_t window[2], pool_stride[2], pool_padding[2], pooled[2];
    const void *x;            /* (channels * height * width, batch) */
    void *scratch;            /* of the bytes that gate2hw_tree_scratch says, for each thread */
    const void *coefficients; /* (n_kernels * (2^depth - 1), 4), level after level */
    const int32_t *leaves;    /* (n_kernels, 2^depth, 3): channel, row, column */
    void *out;                /* (n_kernels * pooled, batch) */
    uint8_t *winner;          /* the same: which place of the window won */
    const void *grad;         /* (n_kernels * pooled, batch), of out */
    void *grad_x;             /* as x, or NULL */
    void *partial;            /* (groups, n_kernels * (2^depth - 1), 4), groups of samples */
    void *grad_coefficients;  /* (n_kernels * (2^depth - 1), 4) */
};

#endif
