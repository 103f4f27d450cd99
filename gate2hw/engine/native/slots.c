/* Slots by liveness, and the plan's runs and numbers as the kernels read them. */
#include "work.h"

#include <stdlib.h>
#include <string.h>

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

/* The outputs of a part are where they are read; after that their slots are free. */
static void close_part(const struct work *w, struct plan *plan, struct slots *s, int64_t part)
{
    const int32_t *begin = plan->part_output + plan->part_ptr[part];
    const int32_t *end = plan->part_output + plan->part_ptr[part + 1];
    for (const int32_t *o = begin; o < end; o++)
        plan->output_slot[*o] = w->output[*o] < 0 ? -1 - w->output[*o] : s->of[w->output[*o]];
    for (const int32_t *o = begin; o < end; o++)
        if (w->output[*o] >= 0)
            read_slot(s, w->output[*o]);
}

/* An operand that is read for the last time leaves its slot to the result. */
static int fill_slots(const struct work *w, struct plan *plan, struct slots *s,
                      const int64_t *end, uint32_t *words)
{
    uint32_t *to = words;
    int64_t part = 0, capacity = 0;
    int is_new = 1;
    for (int64_t i = 0; i <= w->n_ops; i++) {
        for (; part < plan->n_parts && end[part] == i; part++, is_new = 1) {
            close_part(w, plan, s, part);
            plan->segments[part + 1] = (struct segment){plan->n_runs, to - words};
        }
        if (i == w->n_ops)
            break;
        const struct op *op = &w->ops[w->order[i]];
        uint32_t *result = to++;
        for (int j = 0; j < op->n; j++) {
            *to++ = (uint32_t)s->of[op->operand[j]];
            read_slot(s, op->operand[j]);
        }
        s->of[op->result] = s->n_unused ? s->unused[--s->n_unused] : s->n++;
        *result = (uint32_t)s->of[op->result];
        if (!add_to_run(plan, op->function, is_new, &capacity))
            return 0;
        is_new = 0;
    }
    plan->n_words = to - words;
    return 1;
}

/* Slots become distances from the first one: in 8-byte words, which need no multiplication, where
 * 16 bits are enough; else in slots, where 16 bits are enough for these; else in words of 32. */
static void choose_numbers(struct plan *plan, int32_t slot_words)
{
    uint32_t *words = plan->words;
    char *to = plan->words; /* of another type than what it overlaps: through memcpy */
    void *less;
    plan->word_bytes = plan->n_slots <= 65536 ? 2 : 4;
    plan->unit = plan->word_bytes == 2 && plan->n_slots * slot_words > 65536 ? slot_words : 1;
    for (int64_t i = 0; i < plan->n_words; i++) {
        const uint32_t word = words[i] * (uint32_t)(plan->unit == 1 ? slot_words : 1);
        const uint16_t half = (uint16_t)word;
        if (plan->word_bytes == 4)
            words[i] = word;
        else
            memcpy(to + sizeof half * (size_t)i, &half, sizeof half);
    }
    less = realloc(plan->words, (size_t)plan->word_bytes * (size_t)(plan->n_words + 1));
    plan->words = less ? less : plan->words;
}

int give_slots(struct work *w, struct plan *plan, int32_t slot_words, const int64_t *part_end)
{
    const struct netlist *net = w->net;
    const size_t n_all = (size_t)(w->n_nodes + w->n_ops + net->n_outputs + 1);
    struct slots s = {.n = 2};
    int is_made;
    s.of = calloc(n_all, sizeof *s.of);
    s.reads = calloc(n_all, sizeof *s.reads);
    s.unused = malloc(sizeof *s.unused * (n_all + 2));
    plan->words = malloc(sizeof(uint32_t) * (size_t)(4 * w->n_ops + 1));
    is_made = s.of && s.reads && s.unused && plan->words;
    if (is_made) {
        for (int64_t i = 0; i < w->n_ops; i++)
            for (int j = 0; j < w->ops[w->order[i]].n; j++)
                s.reads[w->ops[w->order[i]].operand[j]]++;
        for (int64_t o = 0; o < net->n_outputs; o++)
            if (w->output[o] >= 0)
                s.reads[w->output[o]]++;
        for (int64_t i = 0; i < net->n_inputs; i++)
            plan->input_slot[i] = s.of[1 + i] = s.reads[1 + i] ? s.n++ : -1;
        is_made = fill_slots(w, plan, &s, part_end, plan->words);
        plan->n_slots = s.n;
    }
    if (is_made)
        choose_numbers(plan, slot_words);
    free(s.of);
    free(s.reads);
    free(s.unused);
    return is_made;
}
