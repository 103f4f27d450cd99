/* What the stages of planning hand on: plan.c makes ops, order.c orders them, slots.c places them. */
#ifndef GATE2HW_WORK_H
#define GATE2HW_WORK_H

#include "cover.h"
#include "engine.h"

enum { N_FUNCTIONS = 16 + 256 };

struct op {
    int32_t result;   /* node; n_nodes + i for the i-th inverter before an output */
    int32_t operand[3];
    int32_t function; /* as struct run has it */
    int32_t n;
};

struct work {
    const struct netlist *net;
    struct cover cover;
    int64_t n_nodes, n_ops;
    struct op *ops;     /* in topological order */
    int32_t *op_of;     /* (n_nodes + n_outputs,) op that gives the node, or -1 */
    uint8_t *inverted;  /* (n_nodes,) whether its slot holds the complement */
    int32_t *output;    /* (n_outputs,) node that holds the output; -1, -2: constant 0, 1 */
    int32_t *order;     /* (n_ops,) as they are executed */
};

/* All return 0 where memory runs out. */
int order_depth_first(struct work *w, const int32_t *roots, int64_t n_roots);
int schedule(struct work *w, int64_t window, int64_t n_all_ops);
int part_outputs(struct work *w, struct plan *plan, int32_t slot_words, int64_t *part_end);
int give_slots(struct work *w, struct plan *plan, int32_t slot_words, const int64_t *part_end);

#endif
