/* Learned wiring: rows that are weighted sums of rows. See kernels.h for what the arguments are. */

#define BLOCK 8 /* vectors that are summed in registers */

static inline __attribute__((always_inline)) void NAME(mix_block)(
    const struct mix *m, int64_t row, int64_t j, const int n)
{
    const int64_t batch = m->batch, n_candidates = m->n_candidates;
    const T *restrict x = m->x;
    const T *share = (const T *)m->shares + row / m->n_positions * n_candidates;
    const int64_t *place = m->places + row * n_candidates;
    V sum[BLOCK];
    for (int i = 0; i < n; i++)
        sum[i] = (V){0};
    for (int64_t k = 0; k < n_candidates; k++) {
        const T *from = x + place[k] * batch + j;
        const T weight = share[k];
        for (int i = 0; i < n; i++)
            sum[i] += weight * NAME(load)(from + i * LANES);
    }
    T *to = (T *)m->out + row * batch + j;
    for (int i = 0; i < n; i++)
        NAME(store)(to + i * LANES, sum[i]);
}

static inline __attribute__((always_inline)) void NAME(mix_signal)(
    const struct mix *m, int64_t signal, int64_t j, const int n)
{
    const int64_t batch = m->batch, n_candidates = m->n_candidates;
    const int64_t period = m->n_positions * n_candidates;
    const T *restrict grad = m->grad, *restrict shares = m->shares;
    V sum[BLOCK];
    for (int i = 0; i < n; i++)
        sum[i] = (V){0};
    for (int64_t r = m->reader_ptr[signal]; r < m->reader_ptr[signal + 1]; r++) {
        const int64_t reader = m->reader[r];
        const T *g = grad + reader / n_candidates * batch + j;
        const T weight = shares[reader / period * n_candidates + reader % n_candidates];
        for (int i = 0; i < n; i++)
            sum[i] += weight * NAME(load)(g + i * LANES);
    }
    T *to = (T *)m->grad_x + signal * batch + j;
    for (int i = 0; i < n; i++)
        NAME(store)(to + i * LANES, sum[i]);
}

#define BLOCKS(function, index)                                          \
    do {                                                                 \
        for (; j + BLOCK * LANES <= batch; j += BLOCK * LANES)           \
            NAME(function)(m, index, j, BLOCK);                          \
        for (; j + LANES <= batch; j += LANES)                           \
            NAME(function)(m, index, j, 1);                              \
    } while (0)

static void NAME(mix_rows)(const struct mix *m, int64_t begin, int64_t end)
{
    const int64_t batch = m->batch, n_candidates = m->n_candidates;
    const T *restrict x = m->x;
    for (int64_t row = begin; row < end; row++) {
        int64_t j = 0;
        BLOCKS(mix_block, row);
        const T *share = (const T *)m->shares + row / m->n_positions * n_candidates;
        const int64_t *place = m->places + row * n_candidates;
        for (; j < batch; j++) {
            T sum = 0;
            for (int64_t k = 0; k < n_candidates; k++)
                sum += share[k] * x[place[k] * batch + j];
            ((T *)m->out)[row * batch + j] = sum;
        }
    }
}

/* Gradients of the shares of inputs begin..end. */
static void NAME(mix_shares)(const struct mix *m, int64_t begin, int64_t end)
{
    const int64_t batch = m->batch, n_candidates = m->n_candidates, n_positions = m->n_positions;
    const T *restrict x = m->x, *restrict grad = m->grad;
    for (int64_t input = begin; input < end; input++) {
        T *to = (T *)m->grad_shares + input * n_candidates;
        for (int64_t k = 0; k < n_candidates; k++) {
            V sum = {0};
            T rest = 0;
            for (int64_t row = input * n_positions; row < (input + 1) * n_positions; row++) {
                const T *g = grad + row * batch;
                const T *from = x + m->places[row * n_candidates + k] * batch;
                int64_t j = 0;
                for (; j + LANES <= batch; j += LANES)
                    sum += NAME(load)(g + j) * NAME(load)(from + j);
                for (; j < batch; j++)
                    rest += g[j] * from[j];
            }
            to[k] = NAME(sum)(sum) + rest;
        }
    }
}

/* Gradients of the signals begin..end. */
static void NAME(mix_gather)(const struct mix *m, int64_t begin, int64_t end)
{
    const int64_t batch = m->batch, n_candidates = m->n_candidates;
    const int64_t period = m->n_positions * n_candidates;
    const T *restrict grad = m->grad, *restrict shares = m->shares;
    for (int64_t signal = begin; signal < end; signal++) {
        int64_t j = 0;
        BLOCKS(mix_signal, signal);
        for (; j < batch; j++) {
            T sum = 0;
            for (int64_t r = m->reader_ptr[signal]; r < m->reader_ptr[signal + 1]; r++) {
                const int64_t reader = m->reader[r];
                sum += shares[reader / period * n_candidates + reader % n_candidates] *
                       grad[reader / n_candidates * batch + j];
            }
            ((T *)m->grad_x)[signal * batch + j] = sum;
        }
    }
}
#undef BLOCKS
#undef BLOCK
