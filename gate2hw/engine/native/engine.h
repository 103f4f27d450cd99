/* What the planner makes, the kernels run, and Python hands over. All indices are checked by the
 * caller (Netlist.verify); sizes are counts, not bytes, unless named so. */
#ifndef GATE2HW_ENGINE_H
#define GATE2HW_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif

#define GATE2HW_ENGINE_ABI 4 /* raised with each change of what the library is called with */

/* A netlist's columns: node 0 is constant 0, inputs are nodes 1 .. n_inputs, then the gates in
 * topological order; bit 2 a + b of tt is f(a, b); outputs are literals 2 node + complement. Group
 * g is the outputs group_ptr[g] .. group_ptr[g + 1], which are wanted together. */
struct netlist {
    int64_t n_inputs, n_gates, n_outputs, n_groups;
    const uint8_t *tt;
    const int32_t *in0, *in1;
    const int64_t *outputs, *group_ptr;
};

/* Ops of one function, one after the other. Functions of two signals are 0 .. 15 (as tt); those of
 * three are 16 + a table whose bit 4 a + 2 b + c is f(a, b, c), as vpternlog reads it. */
struct run {
    int32_t function;
    int32_t n_ops;
};

/* An op is its result's slot and its operands' slots: 3 or 4 numbers, 16 bits wide where all slots
 * fit, else 32. Slot 0 holds constant 0, slot 1 constant 1; neither is written. When the runs of
 * segment p are done, the outputs of part p are in their slots, until the next segment begins. */
struct segment {
    int64_t run, word; /* its first run, and the first number of its ops */
};

enum { MOST_SPARE = 8 };

struct plan {
    int64_t n_slots, n_runs, n_ops, n_words; /* n_words: numbers in `words` */
    int32_t word_bytes;                      /* 2 or 4 */
    int32_t unit;                            /* 8-byte words that a number counts */
    int32_t k;                               /* most signals that an op reads: 2 or 3 */
    struct run *runs;
    void *words;
    struct segment *segments; /* (n_parts + 1,) the last one is the end */
    /* Part p is the outputs part_output[part_ptr[p]] .. part_output[part_ptr[p + 1] - 1], all of
     * group part_group[p], which never falls; each group has a part. */
    int64_t n_parts, *part_ptr;
    int32_t *part_output, *part_group;
    void **spare; /* (MOST_SPARE,) slots of finished calls, for the next ones; taken atomically */
    int32_t *input_slot;  /* (n_inputs,), -1 where nothing reads it */
    int32_t *output_slot; /* (n_outputs,), complements included */
};

struct plan *gate2hw_plan(const struct netlist *net, int32_t k, int32_t slot_words,
                          int64_t window, const int32_t *roots, int64_t n_roots);
void gate2hw_plan_free(struct plan *plan);

/* 64 neighbouring features that are compared at once: input i of the chunk, of slot slot[i], is
 * x[first + i] >= least[i], of the type of x; slot -1 where it is no input. */
struct chunk {
    uint8_t least[128];
    int32_t slot[64];
    int64_t first;
};

/* What a netlist computes from uint8 or uint16 features. Score c is offset + the sum over the parts
 * p of group c and their columns j of 2^j times the signals in slots term[t],
 * term_ptr[p * n_columns + j] <= t < term_ptr[p * n_columns + j + 1]; it fits in n_planes bits. */
struct model {
    const struct plan *plan;
    int64_t n_features, feature_bytes, n_chunks;
    const struct chunk *chunks;
    int64_t n_classes, n_columns, n_planes;
    const int64_t *term_ptr; /* (n_parts * n_columns + 1,) */
    const int32_t *term;
    int64_t offset;
};

/* A part of a batch: samples x (n, n_features) give classes (n,) and scores (n, n_classes), either
 * of which may be NULL. */
struct batch {
    int64_t n;
    const void *x;
    int64_t *classes;
    int32_t *scores;
};

/* The same from packed bits: words (n_inputs, n_words) give out (n_outputs, n_words). */
struct bits {
    int64_t n_words, stride; /* stride: words from one signal to the next */
    int64_t n_inputs, n_outputs;
    const uint64_t *words;
    uint64_t *out;
};

/* One instruction set and number of samples a block. */
struct variant {
    const char *name;
    int32_t k;
    int32_t block; /* samples */
    int (*run)(const struct model *, const struct batch *); /* 0, or 1: out of memory */
    int (*simulate)(const struct plan *, const struct bits *);
};

#endif
