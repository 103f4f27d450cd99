/* Which gates become ops, and of which signals: a cover of the netlist by functions of up to k
 * signals. */
#ifndef GATE2HW_COVER_H
#define GATE2HW_COVER_H

#include "engine.h"

struct cut {
    int32_t leaf[3]; /* rising node ids */
    uint8_t n;       /* leaves, 2 or 3 (1 while a gate alone stands for itself) */
    uint8_t table;   /* bit 4 a + 2 b + c is f(a, b, c) of the three leaves */
    float cost;
};

struct cover {
    int64_t n_inputs, n_gates, most_cuts;
    int32_t *literal;  /* (nodes,) 2 node + complement that each node is worth after folding */
    uint8_t *tt;       /* (gates,) after folding; f(0, 0) = 0, 0 where the gate is no more */
    int32_t *a, *b;    /* (gates,) nodes */
    struct cut *cuts;  /* (gates, most_cuts) */
    uint8_t *n_cuts, *chosen; /* (gates,) */
    int32_t *reads;    /* (nodes,) by chosen cuts and outputs; a gate that none reads has no op */
    float *flow;       /* (nodes,) */
};

int cover_make(struct cover *cover, const struct netlist *net, int32_t k);
void cover_free(struct cover *cover);
int64_t cover_size(const struct cover *cover);

/* The literal that a literal of the netlist has become. */
static inline int32_t cover_literal(const struct cover *cover, int64_t literal)
{
    return cover->literal[literal >> 1] ^ (int32_t)(literal & 1);
}

/* The cut of a gate (by its node) that has an op, else NULL. */
static inline const struct cut *cover_cut(const struct cover *cover, int64_t node)
{
    const int64_t gate = node - 1 - cover->n_inputs;
    if (cover->tt[gate] == 0 || cover->reads[node] == 0)
        return NULL;
    return &cover->cuts[gate * cover->most_cuts + cover->chosen[gate]];
}

#endif
