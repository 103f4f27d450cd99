/* Ops ordered so that few signals are alive and neighbours have the same function. */
#include "work.h"

#include <stdlib.h>
#include <string.h>

/* Ops in depth-first post-order from the roots, then from the outputs: a cone is finished before
 * the next is begun. */
int order_depth_first(struct work *w, const int32_t *roots, int64_t n_roots)
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

int schedule(struct work *w, int64_t window, int64_t n_all_ops)
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
