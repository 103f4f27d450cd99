/* A netlist becomes a list of ops: folded, mapped to functions of up to k signals, ordered so that
 * few signals are alive and neighbours have the same function, slots given by liveness. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "cover.h"

#if defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif

enum { N_FUNCTIONS = 16 + 256, REAL = 0x6bd6 }; /* REAL: bit f where f reads both of two */

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

/* Ops in depth-first post-order from the roots, then from the outputs: a cone is finished before
 * the next is begun. */
static int order_depth_first(struct work *w, const int32_t *roots, int64_t n_roots)
{
    int64_t n_ordered = 0, n_stack = 0;
    int32_t *stack = malloc(sizeof *stack * (size_t)(w->n_ops + 1));
    uint8_t *at = calloc((size_t)w->n_ops + 1, 1); /* 0: new, i + 1: operand i is next */
    if (stack == NULL || at == NULL) {
        free(stack);
        free(at);
        return 0;
    }
    for (int64_t i = 0; i < n_roots + w->net->n_outputs; i++) {
        const int32_t node =
            i < n_roots ? (int32_t)(1 + w->net->n_inputs) + roots[i] : w->output[i - n_roots];
        const int32_t root = node < 0 ? -1 : w->op_of[node];
        if (root < 0 || at[root])
            continue;
        stack[n_stack++] = root;
        at[root] = 1;
        while (n_stack) {
            const int32_t top = stack[n_stack - 1];
            const struct op *op = &w->ops[top];
            if (at[top] > op->n) {
                w->order[n_ordered++] = top;
                n_stack--;
                continue;
            }
            const int32_t below = w->op_of[op->operand[at[top]++ - 1]];
            if (below >= 0 && !at[below]) {
                at[below] = 1;
                stack[n_stack++] = below;
            }
        }
    }
    w->n_ops = n_ordered;
    free(stack);
    free(at);
    return 1;
}

struct ready {
    int32_t first[N_FUNCTIONS], last[N_FUNCTIONS], count[N_FUNCTIONS];
    int32_t *next;
};

static void make_ready(struct ready *r, int function, int32_t at)
{
    r->next[at] = -1;
    if (r->count[function]++ == 0)
        r->first[function] = at;
    else
        r->next[r->last[function]] = at;
    r->last[function] = at;
}

struct scheduler {
    struct ready ready;
    int32_t *place;      /* (ops,) place in the window, or -1 */
    int32_t *waits;      /* (window,) operands that are not there yet */
    int32_t *reader_ptr; /* (window + 1,) */
    int32_t *reader;     /* (3 * window,) */
    int32_t *done;       /* (window,) */
};

/* Within a window: the function that most ops are ready for, until none is, again and again. */
static void schedule_window(struct work *w, struct scheduler *s, int64_t start, int64_t n)
{
    int32_t *order = w->order + start;
    int64_t n_done = 0;
    memset(s->reader_ptr, 0, sizeof *s->reader_ptr * (size_t)(n + 1));
    memset(s->ready.count, 0, sizeof s->ready.count);
    for (int64_t i = 0; i < n; i++)
        s->place[order[i]] = (int32_t)i;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = n - 1; i >= 0; i--) {
            const struct op *op = &w->ops[order[i]];
            s->waits[i] = 0;
            for (int j = 0; j < op->n; j++) {
                const int32_t below = w->op_of[op->operand[j]];
                const int32_t at = below < 0 ? -1 : s->place[below];
                if (at < 0)
                    continue;
                s->waits[i]++;
                if (pass == 0)
                    s->reader_ptr[at]++;
                else
                    s->reader[--s->reader_ptr[at]] = (int32_t)i;
            }
        }
        if (pass == 0)
            for (int64_t i = 0; i < n; i++)
                s->reader_ptr[i + 1] += s->reader_ptr[i];
    }
    for (int64_t i = 0; i < n; i++)
        if (s->waits[i] == 0)
            make_ready(&s->ready, w->ops[order[i]].function, (int32_t)i);
    while (n_done < n) {
        int best = 0;
        for (int f = 1; f < N_FUNCTIONS; f++)
            if (s->ready.count[f] > s->ready.count[best])
                best = f;
        while (s->ready.count[best]) {
            const int32_t i = s->ready.first[best];
            s->ready.first[best] = s->ready.next[i];
            s->ready.count[best]--;
            s->done[n_done++] = order[i];
            for (int32_t r = s->reader_ptr[i]; r < s->reader_ptr[i + 1]; r++)
                if (--s->waits[s->reader[r]] == 0)
                    make_ready(&s->ready, w->ops[order[s->reader[r]]].function, s->reader[r]);
        }
    }
    for (int64_t i = 0; i < n; i++)
        s->place[order[i]] = -1;
    memcpy(order, s->done, sizeof *order * (size_t)n);
}

static int schedule(struct work *w, int64_t window, int64_t n_all_ops)
{
    const size_t size = (size_t)(window < w->n_ops ? window : w->n_ops) + 1;
    struct scheduler s;
    int is_made;
    s.place = malloc(sizeof *s.place * (size_t)(n_all_ops + 1));
    s.waits = malloc(sizeof *s.waits * size);
    s.reader_ptr = malloc(sizeof *s.reader_ptr * (size + 1));
    s.reader = malloc(sizeof *s.reader * size * 3);
    s.done = malloc(sizeof *s.done * size);
    s.ready.next = malloc(sizeof *s.ready.next * size);
    is_made = s.place && s.waits && s.reader_ptr && s.reader && s.done && s.ready.next;
    if (is_made) {
        for (int64_t i = 0; i < n_all_ops; i++)
            s.place[i] = -1;
        for (int64_t start = 0; start < w->n_ops; start += window)
            schedule_window(w, &s, start,
                            w->n_ops - start < window ? w->n_ops - start : window);
    }
    free(s.place);
    free(s.waits);
    free(s.reader_ptr);
    free(s.reader);
    free(s.done);
    free(s.ready.next);
    return is_made;
}

static int add_to_run(struct plan *plan, int32_t function, int is_new, int64_t *capacity)
{
    if (!is_new && plan->n_runs && plan->runs[plan->n_runs - 1].function == function) {
        plan->runs[plan->n_runs - 1].n_ops++;
        return 1;
    }
    if (plan->n_runs == *capacity) {
        struct run *more;
        *capacity = 2 * *capacity + 64;
        more = realloc(plan->runs, sizeof *more * (size_t)*capacity);
        if (more == NULL)
            return 0;
        plan->runs = more;
    }
    plan->runs[plan->n_runs++] = (struct run){function, 1};
    return 1;
}

struct slots {
    int32_t *of, *reads; /* of each node; how often it is still read */
    int32_t *unused;
    int64_t n_unused;
    int32_t n;
};

static void read_slot(struct slots *s, int32_t node)
{
    if (--s->reads[node] == 0)
        s->unused[s->n_unused++] = s->of[node];
}

/* How many ops of the order each group has to wait for; never fewer than the one before. */
static void find_ends(const struct work *w, int32_t *place, int64_t *end)
{
    for (int64_t i = 0; i < w->n_ops; i++)
        place[w->order[i]] = (int32_t)i;
    for (int64_t g = 0; g < w->net->n_groups; g++) {
        end[g] = g ? end[g - 1] : 0;
        for (int64_t o = w->net->group_ptr[g]; o < w->net->group_ptr[g + 1]; o++) {
            const int32_t op = w->output[o] < 0 ? -1 : w->op_of[w->output[o]];
            if (op >= 0 && place[op] >= end[g])
                end[g] = place[op] + 1;
        }
    }
}

/* The outputs of a group are where they are read; after that their slots are free. */
static void close_group(const struct work *w, struct plan *plan, struct slots *s, int64_t group)
{
    const int64_t *ptr = w->net->group_ptr + group;
    for (int64_t o = ptr[0]; o < ptr[1]; o++)
        plan->output_slot[o] = w->output[o] < 0 ? -1 - w->output[o] : s->of[w->output[o]];
    for (int64_t o = ptr[0]; o < ptr[1]; o++)
        if (w->output[o] >= 0)
            read_slot(s, w->output[o]);
}

/* An operand that is read for the last time leaves its slot to the result. */
static int fill_slots(const struct work *w, struct plan *plan, struct slots *s,
                      const int64_t *end, uint32_t *words, int32_t slot_words)
{
    uint32_t *to = words;
    int64_t group = 0, capacity = 0;
    int is_new = 1;
    for (int64_t i = 0; i <= w->n_ops; i++) {
        for (; group < w->net->n_groups && end[group] == i; group++, is_new = 1) {
            close_group(w, plan, s, group);
            plan->segments[group + 1] = (struct segment){plan->n_runs, to - words};
        }
        if (i == w->n_ops)
            break;
        const struct op *op = &w->ops[w->order[i]];
        uint32_t *result = to++;
        for (int j = 0; j < op->n; j++) {
            *to++ = (uint32_t)(s->of[op->operand[j]] * slot_words);
            read_slot(s, op->operand[j]);
        }
        s->of[op->result] = s->n_unused ? s->unused[--s->n_unused] : s->n++;
        *result = (uint32_t)(s->of[op->result] * slot_words);
        if (!add_to_run(plan, op->function, is_new, &capacity))
            return 0;
        is_new = 0;
    }
    plan->n_words = to - words;
    return 1;
}

static void narrow(struct plan *plan)
{
    const uint32_t *words = plan->words;
    char *to = plan->words; /* of another type than what it overlaps: through memcpy */
    void *less;
    for (int64_t i = 0; i < plan->n_words; i++) {
        const uint16_t word = (uint16_t)words[i];
        memcpy(to + sizeof word * (size_t)i, &word, sizeof word);
    }
    less = realloc(plan->words, sizeof(uint16_t) * (size_t)(plan->n_words + 1));
    plan->words = less ? less : plan->words;
}

static int give_slots(struct work *w, struct plan *plan, int32_t slot_words)
{
    const struct netlist *net = w->net;
    const size_t n_all = (size_t)(w->n_nodes + w->n_ops + net->n_outputs + 1);
    struct slots s = {.n = 2};
    int64_t *end = malloc(sizeof *end * (size_t)(net->n_groups + 1));
    int32_t *place = malloc(sizeof *place * n_all);
    int is_made;
    s.of = calloc(n_all, sizeof *s.of);
    s.reads = calloc(n_all, sizeof *s.reads);
    s.unused = malloc(sizeof *s.unused * (n_all + 2));
    plan->words = malloc(sizeof(uint32_t) * (size_t)(4 * w->n_ops + 1));
    is_made = end && place && s.of && s.reads && s.unused && plan->words;
    if (is_made) {
        for (int64_t i = 0; i < w->n_ops; i++)
            for (int j = 0; j < w->ops[w->order[i]].n; j++)
                s.reads[w->ops[w->order[i]].operand[j]]++;
        for (int64_t o = 0; o < net->n_outputs; o++)
            if (w->output[o] >= 0)
                s.reads[w->output[o]]++;
        for (int64_t i = 0; i < net->n_inputs; i++)
            plan->input_slot[i] = s.of[1 + i] = s.reads[1 + i] ? s.n++ : -1;
        find_ends(w, place, end);
        is_made = fill_slots(w, plan, &s, end, plan->words, slot_words);
        plan->n_slots = s.n;
        plan->word_bytes = (int64_t)s.n * slot_words <= 65536 ? 2 : 4;
    }
    if (is_made && plan->word_bytes == 2)
        narrow(plan);
    free(end);
    free(place);
    free(s.of);
    free(s.reads);
    free(s.unused);
    return is_made;
}

EXPORT void gate2hw_plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    free(plan->runs);
    free(plan->words);
    free(plan->segments);
    free(plan->input_slot);
    free(plan->output_slot);
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
    int is_made = plan != NULL && cover_make(&w.cover, net, k);
    if (is_made) {
        const size_t n_ops = (size_t)(cover_size(&w.cover) + net->n_outputs + 1);
        w.ops = malloc(sizeof *w.ops * n_ops);
        w.op_of = malloc(sizeof *w.op_of * n_results);
        w.order = malloc(sizeof *w.order * n_ops);
        w.inverted = calloc((size_t)w.n_nodes, 1);
        w.output = malloc(sizeof *w.output * (size_t)(net->n_outputs + 1));
        plan->input_slot = malloc(sizeof(int32_t) * (size_t)(net->n_inputs + 1));
        plan->segments = calloc((size_t)(net->n_groups + 1), sizeof *plan->segments);
        plan->runs = malloc(sizeof *plan->runs); /* so that it is an array where there is no run */
        plan->output_slot = malloc(sizeof(int32_t) * (size_t)(net->n_outputs + 1));
        is_made = w.ops && w.op_of && w.order && w.inverted && w.output && plan->input_slot &&
                  plan->output_slot && plan->segments && plan->runs;
    }
    if (is_made) {
        memset(w.op_of, 0xff, sizeof *w.op_of * n_results);
        is_made = make_ops(&w);
    }
    cover_free(&w.cover);
    if (is_made) {
        const int64_t n_all_ops = w.n_ops;
        is_made = order_depth_first(&w, roots, n_roots) && schedule(&w, window, n_all_ops) &&
                  give_slots(&w, plan, slot_words);
        plan->n_ops = w.n_ops;
        plan->k = k;
        plan->n_groups = net->n_groups;
        plan->group_ptr = net->group_ptr;
    }
    free(w.ops);
    free(w.op_of);
    free(w.order);
    free(w.inverted);
    free(w.output);
    if (!is_made) {
        gate2hw_plan_free(plan);
        return NULL;
    }
    return plan;
}
