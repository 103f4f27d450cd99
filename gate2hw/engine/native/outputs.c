/* Outputs that nothing else reads come last in their group, by function, and are handed on a few
 * at a time: so they are counted while the nearest cache has them, and take few slots. */
#include "work.h"

#include <stdlib.h>
#include <string.h>

enum { PART_WORDS = 1024 }; /* 8-byte words of the outputs that a part waits for */

struct deferred {
    int32_t *place; /* (results,) of an op's result in the order */
    int32_t *reads; /* (results,) by ops and outputs */
    int32_t *last;  /* (n_outputs,) those of a group that are done last, by function */
    int32_t *others, *order;
};

/* Whether output o is the only reader of an op. */
static int is_last(const struct work *w, const struct deferred *d, int64_t o)
{
    const int32_t node = w->output[o];
    return node >= 0 && w->op_of[node] >= 0 && d->reads[node] == 1;
}

static int32_t place_of(const struct work *w, const struct deferred *d, int32_t node)
{
    return node < 0 || w->op_of[node] < 0 ? -1 : d->place[node];
}

/* The outputs of a group, those that are done last by function: how many these are. */
static int64_t split_group(const struct work *w, const struct deferred *d, int64_t group,
                           int32_t *first, int64_t *n_first)
{
    int64_t count[N_FUNCTIONS + 1] = {0}, n_last;
    const int64_t *ptr = w->net->group_ptr + group;
    *n_first = 0;
    for (int64_t o = ptr[0]; o < ptr[1]; o++) {
        if (is_last(w, d, o))
            count[w->ops[w->op_of[w->output[o]]].function + 1]++;
        else
            first[(*n_first)++] = (int32_t)o;
    }
    for (int f = 0; f < N_FUNCTIONS; f++)
        count[f + 1] += count[f];
    n_last = count[N_FUNCTIONS];
    for (int64_t o = ptr[0]; o < ptr[1]; o++)
        if (is_last(w, d, o))
            d->last[count[w->ops[w->op_of[w->output[o]]].function]++] = (int32_t)o;
    return n_last;
}

/* How many ops of the order the outputs of a group wait for; those that are done last do so for
 * their operands. */
static int64_t find_end(const struct work *w, const struct deferred *d, int64_t group, int64_t end)
{
    for (int64_t o = w->net->group_ptr[group]; o < w->net->group_ptr[group + 1]; o++) {
        const int32_t node = w->output[o];
        if (is_last(w, d, o)) {
            const struct op *op = &w->ops[w->op_of[node]];
            for (int j = 0; j < op->n; j++)
                if (place_of(w, d, op->operand[j]) >= end)
                    end = place_of(w, d, op->operand[j]) + 1;
        } else if (place_of(w, d, node) >= end) {
            end = place_of(w, d, node) + 1;
        }
    }
    return end;
}

static void close_part(struct plan *plan, int64_t *part_end, int64_t group, int64_t n_outputs,
                       int64_t n_ops)
{
    plan->part_group[plan->n_parts] = (int32_t)group;
    part_end[plan->n_parts++] = n_ops;
    plan->part_ptr[plan->n_parts] = n_outputs;
}

static void make_parts(struct work *w, struct deferred *d, struct plan *plan, int64_t most,
                       int64_t *part_end)
{
    int64_t at = 0, end = 0, n_order = 0, n_outputs = 0;
    plan->part_ptr[0] = 0;
    for (int64_t g = 0; g < w->net->n_groups; g++) {
        int64_t n_first;
        const int64_t n_last = split_group(w, d, g, d->others, &n_first);
        end = find_end(w, d, g, end);
        for (; at < end; at++)
            if (d->place[w->ops[w->order[at]].result] >= 0)
                d->order[n_order++] = w->order[at];
        for (int64_t i = 0; i < n_first; i++)
            plan->part_output[n_outputs++] = d->others[i];
        for (int64_t i = 0; i < n_last; i++) {
            if (i && i % most == 0)
                close_part(plan, part_end, g, n_outputs, n_order);
            d->order[n_order++] = w->op_of[w->output[d->last[i]]];
            plan->part_output[n_outputs++] = d->last[i];
        }
        close_part(plan, part_end, g, n_outputs, n_order);
    }
    w->n_ops = n_order;
    memcpy(w->order, d->order, sizeof *w->order * (size_t)n_order);
}

int part_outputs(struct work *w, struct plan *plan, int32_t slot_words, int64_t *part_end)
{
    const size_t n_results = (size_t)(w->n_nodes + w->n_ops + w->net->n_outputs + 1);
    const size_t n_outputs = (size_t)w->net->n_outputs + 1;
    struct deferred d;
    int is_made;
    d.place = malloc(sizeof *d.place * n_results);
    d.reads = calloc(n_results, sizeof *d.reads);
    d.last = malloc(sizeof *d.last * n_outputs);
    d.others = malloc(sizeof *d.others * n_outputs);
    d.order = malloc(sizeof *d.order * (size_t)(w->n_ops + 1));
    is_made = d.place && d.reads && d.last && d.others && d.order;
    if (is_made) {
        for (int64_t i = 0; i < w->n_ops; i++) {
            const struct op *op = &w->ops[w->order[i]];
            d.place[op->result] = (int32_t)i;
            for (int j = 0; j < op->n; j++)
                d.reads[op->operand[j]]++;
        }
        for (int64_t o = 0; o < w->net->n_outputs; o++)
            if (w->output[o] >= 0)
                d.reads[w->output[o]]++;
        for (int64_t o = 0; o < w->net->n_outputs; o++)
            if (is_last(w, &d, o))
                d.place[w->output[o]] = -1;
        make_parts(w, &d, plan, PART_WORDS / slot_words, part_end);
    }
    free(d.place);
    free(d.reads);
    free(d.last);
    free(d.others);
    free(d.order);
    return is_made;
}
