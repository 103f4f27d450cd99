/* The dense layer: gates that read two rows each. See kernels.h for what the arguments are. */

#define BLOCK 8 /* vectors that are summed in registers */
#define AHEAD 4 /* rows are fetched this many gates before they are needed: they lie anywhere */

static inline __attribute__((always_inline)) void NAME(fetch)(const T *p, int n)
{
    for (int i = 0; i < n * WIDTH; i += 64)
        __builtin_prefetch((const char *)p + i);
}

/* The rows that `reader` needs: the gradient of its gate, and the gate's other input. */
static inline __attribute__((always_inline)) void NAME(dense_fetch)(
    const struct dense *d, int64_t reader, int64_t j, const int n)
{
    const int64_t gate = reader >> 1, other = (reader & 1 ? d->in0 : d->in1)[gate];
    NAME(fetch)((const T *)d->grad + gate * d->batch + j, n);
    NAME(fetch)((const T *)d->x + other * d->batch + j, n);
}

static void NAME(dense_rows)(const struct dense *d, int64_t begin, int64_t end)
{
    const int64_t batch = d->batch;
    const T *restrict x = d->x, *restrict c = d->coefficients;
    T *restrict out = d->out;
    for (int64_t gate = begin; gate < end; gate++) {
        const T *a = x + d->in0[gate] * batch, *b = x + d->in1[gate] * batch;
        const T *k = c + 4 * gate;
        const T c0 = k[0], c1 = k[1], c2 = k[2], c3 = k[3];
        T *row = out + gate * batch;
        if (gate + AHEAD < d->n_gates && batch <= BLOCK * LANES) {
            NAME(fetch)(x + d->in0[gate + AHEAD] * batch, BLOCK);
            NAME(fetch)(x + d->in1[gate + AHEAD] * batch, BLOCK);
        }
        int64_t j = 0;
        for (; j + LANES <= batch; j += LANES) {
            V va = NAME(load)(a + j), vb = NAME(load)(b + j);
            NAME(store)(row + j, (c0 + c1 * va) + vb * (c2 + c3 * va));
        }
        for (; j < batch; j++)
            row[j] = (c0 + c1 * a[j]) + b[j] * (c2 + c3 * a[j]);
    }
}

/* Gradients of the coefficients alone. */
static void NAME(dense_weights)(const struct dense *d, int64_t begin, int64_t end)
{
    const int64_t batch = d->batch;
    const T *restrict x = d->x, *restrict grad = d->grad;
    T *restrict grad_c = d->grad_coefficients;
    for (int64_t gate = begin; gate < end; gate++) {
        const T *a = x + d->in0[gate] * batch, *b = x + d->in1[gate] * batch;
        const T *g = grad + gate * batch;
        V s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        int64_t j = 0;
        for (; j + LANES <= batch; j += LANES) {
            V vg = NAME(load)(g + j), vb = vg * NAME(load)(b + j), va = NAME(load)(a + j);
            s0 += vg;
            s1 += vg * va;
            s2 += vb;
            s3 += vb * va;
        }
        T *r = grad_c + 4 * gate;
        r[0] = r[1] = r[2] = r[3] = 0;
        NAME(add_sums)(r, s0, s1, s2, s3);
        for (; j < batch; j++) {
            r[0] += g[j];
            r[1] += g[j] * a[j];
            r[2] += g[j] * b[j];
            r[3] += g[j] * b[j] * a[j];
        }
    }
}

/* `n` whole vectors of the gradient of one input row, from all gates that read it; the gradient
 * of a gate's coefficients is added where the row is its first input. */
static inline __attribute__((always_inline)) void NAME(dense_signal)(
    const struct dense *d, int64_t signal, int64_t j, const int n)
{
    const int64_t batch = d->batch;
    const T *restrict x = d->x, *restrict grad = d->grad, *restrict c = d->coefficients;
    const T *own = x + signal * batch + j;
    V sum[BLOCK];
    for (int i = 0; i < n; i++)
        sum[i] = (V){0};
    for (int64_t r = d->reader_ptr[signal]; r < d->reader_ptr[signal + 1]; r++) {
        const int64_t gate = d->reader[r] >> 1;
        const T *g = grad + gate * batch + j, *k = c + 4 * gate;
        const T c3 = k[3];
        if (r + AHEAD < 2 * d->n_gates)
            NAME(dense_fetch)(d, d->reader[r + AHEAD], j, n);
        if (d->reader[r] & 1) {
            const T *a = x + d->in0[gate] * batch + j;
            const T c2 = k[2];
            for (int i = 0; i < n; i++)
                sum[i] += NAME(load)(g + i * LANES) * (c2 + c3 * NAME(load)(a + i * LANES));
            continue;
        }
        const T *b = x + d->in1[gate] * batch + j;
        const T c1 = k[1];
        V s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (int i = 0; i < n; i++) {
            V vg = NAME(load)(g + i * LANES), vb = NAME(load)(b + i * LANES);
            V va = NAME(load)(own + i * LANES), gb = vg * vb;
            sum[i] += vg * c1 + gb * c3;
            s0 += vg;
            s1 += vg * va;
            s2 += gb;
            s3 += gb * va;
        }
        NAME(add_sums)((T *)d->grad_coefficients + 4 * gate, s0, s1, s2, s3);
    }
    T *to = (T *)d->grad_x + signal * batch + j;
    for (int i = 0; i < n; i++)
        NAME(store)(to + i * LANES, sum[i]);
}

/* The same for the single lanes j..batch that do not fill a vector. */
static void NAME(dense_tail)(const struct dense *d, int64_t signal, int64_t j)
{
    const int64_t batch = d->batch;
    const T *restrict x = d->x, *restrict grad = d->grad, *restrict c = d->coefficients;
    const T *own = x + signal * batch;
    T *restrict to = (T *)d->grad_x + signal * batch;
    for (int64_t i = j; i < batch; i++)
        to[i] = 0;
    for (int64_t r = d->reader_ptr[signal]; r < d->reader_ptr[signal + 1]; r++) {
        const int64_t gate = d->reader[r] >> 1;
        const int second = d->reader[r] & 1;
        const T *g = grad + gate * batch, *k = c + 4 * gate;
        const T *other = x + (second ? d->in0 : d->in1)[gate] * batch;
        T s[4] = {0};
        for (int64_t i = j; i < batch; i++) {
            to[i] += g[i] * (k[second ? 2 : 1] + k[3] * other[i]);
            s[0] += g[i];
            s[1] += g[i] * own[i];
            s[2] += g[i] * other[i];
            s[3] += g[i] * other[i] * own[i];
        }
        for (int i = 0; i < 4 && !second; i++)
            ((T *)d->grad_coefficients)[4 * gate + i] += s[i];
    }
}

/* Gradients of the input rows begin..end and of the coefficients of the gates that read one of
 * them first. */
static void NAME(dense_gather)(const struct dense *d, int64_t begin, int64_t end)
{
    for (int64_t signal = begin; signal < end; signal++) {
        for (int64_t r = d->reader_ptr[signal]; r < d->reader_ptr[signal + 1]; r++)
            if (!(d->reader[r] & 1))
                memset((T *)d->grad_coefficients + 4 * (d->reader[r] >> 1), 0, 4 * sizeof(T));
        int64_t j = 0;
        for (; j + BLOCK * LANES <= d->batch; j += BLOCK * LANES)
            NAME(dense_signal)(d, signal, j, BLOCK);
        switch ((d->batch - j) / LANES) {
#define REST(n)                          \
    case n:                              \
        NAME(dense_signal)(d, signal, j, n); \
        j += n * LANES;                  \
        break
            REST(1);
            REST(2);
            REST(3);
            REST(4);
            REST(5);
            REST(6);
            REST(7);
#undef REST
        }
        if (j < d->batch)
            NAME(dense_tail)(d, signal, j);
    }
}
#undef BLOCK
#undef AHEAD
