/* Thermometer bits of a block of samples. Features are compared 64 at a time, eight samples into
 * one byte a feature; then the bytes of a feature are brought together in its slot. */

typedef uint8_t NAME(bytes) __attribute__((vector_size(BYTES), aligned(1), may_alias));
typedef uint8_t NAME(lane) __attribute__((vector_size(16), aligned(1), may_alias));

#ifdef BYTES_OR_WHERE_REACHED
#define OR_WHERE_REACHED(sum, x, bound, bit) (NAME(bytes)) BYTES_OR_WHERE_REACHED(sum, x, bound, bit)
#else
#define OR_WHERE_REACHED(sum, x, bound, bit) ((sum) | ((NAME(bytes))((x) >= (bound)) & (bit)))
#endif

/* Bit r of byte f is the feature f of row r compared; rows from n_rows on give 0. For `n_bounds`
 * chunks of the same features, whose results lie side by side. */
static inline __attribute__((always_inline)) void NAME(compare)(
    const uint8_t *row, int64_t row_bytes, int64_t n_rows, const struct chunk *chunk,
    const int n_bounds, uint8_t *to)
{
    NAME(bytes) sum[4][64 / BYTES], bound[4][64 / BYTES], bit = {0};
    bit = bit + 1;
    memset(sum, 0, sizeof sum);
    for (int t = 0; t < n_bounds; t++)
        memcpy(bound[t], chunk[t].least, 64);
    for (int64_t r = 0; r < n_rows; r++, row += row_bytes, bit = bit + bit)
        for (int i = 0; i < 64 / BYTES; i++) {
            const NAME(bytes) x = *(const NAME(bytes) *)(row + BYTES * i);
            for (int t = 0; t < n_bounds; t++)
                sum[t][i] = OR_WHERE_REACHED(sum[t][i], x, bound[t][i], bit);
        }
    for (int t = 0; t < n_bounds; t++)
        memcpy(to + 64 * t, sum[t], 64);
}

static inline void NAME(compare8)(const uint8_t *row, int64_t row_bytes, int64_t n_rows,
                                  const struct chunk *chunk, int64_t n, uint8_t *to)
{
    if (n == 4)
        NAME(compare)(row, row_bytes, n_rows, chunk, 4, to);
    else if (n == 3)
        NAME(compare)(row, row_bytes, n_rows, chunk, 3, to);
    else if (n == 2)
        NAME(compare)(row, row_bytes, n_rows, chunk, 2, to);
    else
        NAME(compare)(row, row_bytes, n_rows, chunk, 1, to);
}

/* The same of features of two bytes. */
static inline void NAME(compare16)(const uint8_t *row, int64_t row_bytes, int64_t n_rows,
                                   const uint8_t *least, uint8_t *to)
{
    uint16_t x[64], bound[64];
    memcpy(bound, least, sizeof bound);
    memset(to, 0, 64);
    for (int64_t r = 0; r < n_rows; r++, row += row_bytes) {
        memcpy(x, row, sizeof x);
        for (int i = 0; i < 64; i++)
            to[i] |= (uint8_t)((x[i] >= bound[i]) << r);
    }
}

/* Column f of SLOT_BYTES rows of 64 bytes, `stride` apart, goes to slot[f]; none where it is < 0. */
static inline void NAME(columns)(const uint8_t *rows, size_t stride, const int32_t *slot,
                                 uint8_t *slots)
{
#if defined(COLUMNS64) && SLOT_BYTES % 64 == 0
    for (int i = 0; i < SLOT_BYTES; i += 64)
        COLUMNS64(rows + (size_t)i * stride, stride, slot, slots + i, SLOT_BYTES);
#elif SLOT_BYTES % 16 == 0
    /* 16 x 16 bytes: four times, the number of a byte (row, column) is rotated by one bit */
    for (int i = 0; i < SLOT_BYTES; i += 16)
        for (int f = 0; f < 64; f += 16) {
            NAME(lane) m[16], turned[16];
            for (int j = 0; j < 16; j++)
                m[j] = *(const NAME(lane) *)(rows + (size_t)(i + j) * stride + f);
            for (int stage = 0; stage < 4; stage++) {
#pragma GCC unroll 8
                for (int j = 0; j < 8; j++) {
                    turned[2 * j] = SHUFFLE(NAME(lane), m[j], m[j + 8], 0, 16, 1, 17, 2, 18, 3, 19,
                                            4, 20, 5, 21, 6, 22, 7, 23);
                    turned[2 * j + 1] = SHUFFLE(NAME(lane), m[j], m[j + 8], 8, 24, 9, 25, 10, 26,
                                                11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
                }
                memcpy(m, turned, sizeof m);
            }
            for (int j = 0; j < 16; j++)
                if (slot[f + j] >= 0)
                    *(NAME(lane) *)(slots + (size_t)slot[f + j] * SLOT_BYTES + i) = m[j];
        }
#else
    for (int f = 0; f < 64; f++)
        for (int i = 0; i < SLOT_BYTES && slot[f] >= 0; i++)
            slots[(size_t)slot[f] * SLOT_BYTES + i] = rows[(size_t)i * stride + f];
#endif
}

/* `bytes` is (SLOT_BYTES, n_chunks | 1, 64), as scratch; an odd number of lines from row to row, so
 * that a column does not fall into few sets of the cache. */
static void NAME(encode)(const struct model *m, const struct batch *batch, int64_t start, int64_t n,
                         uint8_t *bytes, uint8_t *slots)
{
    const int64_t row_bytes = m->n_features * m->feature_bytes;
    const size_t stride = (size_t)(m->n_chunks | 1) * 64;
    const uint8_t *row = (const uint8_t *)batch->x + start * row_bytes;
    const int is_short = m->n_features < 64;
    for (int64_t i = 0; i < SLOT_BYTES; i++, row += 8 * row_bytes) {
        const int64_t n_rows = n > 8 * i ? at_most(n - 8 * i, 8) : 0;
        uint8_t padded[8 * 128] = {0}, *to = bytes + (size_t)i * stride;
        const uint8_t *const from = is_short ? padded : row;
        const int64_t from_bytes = is_short ? 128 : row_bytes;
        for (int64_t r = 0; is_short && r < n_rows; r++)
            memcpy(padded + 128 * r, row + row_bytes * r, (size_t)row_bytes);
        for (int64_t c = 0, same; c < m->n_chunks; c += same, to += 64 * same) {
            const struct chunk *chunk = &m->chunks[c];
            const uint8_t *const first = from + chunk->first * m->feature_bytes;
            same = 1;
            if (m->feature_bytes == 2) {
                NAME(compare16)(first, from_bytes, n_rows, chunk->least, to);
                continue;
            }
            while (same < 4 && c + same < m->n_chunks && chunk[same].first == chunk->first)
                same++;
            NAME(compare8)(first, from_bytes, n_rows, chunk, same, to);
        }
    }
    for (int64_t c = 0; c < m->n_chunks; c++)
        NAME(columns)(bytes + 64 * c, stride, m->chunks[c].slot, slots);
}
#undef OR_WHERE_REACHED
