/* The interpreter for one instruction set: SET names it, WIDTH is its vector in bytes, PLACES how
 * many vectors a slot has. A block is 8 * WIDTH * PLACES samples. */

#define PASTE2(a, b) a##_##b
#define EXPAND2(a, b) PASTE2(a, b)
#define NAME(x) EXPAND2(x, SET)
#define V NAME(vector)
#define SLOT_BYTES (WIDTH * PLACES)
#define BLOCK (8 * SLOT_BYTES)
#define BLOCK_WORDS (BLOCK / 64)
#define VECTOR_WORDS (WIDTH / 8)

typedef uint64_t V __attribute__((vector_size(WIDTH), may_alias));

#ifdef TERNARY
#define SUM3(a, b, c) (V) TERNARY(a, b, c, 0x96)
#define MAJORITY(a, b, c) (V) TERNARY(a, b, c, 0xe8)
#define CHOOSE(s, a, b) (V) TERNARY(s, a, b, 0xca)
#define ABOVE(a, b, c) (V) TERNARY(a, b, c, 0xb2)
#else
#define SUM3(a, b, c) ((a) ^ (b) ^ (c))
#define MAJORITY(a, b, c) (((a) & (b)) | ((c) & ((a) ^ (b))))
#define CHOOSE(s, a, b) (((s) & (a)) | (~(s) & (b)))
#define ABOVE(a, b, c) (((a) & ~(b)) | (~((a) ^ (b)) & (c)))
#endif

#define INDEX uint16_t
#define UNIT 1
#define INTERPRET EXPAND2(interpret16, SET)
#include "interpret.h"
#define INDEX uint16_t
#define UNIT (SLOT_BYTES / 8)
#define INTERPRET EXPAND2(interpret16s, SET)
#include "interpret.h"
#define INDEX uint32_t
#define UNIT 1
#define INTERPRET EXPAND2(interpret32, SET)
#include "interpret.h"

/* The ops of one segment. */
static void NAME(interpret)(const struct plan *plan, int64_t part, V *slots)
{
    if (plan->word_bytes == 2 && plan->unit == 1)
        EXPAND2(interpret16, SET)(plan, part, slots);
    else if (plan->word_bytes == 2)
        EXPAND2(interpret16s, SET)(plan, part, slots);
    else
        EXPAND2(interpret32, SET)(plan, part, slots);
}

/* Slots of a call, of an earlier one where there are any: new memory costs more than its use. */
static V *NAME(take_slots)(const struct plan *plan)
{
    const size_t bytes = (size_t)plan->n_slots * SLOT_BYTES;
    V *slots = NULL;
    for (int i = 0; slots == NULL && i < MOST_SPARE; i++)
        slots = __atomic_exchange_n(&plan->spare[i], NULL, __ATOMIC_ACQ_REL);
    if (slots != NULL)
        return slots;
    slots = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (slots != NULL) {
        memset(slots, 0, SLOT_BYTES);
        memset(slots + PLACES, 0xff, SLOT_BYTES);
    }
    return slots;
}

static void NAME(give_back)(const struct plan *plan, void *slots)
{
    for (int i = 0; slots != NULL && i < MOST_SPARE; i++)
        slots = __atomic_exchange_n(&plan->spare[i], slots, __ATOMIC_ACQ_REL);
    free(slots);
}

/* Carry-save counter in planes: plane j is worth 2^j, one value of it may be pending. */
struct NAME(counter) {
    V sum[MOST_PLANES + 4], pending[MOST_PLANES + 4];
    uint64_t is_pending;
};

static inline void NAME(add)(struct NAME(counter) *to, int64_t plane, V value)
{
    while (to->is_pending >> plane & 1) {
        const V sum = to->sum[plane], pending = to->pending[plane];
        to->sum[plane] = SUM3(sum, pending, value);
        to->is_pending ^= (uint64_t)1 << plane;
        value = MAJORITY(sum, pending, value);
        plane++;
    }
    to->pending[plane] = value;
    to->is_pending |= (uint64_t)1 << plane;
}

/* One vector of the slots of a column: eight at a time, so that each is read once (Harley-Seal). */
static inline void NAME(add_column)(struct NAME(counter) *to, int64_t plane, const V *slots,
                                    const int32_t *term, int64_t n)
{
    V ones = {0}, twos = {0}, fours = {0};
    int64_t i = 0;
#define TERM(d) slots[(size_t)term[i + (d)] * PLACES]
#define FULL(high, low, x, y)              \
    do {                                   \
        const V p = (x), q = (y), r = low; \
        high = MAJORITY(p, q, r);          \
        low = SUM3(p, q, r);               \
    } while (0)
    for (; i + 8 <= n; i += 8) {
        V two_a, two_b, four_a, four_b, eight;
        FULL(two_a, ones, TERM(0), TERM(1));
        FULL(two_b, ones, TERM(2), TERM(3));
        FULL(four_a, twos, two_a, two_b);
        FULL(two_a, ones, TERM(4), TERM(5));
        FULL(two_b, ones, TERM(6), TERM(7));
        FULL(four_b, twos, two_a, two_b);
        FULL(eight, fours, four_a, four_b);
        NAME(add)(to, plane + 3, eight);
    }
    if (i) {
        NAME(add)(to, plane, ones);
        NAME(add)(to, plane + 1, twos);
        NAME(add)(to, plane + 2, fours);
    }
    for (; i < n; i++)
        NAME(add)(to, plane, TERM(0));
#undef FULL
#undef TERM
}

static inline void NAME(add_part)(const struct model *m, int64_t part, const V *slots,
                                  struct NAME(counter) *counter)
{
    for (int64_t j = 0; j < m->n_columns; j++) {
        const int64_t *ptr = m->term_ptr + part * m->n_columns + j;
        NAME(add_column)(counter, j, slots, m->term + ptr[0], ptr[1] - ptr[0]);
    }
}

/* What was counted, in n_planes vectors, and the counter at 0 again. */
static inline void NAME(close_count)(const struct model *m, struct NAME(counter) *counter,
                                     V *planes)
{
    for (int64_t j = 0; j < m->n_planes; j++) {
        if (counter->is_pending >> j & 1) {
            const V zero = {0};
            NAME(add)(counter, j, zero);
        }
        planes[j] = counter->sum[j];
    }
    counter->is_pending = 0;
    memset(counter->sum, 0, sizeof counter->sum);
}

/* 64 numbers of n_planes bits each, plane j in word[j * stride]. */
static inline void NAME(numbers)(const uint64_t *word, int64_t stride, int64_t n_planes,
                                 int32_t *number)
{
    memset(number, 0, 64 * sizeof *number);
    for (int64_t j = 0; j < n_planes; j++) {
        const uint64_t plane = word[j * stride];
        const uint32_t low = (uint32_t)plane, high = (uint32_t)(plane >> 32);
        for (int i = 0; i < 32; i++)
            number[i] |= (int32_t)((low >> i & 1) << j);
        for (int i = 0; i < 32; i++)
            number[32 + i] |= (int32_t)((high >> i & 1) << j);
    }
}

static void NAME(write_classes)(const V *index, int64_t n_planes, int64_t n, int64_t *classes)
{
    int32_t number[64];
    for (int64_t word = 0; 64 * word < n; word++) {
        const int64_t n_here = at_most(n - 64 * word, 64);
        NAME(numbers)((const uint64_t *)index + word, VECTOR_WORDS, n_planes, number);
        for (int64_t i = 0; i < n_here; i++)
            classes[64 * word + i] = number[i];
    }
}

static void NAME(write_scores)(const struct model *m, int64_t c, const V *planes, int64_t n,
                               int32_t *scores)
{
    int32_t number[64];
    for (int64_t word = 0; 64 * word < n; word++) {
        const int64_t n_here = at_most(n - 64 * word, 64);
        NAME(numbers)((const uint64_t *)planes + word, VECTOR_WORDS, m->n_planes, number);
        for (int64_t i = 0; i < n_here; i++)
            scores[(64 * word + i) * m->n_classes + c] =
                (int32_t)((uint32_t)number[i] + (uint32_t)m->offset); /* both may need 32 bits */
    }
}

/* The highest score so far of each sample of a vector, and its class. */
struct NAME(winner) {
    V best[MOST_PLANES], index[32];
};

/* The score of class c takes part; ties go to the lowest class. */
static inline void NAME(judge)(const struct model *m, int64_t c, const V *planes,
                               struct NAME(winner) *winner)
{
    V above = {0};
    if (c == 0) {
        memset(winner->index, 0, sizeof winner->index);
        memcpy(winner->best, planes, sizeof *planes * (size_t)m->n_planes);
        return;
    }
    for (int64_t j = 0; j < m->n_planes; j++)
        above = ABOVE(planes[j], winner->best[j], above);
    for (int64_t j = 0; j < m->n_planes; j++)
        winner->best[j] = CHOOSE(above, planes[j], winner->best[j]);
    for (int64_t j = 0; (m->n_classes - 1) >> j; j++)
        winner->index[j] = c >> j & 1 ? winner->index[j] | above : winner->index[j] & ~above;
}

#include "encode.h"

/* n samples whose bits are in their slots. */
static void NAME(run_block)(const struct model *m, V *slots, int64_t n, int64_t *classes,
                            int32_t *scores)
{
    struct NAME(winner) winner[PLACES];
    struct NAME(counter) counter[PLACES];
    const struct plan *plan = m->plan;
    const int64_t lanes = 8 * WIDTH;
    int64_t n_index = 0;
    while ((m->n_classes - 1) >> n_index)
        n_index++;
    for (int at = 0; at < PLACES; at++) {
        counter[at].is_pending = 0;
        memset(counter[at].sum, 0, sizeof counter[at].sum);
    }
    for (int64_t part = 0; part < plan->n_parts; part++) {
        const int64_t c = plan->part_group[part];
        const int is_whole = part + 1 == plan->n_parts || plan->part_group[part + 1] != c;
        NAME(interpret)(plan, part, slots);
        for (int64_t at = 0; lanes * at < n; at++) {
            V planes[MOST_PLANES];
            NAME(add_part)(m, part, slots + at, &counter[at]);
            if (!is_whole)
                continue;
            NAME(close_count)(m, &counter[at], planes);
            if (scores != NULL)
                NAME(write_scores)(m, c, planes, at_most(n - lanes * at, lanes),
                                   scores + lanes * at * m->n_classes);
            if (classes != NULL)
                NAME(judge)(m, c, planes, &winner[at]);
        }
    }
    for (int64_t at = 0; classes != NULL && lanes * at < n; at++)
        NAME(write_classes)(winner[at].index, n_index, at_most(n - lanes * at, lanes),
                            classes + lanes * at);
}

static int NAME(run)(const struct model *m, const struct batch *batch)
{
    V *slots = NAME(take_slots)(m->plan);
    uint8_t *bytes = aligned_alloc(64, (size_t)(m->n_chunks | 1) * SLOT_BYTES * 64);
    const int is_made = slots != NULL && bytes != NULL;
    for (int64_t start = 0; is_made && start < batch->n; start += BLOCK) {
        const int64_t n = at_most(batch->n - start, BLOCK);
        NAME(encode)(m, batch, start, n, bytes, (uint8_t *)slots);
        NAME(run_block)(m, slots, n, batch->classes ? batch->classes + start : NULL,
                        batch->scores ? batch->scores + start * m->n_classes : NULL);
    }
    NAME(give_back)(m->plan, slots);
    free(bytes);
    return !is_made;
}

static int NAME(simulate)(const struct plan *plan, const struct bits *bits)
{
    V *slots = NAME(take_slots)(plan);
    if (slots == NULL)
        return 1;
    for (int64_t start = 0; start < bits->n_words; start += BLOCK_WORDS) {
        const int64_t n = at_most(bits->n_words - start, BLOCK_WORDS);
        const size_t n_bytes = (size_t)n * sizeof(uint64_t);
        for (int64_t i = 0; i < bits->n_inputs; i++)
            if (plan->input_slot[i] >= 0)
                memcpy(slots + (size_t)plan->input_slot[i] * PLACES,
                       bits->words + i * bits->stride + start, n_bytes);
        for (int64_t part = 0; part < plan->n_parts; part++) {
            NAME(interpret)(plan, part, slots);
            for (int64_t i = plan->part_ptr[part]; i < plan->part_ptr[part + 1]; i++) {
                const int32_t o = plan->part_output[i];
                memcpy(bits->out + o * bits->stride + start,
                       slots + (size_t)plan->output_slot[o] * PLACES, n_bytes);
            }
        }
    }
    NAME(give_back)(plan, slots);
    return 0;
}

#define PASTE_TEXT(x) #x
#define TEXT(x) PASTE_TEXT(x)
static const struct variant NAME(variant) = {TEXT(SET), MOST_OPERANDS, BLOCK, NAME(run),
                                             NAME(simulate)};
#undef PASTE_TEXT
#undef TEXT
#undef NAME
#undef V
#undef SLOT_BYTES
#undef BLOCK
#undef BLOCK_WORDS
#undef VECTOR_WORDS
#undef SUM3
#undef MAJORITY
#undef CHOOSE
#undef ABOVE
#undef PASTE2
#undef EXPAND2
#undef SET
#undef PLACES
