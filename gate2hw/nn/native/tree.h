/* Trees of gates, shared over positions, and the greatest of each window of positions.
 *
 * A group of NV vectors of samples at a time: its part of x is first copied together, so that it
 * stays in the cache while all kernels read it. The copy ends with a row of zeros, the padding. */

#define NV 2
#define GROUP ((int64_t)(NV * WIDTH / sizeof(T)))
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

typedef uint8_t NAME(bytes) __attribute__((vector_size(WIDTH / sizeof(T)), may_alias, aligned(1)));

/* The coefficients of one kernel's tree, level after level. */
static void NAME(tree_coefficients)(const struct tree *t, int64_t kernel, T *to)
{
    const T *level = t->coefficients;
    for (int64_t n = (int64_t)1 << (t->depth - 1); n; n /= 2) {
        memcpy(to, level + kernel * n * 4, n * 4 * sizeof(T));
        to += n * 4;
        level += t->n_kernels * n * 4;
    }
}

static void NAME(tree_collect)(const struct tree *t, int64_t first, T *restrict to)
{
    const int64_t n_signals = t->channels * t->height * t->width;
    for (int64_t row = 0; row < n_signals; row++)
        memcpy(to + row * GROUP, (const T *)t->x + row * t->batch + first, GROUP * sizeof(T));
    memset(to + n_signals * GROUP, 0, GROUP * sizeof(T));
}

/* The values of a tree whose leaves read `row`, counted from x. */
INLINE void NAME(tree_value)(const T *x, const int64_t *row, const T *c, const int depth, V *out)
{
    V value[MAX_LEAVES / 2][NV];
    const int n_leaves = 1 << depth;
    UNROLL
    for (int g = 0; g < n_leaves / 2; g++, c += 4)
        UNROLL
        for (int v = 0; v < NV; v++) {
            V a = NAME(load)(x + row[2 * g] * GROUP + v * LANES);
            V b = NAME(load)(x + row[2 * g + 1] * GROUP + v * LANES);
            value[g][v] = (c[0] + c[1] * a) + b * (c[2] + c[3] * a);
        }
    UNROLL
    for (int n = n_leaves / 4; n; n /= 2)
        UNROLL
        for (int g = 0; g < n; g++, c += 4)
            UNROLL
            for (int v = 0; v < NV; v++) {
                V a = value[2 * g][v], b = value[2 * g + 1][v];
                value[g][v] = (c[0] + c[1] * a) + b * (c[2] + c[3] * a);
            }
    UNROLL
    for (int v = 0; v < NV; v++)
        out[v] = value[0][v];
}

INLINE void NAME(tree_window)(const struct tree *t, const struct window *window, const T *x,
                              const T *c, int64_t at, const int depth, const int n_window)
{
    V best[NV];
    I winner[NV];
    for (int v = 0; v < NV; v++)
        best[v] = (V){0}, winner[v] = (I){0};
    x += window->base * GROUP;
    for (int w = 0; w < n_window; w++) {
        V value[NV];
        NAME(tree_value)(x, window->row[w], c, depth, value);
        UNROLL
        for (int v = 0; v < NV; v++) {
            if (window->is_outside[w])
                value[v] = (V){0};
            /* the first of equals stays; what is not a number wins and stays */
            I better = (value[v] > best[v]) | (value[v] != value[v]);
            if (w == 0)
                better = ~(I){0};
            best[v] = (V)(((I)value[v] & better) | ((I)best[v] & ~better));
            winner[v] = (better & w) | (winner[v] & ~better);
        }
    }
    UNROLL
    for (int v = 0; v < NV; v++) {
        NAME(store)((T *)t->out + at + v * LANES, best[v]);
        *(NAME(bytes) *)(t->winner + at + v * LANES) =
            __builtin_convertvector(winner[v], NAME(bytes));
    }
}

/* The kernels begin..end on the samples of one group, the first of which is `first`. */
INLINE void NAME(tree_forward)(const struct tree *t, int64_t begin, int64_t end, int64_t first,
                               const T *x, const int depth, const int n_window)
{
    T c[(MAX_LEAVES - 1) * 4];
    struct window inside, border;
    for (int64_t kernel = begin; kernel < end; kernel++) {
        const int32_t *leaves = t->leaves + (kernel * 3 << depth);
        int64_t place = kernel * t->pooled[0] * t->pooled[1];
        NAME(tree_coefficients)(t, kernel, c);
        find_rows(t, leaves, 0, 0, 0, 0, &inside);
        for (int64_t row = 0; row < t->pooled[0]; row++)
            for (int64_t column = 0; column < t->pooled[1]; column++, place++)
                NAME(tree_window)(t, find_window(t, leaves, row, column, &inside, &border), x, c,
                                  place * t->batch + first, depth, n_window);
    }
}

/* The values of all gates but the last of the trees that won; leaves come first. */
INLINE void NAME(tree_winners)(const struct window *window, const T *x, const T *c,
                               I (*mask)[NV], const int depth, const int n_window, V (*value)[NV])
{
    const int n_leaves = 1 << depth;
    x += window->base * GROUP;
    UNROLL
    for (int l = 0; l < n_leaves; l++) {
        I leaf[NV];
        for (int v = 0; v < NV; v++)
            leaf[v] = (I){0};
        for (int w = 0; w < n_window; w++)
            UNROLL
            for (int v = 0; v < NV; v++)
                leaf[v] |= (I)NAME(load)(x + window->row[w][l] * GROUP + v * LANES) & mask[w][v];
        UNROLL
        for (int v = 0; v < NV; v++)
            value[l][v] = (V)leaf[v];
    }
    UNROLL
    for (int g = 0; g < n_leaves - 2; g++, c += 4)
        UNROLL
        for (int v = 0; v < NV; v++) {
            V a = value[2 * g][v], b = value[2 * g + 1][v];
            value[n_leaves + g][v] = (c[0] + c[1] * a) + b * (c[2] + c[3] * a);
        }
}

/* From `value`, in which the gradient of the tree is the last, to the gradients of the leaves,
 * its first; `sum` are those of the coefficients, lane by lane. */
INLINE void NAME(tree_chain)(const T *c, const int depth, V (*value)[NV], V *restrict sum)
{
    const int n_leaves = 1 << depth;
    UNROLL
    for (int g = n_leaves - 2; g >= 0; g--) {
        const T c1 = c[4 * g + 1], c2 = c[4 * g + 2], c3 = c[4 * g + 3];
        V s0 = sum[4 * g], s1 = sum[4 * g + 1], s2 = sum[4 * g + 2], s3 = sum[4 * g + 3];
        UNROLL
        for (int v = 0; v < NV; v++) {
            V grad = value[n_leaves + g][v], a = value[2 * g][v], b = value[2 * g + 1][v];
            V gb = grad * b, ga = grad * a;
            s0 += grad;
            s1 += ga;
            s2 += gb;
            s3 += gb * a;
            value[2 * g][v] = grad * c1 + gb * c3;
            value[2 * g + 1][v] = grad * c2 + ga * c3;
        }
        sum[4 * g] = s0, sum[4 * g + 1] = s1, sum[4 * g + 2] = s2, sum[4 * g + 3] = s3;
    }
}

INLINE void NAME(tree_group)(const struct tree *t, const struct window *window, const T *x,
                             T *grad_x, const T *c, int64_t at, V *restrict sum, const int depth,
                             const int n_window)
{
    const int n_leaves = 1 << depth;
    V value[2 * MAX_LEAVES][NV];
    I mask[MAX_WINDOW][NV];
    V *grad = value[2 * n_leaves - 2];
    for (int v = 0; v < NV; v++) {
        I winner = __builtin_convertvector(*(const NAME(bytes) *)(t->winner + at + v * LANES), I);
        grad[v] = NAME(load)((const T *)t->grad + at + v * LANES);
        for (int w = 0; w < n_window; w++) {
            mask[w][v] = winner == w;
            if (window->is_outside[w])
                grad[v] = (V)((I)grad[v] & ~mask[w][v]);
        }
    }
    NAME(tree_winners)(window, x, c, mask, depth, n_window, value);
    NAME(tree_chain)(c, depth, value, sum);
    if (!grad_x)
        return;
    for (int w = 0; w < n_window; w++)
        UNROLL
        for (int l = 0; l < n_leaves; l++) {
            T *to = grad_x + (window->base + window->row[w][l]) * GROUP;
            UNROLL
            for (int v = 0; v < NV; v++)
                NAME(store)(to + v * LANES,
                            NAME(load)(to + v * LANES) + (V)((I)value[l][v] & mask[w][v]));
        }
}

/* Gradients of the kernels begin..end for one group; those of the coefficients as `partial`. */
INLINE void NAME(tree_backward)(const struct tree *t, int64_t begin, int64_t end, int64_t first,
                                const T *x, T *grad_x, T *partial, const int depth,
                                const int n_window)
{
    const int64_t n_gates = ((int64_t)1 << depth) - 1;
    T c[(MAX_LEAVES - 1) * 4];
    V sum[(MAX_LEAVES - 1) * 4];
    struct window inside, border;
    for (int64_t kernel = begin; kernel < end; kernel++) {
        const int32_t *leaves = t->leaves + (kernel * 3 << depth);
        int64_t place = kernel * t->pooled[0] * t->pooled[1];
        NAME(tree_coefficients)(t, kernel, c);
        memset(sum, 0, n_gates * 4 * sizeof(V));
        find_rows(t, leaves, 0, 0, 0, 0, &inside);
        for (int64_t row = 0; row < t->pooled[0]; row++)
            for (int64_t column = 0; column < t->pooled[1]; column++, place++)
                NAME(tree_group)(t, find_window(t, leaves, row, column, &inside, &border), x,
                                 grad_x, c, place * t->batch + first, sum, depth, n_window);
        T *level = partial;
        const V *from = sum;
        for (int64_t n = (n_gates + 1) / 2; n; n /= 2) {
            for (int64_t i = 0; i < n * 4; i++)
                level[kernel * n * 4 + i] = NAME(sum)(*from++);
            level += t->n_kernels * n * 4;
        }
    }
}

/* The common shapes are compiled apart, so that their trees stay in registers. */
#ifdef IS_TRAINED
#define SHAPES(CALL)                                         \
    const int n_window = (int)(t->window[0] * t->window[1]); \
    if (t->depth == 2 && n_window == 1)                      \
        CALL(2, 1);                                          \
    else if (t->depth == 2 && n_window == 4)                 \
        CALL(2, 4);                                          \
    else if (t->depth == 3 && n_window == 1)                 \
        CALL(3, 1);                                          \
    else if (t->depth == 3 && n_window == 4)                 \
        CALL(3, 4);                                          \
    else                                                     \
        CALL((int)t->depth, n_window)
#else
#define SHAPES(CALL) CALL((int)t->depth, (int)(t->window[0] * t->window[1]))
#endif

static void NAME(tree_rows)(const struct tree *t, int64_t begin, int64_t end, int64_t group,
                            void *scratch)
{
    T *x = scratch;
    NAME(tree_collect)(t, group * GROUP, x);
#define CALL(depth, n_window) \
    NAME(tree_forward)(t, begin, end, group * GROUP, x, depth, n_window)
    SHAPES(CALL);
#undef CALL
}

static void NAME(tree_gather)(const struct tree *t, int64_t begin, int64_t end, int64_t group,
                              void *scratch)
{
    const int64_t n_signals = t->channels * t->height * t->width;
    const int64_t n_gates = ((int64_t)1 << t->depth) - 1;
    T *x = scratch, *grad_x = t->grad_x ? x + (n_signals + 1) * GROUP : NULL;
    T *partial = (T *)t->partial + group * t->n_kernels * n_gates * 4;
    NAME(tree_collect)(t, group * GROUP, x);
    if (grad_x)
        memset(grad_x, 0, (n_signals + 1) * GROUP * sizeof(T));
#define CALL(depth, n_window) \
    NAME(tree_backward)(t, begin, end, group * GROUP, x, grad_x, partial, depth, n_window)
    SHAPES(CALL);
#undef CALL
    for (int64_t row = 0; row < n_signals && grad_x; row++)
        memcpy((T *)t->grad_x + row * t->batch + group * GROUP, grad_x + row * GROUP,
               GROUP * sizeof(T));
}

/* Add up the groups' gradients of the coefficients, in order. */
static void NAME(tree_sum)(const struct tree *t, int64_t n_groups)
{
    const int64_t n = t->n_kernels * (((int64_t)1 << t->depth) - 1) * 4;
    T *restrict to = t->grad_coefficients;
    memset(to, 0, n * sizeof(T));
    for (int64_t group = 0; group < n_groups; group++) {
        const T *restrict from = (const T *)t->partial + group * n;
        for (int64_t i = 0; i < n; i++)
            to[i] += from[i];
    }
}

#undef SHAPES
#undef UNROLL
#undef INLINE
#undef GROUP
#undef NV
