/* Runs the kernels on cases from a file and compares every bit: for sanitizers and for processors
 * that have no Python. `driver FILE` prints what it ran; 1: something differs, 2: cannot be run.
 *
 * A case is a line of int64 numbers, then arrays, as struct case names them (test_engine_native.py
 * writes them). Slots are known to the planner only, so chunks and terms name inputs (-1: none) and
 * outputs (from 2 on; 1 is the constant). */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gate2hw_engine_n_variants(void);
const struct variant *gate2hw_engine_variant(int i);
int gate2hw_engine_run(int variant, const struct model *model, const struct batch *batch);
int gate2hw_engine_simulate(int variant, const struct plan *plan, const struct bits *bits);

struct sizes {
    int64_t n_inputs, n_gates, n_outputs, n_groups, n_roots, window;
    int64_t n_features, feature_bytes, n_chunks, n_classes, n_columns, n_planes, offset, n_terms;
    int64_t n_samples, n_words;
};

struct case_ {
    struct sizes size;
    uint8_t *tt;
    int32_t *in0, *in1;
    int64_t *outputs, *group_ptr;
    int32_t *roots;
    struct chunk *chunks;
    int64_t *term_ptr;
    int32_t *term;
    uint8_t *x;
    int64_t *classes;
    int32_t *scores;
    uint64_t *words, *out;
};

static void *get(size_t n)
{
    void *memory = malloc(n ? n : 1); /* no byte more: a sanitizer sees a read beyond the end */
    if (memory == NULL)
        exit(2);
    return memory;
}

static void *load(FILE *file, int64_t n, size_t size)
{
    void *memory = get((size_t)n * size);
    if (fread(memory, size, (size_t)n, file) != (size_t)n) {
        fprintf(stderr, "the file of cases ends early\n");
        exit(2);
    }
    return memory;
}

static int load_case(FILE *file, struct case_ *c)
{
    struct sizes *s = &c->size;
    if (fread(s, sizeof *s, 1, file) != 1)
        return 0;
    c->tt = load(file, s->n_gates, 1);
    c->in0 = load(file, s->n_gates, sizeof *c->in0);
    c->in1 = load(file, s->n_gates, sizeof *c->in1);
    c->outputs = load(file, s->n_outputs, sizeof *c->outputs);
    c->group_ptr = load(file, s->n_groups + 1, sizeof *c->group_ptr);
    c->roots = load(file, s->n_roots, sizeof *c->roots);
    c->chunks = load(file, s->n_chunks, sizeof *c->chunks);
    c->term_ptr = load(file, s->n_classes * s->n_columns + 1, sizeof *c->term_ptr);
    c->term = load(file, s->n_terms, sizeof *c->term);
    c->x = load(file, s->n_samples * s->n_features * s->feature_bytes, 1);
    c->classes = load(file, s->n_samples, sizeof *c->classes);
    c->scores = load(file, s->n_samples * s->n_classes, sizeof *c->scores);
    c->words = load(file, s->n_inputs * s->n_words, sizeof *c->words);
    c->out = load(file, s->n_outputs * s->n_words, sizeof *c->out);
    return 1;
}

static void free_case(struct case_ *c)
{
    void *all[] = {c->tt,     c->in0,      c->in1,  c->outputs, c->group_ptr, c->roots,
                   c->chunks, c->term_ptr, c->term, c->x,       c->classes,   c->scores,
                   c->words,  c->out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static int differs(const char *what, const void *found, const void *wanted, size_t n)
{
    if (n == 0 || memcmp(found, wanted, n) == 0)
        return 0;
    fprintf(stderr, "the %s differ\n", what);
    return 1;
}

static int check_words(const struct case_ *c, int variant, const struct plan *plan)
{
    const struct sizes *s = &c->size;
    const size_t n = (size_t)(s->n_outputs * s->n_words) * sizeof(uint64_t);
    uint64_t *out = get(n);
    struct bits bits;
    int is_wrong;
    memset(&bits, 0, sizeof bits);
    bits.n_words = bits.stride = s->n_words;
    bits.n_inputs = s->n_inputs;
    bits.n_outputs = s->n_outputs;
    bits.words = c->words;
    bits.out = out;
    is_wrong = gate2hw_engine_simulate(variant, plan, &bits) || differs("words", out, c->out, n);
    free(out);
    return is_wrong;
}

/* Both results, and each without the other. */
static int check_samples(const struct case_ *c, int variant, const struct model *model)
{
    const struct sizes *s = &c->size;
    const size_t n_classes = (size_t)s->n_samples * sizeof *c->classes;
    const size_t n_scores = (size_t)(s->n_samples * s->n_classes) * sizeof *c->scores;
    int is_wrong = 0;
    for (int which = 1; which <= 3 && !is_wrong; which++) {
        int64_t *classes = get(n_classes);
        int32_t *scores = get(n_scores);
        struct batch batch;
        memset(&batch, 0, sizeof batch);
        batch.n = s->n_samples;
        batch.x = c->x;
        batch.classes = which & 1 ? classes : NULL;
        batch.scores = which & 2 ? scores : NULL;
        is_wrong = gate2hw_engine_run(variant, model, &batch) ||
                   (which & 1 && differs("classes", classes, c->classes, n_classes)) ||
                   (which & 2 && differs("scores", scores, c->scores, n_scores));
        free(classes);
        free(scores);
    }
    return is_wrong;
}

static struct chunk *chunks_of(const struct case_ *c, const struct plan *plan)
{
    const int64_t n = c->size.n_chunks;
    struct chunk *chunks = get((size_t)n * sizeof *chunks);
    memcpy(chunks, c->chunks, (size_t)n * sizeof *chunks);
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < 64; j++)
            if (chunks[i].slot[j] >= 0)
                chunks[i].slot[j] = plan->input_slot[chunks[i].slot[j]];
    return chunks;
}

/* The terms of each part of a class and their ends, from those of the classes; constants come with
 * the first part. */
static int32_t *terms_of(const struct case_ *c, const struct plan *plan, int64_t **ends)
{
    const int64_t n_columns = c->size.n_columns;
    int32_t *term = get((size_t)c->size.n_terms * sizeof *term);
    int64_t *part_of = get((size_t)c->size.n_outputs * sizeof *part_of);
    int64_t *ptr = *ends = get((size_t)(plan->n_parts * n_columns + 1) * sizeof *ptr);
    int64_t n = *ptr = 0;
    for (int64_t part = 0; part < plan->n_parts; part++)
        for (int64_t i = plan->part_ptr[part]; i < plan->part_ptr[part + 1]; i++)
            part_of[plan->part_output[i]] = part;
    for (int64_t part = 0; part < plan->n_parts; part++) {
        const int64_t group = plan->part_group[part];
        const int is_first = part == 0 || plan->part_group[part - 1] != group;
        for (int64_t j = 0; j < n_columns; j++) {
            const int64_t *from = c->term_ptr + group * n_columns + j;
            for (int64_t i = from[0]; i < from[1]; i++) {
                const int32_t output = c->term[i] - 2;
                if (output < 0 ? is_first : part_of[output] == part)
                    term[n++] = output < 0 ? c->term[i] : plan->output_slot[output];
            }
            *++ptr = n;
        }
    }
    free(part_of);
    return term;
}

static int check_variant(const struct case_ *c, int variant)
{
    const struct sizes *s = &c->size;
    const struct variant *v = gate2hw_engine_variant(variant);
    struct netlist net;
    struct plan *plan;
    int is_wrong;
    memset(&net, 0, sizeof net);
    net.n_inputs = s->n_inputs;
    net.n_gates = s->n_gates;
    net.n_outputs = s->n_outputs;
    net.n_groups = s->n_groups;
    net.tt = c->tt;
    net.in0 = c->in0;
    net.in1 = c->in1;
    net.outputs = c->outputs;
    net.group_ptr = c->group_ptr;
    plan = gate2hw_plan(&net, v->k, v->block / 64, s->window, c->roots, s->n_roots);
    if (plan == NULL)
        return 1;
    is_wrong = check_words(c, variant, plan);
    if (s->n_classes && !is_wrong) {
        struct chunk *chunks = chunks_of(c, plan);
        int64_t *term_ptr;
        int32_t *term = terms_of(c, plan, &term_ptr);
        struct model model;
        memset(&model, 0, sizeof model);
        model.plan = plan;
        model.n_features = s->n_features;
        model.feature_bytes = s->feature_bytes;
        model.n_chunks = s->n_chunks;
        model.chunks = chunks;
        model.n_classes = s->n_classes;
        model.n_columns = s->n_columns;
        model.n_planes = s->n_planes;
        model.term_ptr = term_ptr;
        model.term = term;
        model.offset = s->offset;
        is_wrong = check_samples(c, variant, &model);
        free(chunks);
        free(term_ptr);
        free(term);
    }
    gate2hw_plan_free(plan);
    return is_wrong;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    struct case_ c;
    int n_cases = 0, n_wrong = 0;
    if (file == NULL)
        return 2;
    for (; load_case(file, &c); n_cases++) {
        for (int i = 0; i < gate2hw_engine_n_variants(); i++)
            if (check_variant(&c, i)) {
                fprintf(stderr, "case %d: %s\n", n_cases, gate2hw_engine_variant(i)->name);
                n_wrong++;
            }
        free_case(&c);
    }
    fclose(file);
    printf("%d cases:", n_cases);
    for (int i = 0; i < gate2hw_engine_n_variants(); i++)
        printf(" %s", gate2hw_engine_variant(i)->name);
    printf("\n");
    return n_wrong != 0;
}
