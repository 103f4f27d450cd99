/* 64 x 64 bytes turned round with 512-bit shuffles. */

/* 16 x 16 bytes in each 128-bit lane: four times, the number of a byte (register, place) is
 * rotated by one bit. */
static inline void turn_lanes(__m512i *m)
{
    for (int stage = 0; stage < 4; stage++) {
        __m512i turned[16];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            turned[2 * i] = _mm512_unpacklo_epi8(m[i], m[i + 8]);
            turned[2 * i + 1] = _mm512_unpackhi_epi8(m[i], m[i + 8]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            m[i] = turned[i];
    }
}

/* Column f of 64 rows of 64 bytes goes to to + slot[f] * to_stride; none where slot[f] < 0. */
static inline void columns64_avx512(const uint8_t *rows, size_t stride, const int32_t *slot,
                                    uint8_t *to, size_t to_stride)
{
    __m512i part[4][16];
    for (int q = 0; q < 4; q++) {
        __m512i m[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            m[i] = _mm512_loadu_si512(rows + (size_t)(16 * q + i) * stride);
        turn_lanes(m);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            part[q][i] = m[i];
    }
    for (int i = 0; i < 16; i++) {
        const __m512i a = _mm512_shuffle_i64x2(part[0][i], part[1][i], 0x44);
        const __m512i b = _mm512_shuffle_i64x2(part[2][i], part[3][i], 0x44);
        const __m512i c = _mm512_shuffle_i64x2(part[0][i], part[1][i], 0xee);
        const __m512i d = _mm512_shuffle_i64x2(part[2][i], part[3][i], 0xee);
        const __m512i column[4] = {
            _mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd),
            _mm512_shuffle_i64x2(c, d, 0x88), _mm512_shuffle_i64x2(c, d, 0xdd)};
#pragma GCC unroll 4
        for (int lane = 0; lane < 4; lane++)
            if (slot[16 * lane + i] >= 0)
                _mm512_store_si512(to + (size_t)slot[16 * lane + i] * to_stride, column[lane]);
    }
}
