/* Training kernels of gate2hw: one source, for float and double and for several instruction sets,
 * the best of which is chosen when the library is loaded. Called by native/__init__.py. */

#define _GNU_SOURCE

#include "kernels.h"
#include "place.h"
#include "pool.h"

#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))

struct kernels {
    void (*dense_rows)(const struct dense *, int64_t, int64_t);
    void (*dense_weights)(const struct dense *, int64_t, int64_t);
    void (*dense_gather)(const struct dense *, int64_t, int64_t);
    void (*tree_rows)(const struct tree *, int64_t, int64_t, int64_t, void *);
    void (*tree_gather)(const struct tree *, int64_t, int64_t, int64_t, void *);
    void (*tree_sum)(const struct tree *, int64_t);
    int64_t group_bytes; /* of the samples that go through a tree together */
    void (*mix_rows)(const struct mix *, int64_t, int64_t);
    void (*mix_shares)(const struct mix *, int64_t, int64_t);
    void (*mix_gather)(const struct mix *, int64_t, int64_t);
    void (*relax_gates)(const struct relax *, int64_t, int64_t);
};

#define SET base
#define WIDTH 16
#include "variant.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define SET avx2
#define WIDTH 32
#include "variant.h"
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#define SET avx512
#define WIDTH 64
#include "variant.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const struct kernels *const sets[] = {kernels_base, kernels_avx2, kernels_avx512};
static const char *const set_names[] = {"baseline", "avx2", "avx512"};

static int best_set(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
               ? 2
               : 1;
}

#else

static const struct kernels *const sets[] = {kernels_base};
static const char *const set_names[] = {"baseline"};

static int best_set(void)
{
    return 0;
}

#endif

static int chosen_set;

__attribute__((constructor)) static void choose(void)
{
    chosen_set = best_set();
}

EXPORT int gate2hw_abi(void)
{
    return GATE2HW_ABI;
}

/* The number of instruction sets that this processor has, slowest first. */
EXPORT int gate2hw_n_sets(void)
{
    return best_set() + 1;
}

EXPORT const char *gate2hw_set_name(int set)
{
    return set_names[set < 0 ? chosen_set : set];
}

EXPORT void gate2hw_choose_set(int set)
{
    chosen_set = set;
}

#define CHUNK_ELEMENTS 32768 /* of one item of work, about 10 microseconds */

struct dense_job {
    const struct dense *dense;
    void (*run)(const struct dense *, int64_t, int64_t);
    int64_t step, n_items;
};

static void dense_gates(const void *job, int64_t item, int slot)
{
    (void)slot;
    const struct dense_job *j = job;
    int64_t begin = item * j->step, end = begin + j->step;
    j->run(j->dense, begin, end < j->dense->n_gates ? end : j->dense->n_gates);
}

/* The first signal whose readers start at `place` or later. */
static int64_t first_signal(const struct dense *d, int64_t place)
{
    int64_t low = 0, high = d->n_signals;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (d->reader_ptr[middle] < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void dense_signals(const void *job, int64_t item, int slot)
{
    (void)slot;
    const struct dense_job *j = job;
    int64_t begin = first_signal(j->dense, item * j->step);
    int64_t end = j->dense->n_signals;
    if (item + 1 < j->n_items)
        end = first_signal(j->dense, (item + 1) * j->step);
    j->run(j->dense, begin, end);
}

static int64_t per_item(int64_t batch)
{
    return batch < CHUNK_ELEMENTS ? CHUNK_ELEMENTS / (batch ? batch : 1) : 1;
}

/* To wake a thread costs as much as several items. */
static int worthwhile(int n_threads, int64_t n_items)
{
    int64_t most = n_items / 8 + 1;
    return most < n_threads ? (int)most : n_threads;
}

static void run_gates(const struct dense *d, void (*run)(const struct dense *, int64_t, int64_t),
                      int n_threads)
{
    struct dense_job job = {d, run, per_item(d->batch), 0};
    job.n_items = (d->n_gates + job.step - 1) / job.step;
    gate2hw_run(dense_gates, &job, job.n_items, worthwhile(n_threads, job.n_items));
}

#define LARGE_BYTES (2 << 20)
#define PAGE_BYTES (2 << 20)

/* Ask for large pages where a result is so large that malloc maps it anew each time: the first
 * touch of small ones, and the misses of rows read in any order, cost more than the arithmetic. */
static void advise(void *start, int64_t n_bytes)
{
#if defined(MADV_HUGEPAGE)
    if (!start || n_bytes < LARGE_BYTES)
        return;
    uintptr_t begin = ((uintptr_t)start + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
    uintptr_t end = ((uintptr_t)start + n_bytes) & ~(uintptr_t)(PAGE_BYTES - 1);
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)start, (void)n_bytes;
#endif
}

static int64_t element_bytes(int is_double)
{
    return is_double ? sizeof(double) : sizeof(float);
}

EXPORT int gate2hw_dense_forward(int is_double, const struct dense *d, int n_threads)
{
    advise(d->out, d->n_gates * d->batch * element_bytes(is_double));
    run_gates(d, sets[chosen_set][is_double].dense_rows, n_threads);
    return 0;
}

/* grad_x too where it is not NULL. */
EXPORT int gate2hw_dense_backward(int is_double, const struct dense *d, int n_threads)
{
    if (!d->grad_x) {
        run_gates(d, sets[chosen_set][is_double].dense_weights, n_threads);
        return 0;
    }
    advise(d->grad_x, d->n_signals * d->batch * element_bytes(is_double));
    struct dense_job job = {d, sets[chosen_set][is_double].dense_gather, per_item(d->batch), 0};
    job.n_items = (2 * d->n_gates + job.step - 1) / job.step;
    gate2hw_run(dense_signals, &job, job.n_items, worthwhile(n_threads, job.n_items));
    return 0;
}

struct tree_job {
    const struct tree *tree;
    void (*run)(const struct tree *, int64_t, int64_t, int64_t, void *);
    int64_t n_kernels; /* of one item */
    int64_t n_groups;  /* items side by side */
    int64_t scratch_bytes;
};

static void tree_item(const void *job, int64_t item, int slot)
{
    const struct tree_job *j = job;
    int64_t begin = item / j->n_groups * j->n_kernels, end = begin + j->n_kernels;
    j->run(j->tree, begin, end < j->tree->n_kernels ? end : j->tree->n_kernels,
           item % j->n_groups, (char *)j->tree->scratch + slot * j->scratch_bytes);
}

/* Whether all leaves lie in their fields: else they would be read beside x. */
static int are_leaves_inside(const struct tree *t)
{
    int64_t n = t->n_kernels << t->depth;
    for (int64_t leaf = 0; leaf < n; leaf++) {
        const int32_t *place = t->leaves + 3 * leaf;
        if (place[0] < 0 || place[0] >= t->channels || place[1] < 0 || place[1] >= t->field[0] ||
            place[2] < 0 || place[2] >= t->field[1])
            return 0;
    }
    return 1;
}

/* Samples that go through a tree together. */
EXPORT int64_t gate2hw_group(int is_double)
{
    return sets[chosen_set][is_double].group_bytes / element_bytes(is_double);
}

EXPORT int64_t gate2hw_tree_scratch(int is_double, int64_t n_signals, int needs_x)
{
    return (n_signals + 1) * sets[chosen_set][is_double].group_bytes * (needs_x ? 2 : 1);
}

/* Groups of samples are independent. Where they are fewer than the threads, and no gradient of x
 * is shared by the kernels, these are divided too. */
static int run_tree(int is_double, const struct tree *t, int n_threads, int is_backward)
{
    const struct kernels *k = &sets[chosen_set][is_double];
    const int64_t n_signals = t->channels * t->height * t->width;
    struct tree_job job = {t, is_backward ? k->tree_gather : k->tree_rows, t->n_kernels, 0, 0};
    if (t->n_kernels < 1 || t->depth < 1 || t->depth > MAX_DEPTH)
        return 2;
    if (!are_leaves_inside(t))
        return 1;
    job.n_groups = t->batch / gate2hw_group(is_double);
    job.scratch_bytes = gate2hw_tree_scratch(is_double, n_signals, t->grad_x != NULL);
    if (!t->grad_x && job.n_groups && job.n_groups < n_threads) {
        int64_t parts = (n_threads + job.n_groups - 1) / job.n_groups;
        job.n_kernels = (t->n_kernels + parts - 1) / parts;
    }
    int64_t n_parts = (t->n_kernels + job.n_kernels - 1) / job.n_kernels;
    int64_t work = t->n_kernels * t->positions[0] * t->positions[1] * (t->batch << t->depth);
    if (work < CHUNK_ELEMENTS * 16)
        n_threads = 1;
    gate2hw_run(tree_item, &job, n_parts * job.n_groups, n_threads);
    return 0;
}

/* 0, or 1 where a leaf lies outside its field, 2 where there are no kernels, or of other depths. */
EXPORT int gate2hw_tree_forward(int is_double, const struct tree *t, int n_threads)
{
    advise(t->out, t->n_kernels * t->pooled[0] * t->pooled[1] * t->batch * element_bytes(is_double));
    return run_tree(is_double, t, n_threads, 0);
}

EXPORT int gate2hw_tree_backward(int is_double, const struct tree *t, int n_threads)
{
    advise(t->grad_x, t->channels * t->height * t->width * t->batch * element_bytes(is_double));
    int refused = run_tree(is_double, t, n_threads, 1);
    if (refused)
        return refused;
    sets[chosen_set][is_double].tree_sum(t, t->batch / gate2hw_group(is_double));
    return 0;
}

struct mix_job {
    const struct mix *mix;
    void (*run)(const struct mix *, int64_t, int64_t);
    int64_t n, step;
};

static void mix_item(const void *job, int64_t item, int slot)
{
    (void)slot;
    const struct mix_job *j = job;
    int64_t begin = item * j->step, end = begin + j->step;
    j->run(j->mix, begin, end < j->n ? end : j->n);
}

/* All of 0..n, each of which reads `n_rows` rows. */
static void run_mix(const struct mix *m, void (*run)(const struct mix *, int64_t, int64_t),
                    int64_t n, int64_t n_rows, int n_threads)
{
    int64_t step = per_item(m->batch * (n_rows ? n_rows : 1));
    struct mix_job job = {m, run, n, step};
    int64_t n_items = (n + step - 1) / step;
    gate2hw_run(mix_item, &job, n_items, worthwhile(n_threads, n_items));
}

EXPORT int gate2hw_mix_forward(int is_double, const struct mix *m, int n_threads)
{
    int64_t n_rows = m->n_inputs * m->n_positions;
    advise(m->out, n_rows * m->batch * element_bytes(is_double));
    run_mix(m, sets[chosen_set][is_double].mix_rows, n_rows, m->n_candidates, n_threads);
    return 0;
}

/* grad_x too where it is not NULL. */
EXPORT int gate2hw_mix_backward(int is_double, const struct mix *m, int n_threads)
{
    const struct kernels *k = &sets[chosen_set][is_double];
    int64_t n_places = m->n_inputs * m->n_positions * m->n_candidates;
    run_mix(m, k->mix_shares, m->n_inputs, m->n_positions * m->n_candidates, n_threads);
    if (!m->grad_x)
        return 0;
    advise(m->grad_x, m->n_signals * m->batch * element_bytes(is_double));
    run_mix(m, k->mix_gather, m->n_signals, n_places / (m->n_signals ? m->n_signals : 1), n_threads);
    return 0;
}

#define RELAX_GATES 1024 /* of one item of work, about 10 microseconds */

struct relax_job {
    const struct relax *relax;
    void (*run)(const struct relax *, int64_t, int64_t);
};

static void relax_item(const void *job, int64_t item, int slot)
{
    (void)slot;
    const struct relax_job *j = job;
    int64_t begin = item * RELAX_GATES, end = begin + RELAX_GATES;
    j->run(j->relax, begin, end < j->relax->n_gates ? end : j->relax->n_gates);
}

EXPORT int gate2hw_relax(int is_double, const struct relax *r, int n_threads)
{
    struct relax_job job = {r, sets[chosen_set][is_double].relax_gates};
    int64_t n_items = (r->n_gates + RELAX_GATES - 1) / RELAX_GATES;
    gate2hw_run(relax_item, &job, n_items, worthwhile(n_threads, n_items));
    return 0;
}
