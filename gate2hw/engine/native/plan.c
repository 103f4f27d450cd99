/* A netlist becomes a list of ops: folded and mapped to functions of up to k signals, then ordered
 * and given slots. */
#include "work.h"

#include <stdlib.h>
#include <string.h>

enum { REAL = 0x6bd6 }; /* bit f where the function f of two signals reads both */

static uint8_t flip(uint8_t table, int variable)
{
    const int shift = 4 >> variable;
    const uint8_t high = variable == 0 ? 0xf0 : variable == 1 ? 0xcc : 0xaa;
    return (uint8_t)((table & high) >> shift | (table & (uint8_t)~high) << shift);
}

static uint8_t swap(uint8_t table, int i, int j)
{
    uint8_t swapped = 0;
    for (int at = 0; at < 8; at++) {
        const int x = at >> (2 - i) & 1, y = at >> (2 - j) & 1;
        int from = at & ~(4 >> i) & ~(4 >> j);
        from |= x << (2 - j) | y << (2 - i);
        swapped |= (uint8_t)((table >> from & 1) << at);
    }
    return swapped;
}

/* Operands in the order that gives the least table: fewer functions, longer runs. A cut may hide
 * that its function reads one of two leaves or none; the interpreter has these among three. */
static void sort_operands(struct op *op, uint8_t table)
{
    static const int swaps[6][2] = {{0, 0}, {0, 1}, {1, 2}, {0, 1}, {1, 2}, {0, 1}};
    const int n_orders = op->n == 3 ? 6 : 2;
    int32_t order[3], best_order[3];
    uint8_t best = 0;
    memcpy(order, op->operand, sizeof order);
    for (int at = 0; at < n_orders; at++) {
        const int i = swaps[at][0], j = swaps[at][1];
        if (i != j) {
            const int32_t held = order[i];
            order[i] = order[j];
            order[j] = held;
            table = swap(table, i, j);
        }
        if (at == 0 || table < best) {
            best = table;
            memcpy(best_order, order, sizeof order);
        }
    }
    memcpy(op->operand, best_order, sizeof best_order);
    op->function = (best & 1) | (best >> 2 & 1) << 1 | (best >> 4 & 1) << 2 | (best >> 6 & 1) << 3;
    if (op->n == 3 || !(REAL >> op->function & 1)) {
        op->n = 3;
        op->function = 16 + best;
    }
}

/* Which gates are held complemented: those that only complemented outputs read as outputs. */
static void choose_polarity(struct work *w, uint8_t *is_read)
{
    const struct netlist *net = w->net;
    for (int64_t o = 0; o < net->n_outputs; o++) {
        const int32_t lit = cover_literal(&w->cover, net->outputs[o]);
        is_read[lit >> 1] |= (uint8_t)(1 << (lit & 1));
    }
    for (int64_t node = 1 + net->n_inputs; node < w->n_nodes; node++)
        w->inverted[node] = is_read[node] == 2;
}

static int add_inverter(struct work *w, int32_t node)
{
    const int32_t result = (int32_t)(w->n_nodes + w->n_ops);
    struct op *op = &w->ops[w->n_ops];
    op->result = result;
    op->operand[0] = op->operand[1] = op->operand[2] = node;
    op->n = 2;
    op->function = 7;
    w->op_of[result] = (int32_t)w->n_ops++;
    return result;
}

/* Ops of the covered gates, and inverters for outputs that need both polarities. */
static int make_ops(struct work *w)
{
    const struct netlist *net = w->net;
    uint8_t *is_read = calloc((size_t)w->n_nodes, 1);
    int32_t *inverter = calloc((size_t)w->n_nodes, sizeof *inverter);
    if (is_read == NULL || inverter == NULL) {
        free(is_read);
        free(inverter);
        return 0;
    }
    choose_polarity(w, is_read);
    for (int64_t node = 1 + net->n_inputs; node < w->n_nodes; node++) {
        const struct cut *cut = cover_cut(&w->cover, node);
        struct op *op = &w->ops[w->n_ops];
        uint8_t table;
        if (cut == NULL)
            continue;
        table = cut->table;
        op->n = cut->n;
        op->result = (int32_t)node;
        for (int i = 0; i < 3; i++) {
            op->operand[i] = cut->leaf[i < cut->n ? i : 0];
            if (i < cut->n && w->inverted[op->operand[i]])
                table = flip(table, i);
        }
        sort_operands(op, w->inverted[node] ? (uint8_t)~table : table);
        w->op_of[node] = (int32_t)w->n_ops++;
    }
    for (int64_t o = 0; o < net->n_outputs; o++) {
        const int32_t lit = cover_literal(&w->cover, net->outputs[o]);
        const int32_t node = lit >> 1;
        if (node == 0)
            w->output[o] = -1 - (lit & 1);
        else if ((lit & 1) == w->inverted[node])
            w->output[o] = node;
        else
            w->output[o] = inverter[node] ? inverter[node]
                                          : (inverter[node] = add_inverter(w, node));
    }
    free(is_read);
    free(inverter);
    return 1;
}

EXPORT void gate2hw_plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    free(plan->runs);
    free(plan->words);
    free(plan->segments);
    for (int i = 0; plan->spare != NULL && i < MOST_SPARE; i++)
        free(plan->spare[i]);
    free(plan->spare);
    free(plan->input_slot);
    free(plan->output_slot);
    free(plan->part_ptr);
    free(plan->part_output);
    free(plan->part_group);
    free(plan);
}

/* NULL where memory runs out. `window`: how many ops may be ordered by function at a time;
 * `roots`: gates whose cones are to be finished first, in this order. */
EXPORT struct plan *gate2hw_plan(const struct netlist *net, int32_t k, int32_t slot_words,
                                 int64_t window, const int32_t *roots, int64_t n_roots)
{
    struct work w = {.net = net, .n_nodes = 1 + net->n_inputs + net->n_gates};
    struct plan *plan = calloc(1, sizeof *plan);
    const size_t n_results = (size_t)(w.n_nodes + net->n_gates + net->n_outputs + 1);
    int64_t *part_end = NULL; /* (n_parts,) ops of the order that each part waits for */
    int is_made = plan != NULL && cover_make(&w.cover, net, k);
    if (is_made) {
        const size_t n_ops = (size_t)(cover_size(&w.cover) + net->n_outputs + 1);
        w.ops = malloc(sizeof *w.ops * n_ops);
        w.op_of = malloc(sizeof *w.op_of * n_results);
        w.order = malloc(sizeof *w.order * n_ops);
        w.inverted = calloc((size_t)w.n_nodes, 1);
        w.output = malloc(sizeof *w.output * (size_t)(net->n_outputs + 1));
        plan->input_slot = malloc(sizeof(int32_t) * (size_t)(net->n_inputs + 1));
        plan->spare = calloc(MOST_SPARE, sizeof *plan->spare);
        /* a part has one output at least, but for the last one of its group */
        const size_t n_parts = (size_t)(net->n_groups + net->n_outputs + 1);
        part_end = malloc(sizeof *part_end * n_parts);
        plan->segments = calloc(n_parts, sizeof *plan->segments);
        plan->part_ptr = malloc(sizeof *plan->part_ptr * n_parts);
        plan->part_group = malloc(sizeof *plan->part_group * n_parts);
        plan->part_output = malloc(sizeof(int32_t) * (size_t)(net->n_outputs + 1));
        plan->runs = malloc(sizeof *plan->runs); /* so that it is an array where there is no run */
        plan->output_slot = malloc(sizeof(int32_t) * (size_t)(net->n_outputs + 1));
        is_made = w.ops && w.op_of && w.order && w.inverted && w.output && plan->input_slot &&
                  plan->output_slot && plan->segments && plan->runs && plan->spare && part_end &&
                  plan->part_ptr && plan->part_group && plan->part_output;
    }
    if (is_made) {
        memset(w.op_of, 0xff, sizeof *w.op_of * n_results);
        is_made = make_ops(&w);
    }
    cover_free(&w.cover);
    if (is_made) {
        const int64_t n_all_ops = w.n_ops;
        is_made = order_depth_first(&w, roots, n_roots) && schedule(&w, window, n_all_ops) &&
                  part_outputs(&w, plan, slot_words, part_end) &&
                  give_slots(&w, plan, slot_words, part_end);
        plan->n_ops = w.n_ops;
        plan->k = k;
    }
    free(w.ops);
    free(w.op_of);
    free(w.order);
    free(w.inverted);
    free(w.output);
    free(part_end);
    if (!is_made) {
        gate2hw_plan_free(plan);
        return NULL;
    }
    return plan;
}
