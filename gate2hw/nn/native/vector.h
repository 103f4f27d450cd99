/* Vectors of T (float or double), WIDTH bytes wide. Included once for each pair of the two:
 * T, INT (the integer as wide as T), WIDTH, and NAME(x), which makes a name of that pair. */

#define V NAME(v)
#define VU NAME(vu)
#define I NAME(i)
#define LANES ((int64_t)(WIDTH / sizeof(T)))

typedef T V __attribute__((vector_size(WIDTH)));
typedef T VU __attribute__((vector_size(WIDTH), aligned(sizeof(T)), may_alias));
typedef INT I __attribute__((vector_size(WIDTH)));
typedef T NAME(q) __attribute__((vector_size(16))); /* the shortest */

static inline __attribute__((always_inline)) V NAME(load)(const T *p)
{
    return *(const VU *)p;
}

static inline __attribute__((always_inline)) void NAME(store)(T *p, V v)
{
    *(VU *)p = v;
}

/* The sum of the lanes, by halves: always in the same order. */
static inline __attribute__((always_inline)) T NAME(sum)(V v)
{
    T lane[WIDTH / sizeof(T)];
    memcpy(lane, &v, WIDTH);
    for (int half = WIDTH / sizeof(T) / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

/* The vector folded by halves until it is the shortest. */
static inline __attribute__((always_inline)) NAME(q) NAME(fold)(V v)
{
#if WIDTH >= 32
    typedef T half __attribute__((vector_size(WIDTH / 2)));
    union {
        V whole;
        half halves[2];
    } all = {v};
    half folded = all.halves[0] + all.halves[1];
#if WIDTH >= 64
    union {
        half whole;
        NAME(q) halves[2];
    } rest = {folded};
    return rest.halves[0] + rest.halves[1];
#else
    return folded;
#endif
#else
    return v;
#endif
}

/* Add the sum of the lanes of each vector to a number of its own, always in the same order. */
static inline __attribute__((always_inline)) void NAME(add_sums)(T *to, V v0, V v1, V v2, V v3)
{
    NAME(q) q[4] = {NAME(fold)(v0), NAME(fold)(v1), NAME(fold)(v2), NAME(fold)(v3)};
#ifdef IS_TRAINED
    NAME(q) low = SHUFFLE(q[0], q[1], 0, 4, 1, 5) + SHUFFLE(q[0], q[1], 2, 6, 3, 7);
    NAME(q) high = SHUFFLE(q[2], q[3], 0, 4, 1, 5) + SHUFFLE(q[2], q[3], 2, 6, 3, 7);
    NAME(q) sums = SHUFFLE(low, high, 0, 1, 4, 5) + SHUFFLE(low, high, 2, 3, 6, 7);
    for (int k = 0; k < 4; k++)
        to[k] += sums[k];
#else
    for (int k = 0; k < 4; k++)
        to[k] += q[k][0] + q[k][1];
#endif
}
