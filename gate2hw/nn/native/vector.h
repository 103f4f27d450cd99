/* Vectors of T (float or double), WIDTH bytes wide. Included once for each pair of the two:
 * T, INT (the integer as wide as T), WIDTH, and NAME(x), which makes a name of that pair. */

#define V NAME(v)
#define VU NAME(vu)
#define I NAME(i)
#define LANES ((int64_t)(WIDTH / sizeof(T)))

typedef T V __attribute__((vector_size(WIDTH)));
typedef T VU __attribute__((vector_size(WIDTH), aligned(sizeof(T)), may_alias));
typedef INT I __attribute__((vector_size(WIDTH)));

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
