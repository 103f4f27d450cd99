/* Plans and runs a net again and again, each time with a later allocation failing, until none does:
 * what fails must say so and leave nothing behind. Linked with --wrap for the four functions. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gate2hw_engine_n_variants(void);
const struct variant *gate2hw_engine_variant(int i);
int gate2hw_engine_run(int variant, const struct model *model, const struct batch *batch);
int gate2hw_engine_simulate(int variant, const struct plan *plan, const struct bits *bits);

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

static int until_failure;

static int is_refused(void)
{
    return until_failure-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return is_refused() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_refused() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t n)
{
    return is_refused() ? NULL : __real_realloc(memory, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return is_refused() ? NULL : __real_aligned_alloc(alignment, n);
}

enum { INPUTS = 9, GATES = 300, OUTPUTS = 20, SAMPLES = 70 };

static uint8_t tt[GATES], x[SAMPLES];
static int32_t in0[GATES], in1[GATES], term[OUTPUTS];
static int64_t outputs[OUTPUTS], classes[SAMPLES];
static int32_t scores[SAMPLES * 2];
static uint64_t words[INPUTS], out[OUTPUTS];
static const int64_t group_ptr[3] = {0, OUTPUTS / 2, OUTPUTS};

static uint32_t next(void)
{
    static uint32_t state = 12345;
    state = state * 1664525 + 1013904223;
    return state >> 16;
}

static void draw_net(void)
{
    for (int g = 0; g < GATES; g++) {
        tt[g] = (uint8_t)(next() % 16);
        in0[g] = (int32_t)(next() % (uint32_t)(1 + INPUTS + g));
        in1[g] = (int32_t)(next() % (uint32_t)(1 + INPUTS + g));
    }
    for (int o = 0; o < OUTPUTS; o++)
        outputs[o] = 2 * (1 + INPUTS + GATES / 2) + (int64_t)(next() % GATES);
}

/* Whether all of it was done. */
static int attempt(int variant)
{
    const struct variant *v = gate2hw_engine_variant(variant);
    const struct netlist net = {.n_inputs = INPUTS, .n_gates = GATES, .n_outputs = OUTPUTS,
                                .n_groups = 2, .tt = tt, .in0 = in0, .in1 = in1,
                                .outputs = outputs, .group_ptr = group_ptr};
    struct plan *plan = gate2hw_plan(&net, v->k, v->block / 64, 64, NULL, 0);
    int is_done = 0;
    if (plan != NULL) {
        const struct bits bits = {.n_words = 1, .stride = 1, .n_inputs = INPUTS,
                                  .n_outputs = OUTPUTS, .words = words, .out = out};
        const struct model model = {.plan = plan, .n_features = 1, .feature_bytes = 1,
                                    .n_classes = 2, .n_columns = 1, .n_planes = 5,
                                    .term_ptr = group_ptr, .term = term};
        const struct batch batch = {SAMPLES, x, classes, scores};
        for (int o = 0; o < OUTPUTS; o++)
            term[o] = plan->output_slot[o];
        is_done = !gate2hw_engine_simulate(variant, plan, &bits) &&
                  !gate2hw_engine_run(variant, &model, &batch);
    }
    gate2hw_plan_free(plan);
    return is_done;
}

int main(void)
{
    int n_failed = 0;
    draw_net();
    for (int variant = 0; variant < gate2hw_engine_n_variants(); variant++)
        for (int at = 0;; at++) {
            int is_done;
            until_failure = at;
            is_done = attempt(variant);
            if (until_failure >= 0 && !is_done)
                return 1;
            if (until_failure >= 0)
                break;
            n_failed += !is_done;
        }
    until_failure = -1;
    printf("%d failed\n", n_failed);
    return n_failed < 20;
}
