/* From the 16 logits of a gate to its four coefficients. See kernels.h for what the arguments are.
 *
 * LANES gates go side by side: what is summed over the 16 functions is then a sum of vectors. */

#define FUNCTIONS 16
#define MANTISSA (sizeof(T) == 4 ? 23 : 52)
#define BIAS (sizeof(T) == 4 ? 127 : 1023)

/* exp of x <= 0, within 2 units in the last place; what is less than the least normal number is
 * rounded up to about that. NaN stays NaN. */
static inline __attribute__((always_inline)) V NAME(exp)(V x)
{
    const V zero = {0};
    const T low = sizeof(T) == 4 ? (T)-87.0 : (T)-708.0;
    /* added and taken away, it rounds to a whole number, which then stands in the low bits */
    const T magic = sizeof(T) == 4 ? (T)12582912.0 : (T)6755399441055744.0;
    const T high_part = sizeof(T) == 4 ? (T)0.693359375 : (T)0.693147180369123816490;
    const T low_part = sizeof(T) == 4 ? (T)-2.12194440054690583e-4 : (T)1.90821492927058770002e-10;
    I is_low = x < zero + low;
    x = (V)(((I)x & ~is_low) | ((I)(zero + low) & is_low));
    V shifted = x * (T)1.44269504088896340736 + magic, whole = shifted - magic;
    V rest = (x - whole * high_part) - whole * low_part; /* at most ln(2) / 2 */
    static const double inverse[] = {1.0,           1.0 / 2,        1.0 / 3,        1.0 / 4,
                                     1.0 / 5,       1.0 / 6,        1.0 / 7,        1.0 / 8,
                                     1.0 / 9,       1.0 / 10,       1.0 / 11,       1.0 / 12,
                                     1.0 / 13};
    V sum = zero + (T)1;
    for (int k = sizeof(T) == 4 ? 6 : 12; k >= 0; k--)
        sum = (T)1 + sum * rest * (T)inverse[k];
    return sum * (V)(((I)shifted << MANTISSA) + ((INT)BIAS << MANTISSA));
}

/* The shares of the functions in `n` gates, at most LANES. */
static inline __attribute__((always_inline)) void NAME(relax_shares)(
    const T *logits, const T scale, const int n, V share[FUNCTIONS])
{
    T transposed[FUNCTIONS][WIDTH / sizeof(T)] = {0};
    for (int lane = 0; lane < n; lane++)
        for (int f = 0; f < FUNCTIONS; f++)
            transposed[f][lane] = logits[FUNCTIONS * lane + f];
    for (int f = 0; f < FUNCTIONS; f++)
        share[f] = NAME(load)(transposed[f]);
    V most = share[0], sum = {0};
    for (int f = 1; f < FUNCTIONS; f++) {
        I is_more = share[f] > most;
        most = (V)(((I)share[f] & is_more) | ((I)most & ~is_more));
    }
    for (int f = 0; f < FUNCTIONS; f++) {
        share[f] = NAME(exp)((share[f] - most) * scale);
        sum += share[f];
    }
    V inverse = (T)1 / sum;
    for (int f = 0; f < FUNCTIONS; f++)
        share[f] *= inverse;
}

/* The coefficients are c0 = f(0,0), c1 = f(1,0) - c0, c2 = f(0,1) - c0, and c3 the rest of f(1,1);
 * bit 2a + b of the truth table is f(a, b). */
static inline __attribute__((always_inline)) void NAME(relax_forward)(
    const struct relax *r, int64_t gate, const int n)
{
    V share[FUNCTIONS], entry[4] = {{0}, {0}, {0}, {0}};
    NAME(relax_shares)((const T *)r->logits + FUNCTIONS * gate, (T)r->scale, n, share);
    for (int f = 1; f < FUNCTIONS; f++)
        for (int address = 0; address < 4; address++)
            if (f >> address & 1)
                entry[address] += share[f];
    T out[4][WIDTH / sizeof(T)];
    NAME(store)(out[0], entry[0]);
    NAME(store)(out[1], entry[2] - entry[0]);
    NAME(store)(out[2], entry[1] - entry[0]);
    NAME(store)(out[3], entry[0] - entry[1] - entry[2] + entry[3]);
    T *to = (T *)r->coefficients + 4 * gate;
    for (int lane = 0; lane < n; lane++)
        for (int k = 0; k < 4; k++)
            to[4 * lane + k] = out[k][lane];
}

static inline __attribute__((always_inline)) void NAME(relax_backward)(
    const struct relax *r, int64_t gate, const int n)
{
    V share[FUNCTIONS], gain[FUNCTIONS], mean = {0}, g[4], entry[4];
    NAME(relax_shares)((const T *)r->logits + FUNCTIONS * gate, (T)r->scale, n, share);
    T given[4][WIDTH / sizeof(T)] = {0}, out[FUNCTIONS][WIDTH / sizeof(T)];
    const T *grad = (const T *)r->grad + 4 * gate;
    for (int lane = 0; lane < n; lane++)
        for (int k = 0; k < 4; k++)
            given[k][lane] = grad[4 * lane + k];
    for (int k = 0; k < 4; k++)
        g[k] = NAME(load)(given[k]);
    entry[0] = g[0] - g[1] - g[2] + g[3];
    entry[1] = g[2] - g[3];
    entry[2] = g[1] - g[3];
    entry[3] = g[3];
    for (int f = 0; f < FUNCTIONS; f++) {
        gain[f] = (V){0};
        for (int address = 0; address < 4; address++)
            if (f >> address & 1)
                gain[f] += entry[address];
        mean += share[f] * gain[f];
    }
    for (int f = 0; f < FUNCTIONS; f++)
        NAME(store)(out[f], share[f] * (gain[f] - mean) * (T)r->scale);
    T *to = (T *)r->grad_logits + FUNCTIONS * gate;
    for (int lane = 0; lane < n; lane++)
        for (int f = 0; f < FUNCTIONS; f++)
            to[FUNCTIONS * lane + f] = out[f][lane];
}

/* The coefficients of gates begin..end, or the gradient of their logits where that is asked for. */
static void NAME(relax_gates)(const struct relax *r, int64_t begin, int64_t end)
{
    int64_t gate = begin;
    if (r->grad_logits) {
        for (; gate + LANES <= end; gate += LANES)
            NAME(relax_backward)(r, gate, LANES);
        if (gate < end)
            NAME(relax_backward)(r, gate, end - gate);
        return;
    }
    for (; gate + LANES <= end; gate += LANES)
        NAME(relax_forward)(r, gate, LANES);
    if (gate < end)
        NAME(relax_forward)(r, gate, end - gate);
}
#undef FUNCTIONS
#undef MANTISSA
#undef BIAS
