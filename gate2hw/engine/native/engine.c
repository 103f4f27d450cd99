/* Bit-parallel evaluation of a plan, for several instruction sets; the processor chooses. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#define SHUFFLE(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else /* GCC has the other from 12 on */
#define SHUFFLE(type, a, b, ...) __builtin_shuffle(a, b, (type){__VA_ARGS__})
#endif

enum { MOST_PLANES = 32 };

static inline int64_t at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

#define MOST_OPERANDS 2

#define BYTES 16
#define SET word
#define WIDTH 8
#define PLACES 1
#include "kernel.h"
#undef WIDTH

/* What compilers make of it on aarch64 is NEON. */
#define WIDTH 16
#if defined(__ARM_NEON)
#define SET neon
#else
#define SET portable
#endif
#define PLACES 4
#include "kernel.h"
#undef WIDTH
#undef BYTES

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define WIDTH 32
#define BYTES 32
#define SET avx2
#define PLACES 1
#include "kernel.h"
#define SET avx2x2
#define PLACES 2
#include "kernel.h"
#undef WIDTH
#undef BYTES
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2"))), \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,prefer-vector-width=512")
#endif
#include "avx512.h"
#undef MOST_OPERANDS
#define MOST_OPERANDS 3
#define TERNARY(a, b, c, table) \
    _mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), table)
#define WIDTH 64
#define BYTES 64
#define COLUMNS64 columns64_avx512
#define BYTES_OR_WHERE_REACHED(sum, x, bound, bit)                                           \
    _mm512_mask_add_epi8((__m512i)(sum),                                                      \
                        _mm512_cmp_epu8_mask((__m512i)(x), (__m512i)(bound), _MM_CMPINT_NLT), \
                        (__m512i)(sum), (__m512i)(bit))
#define SET avx512
#define PLACES 1
#include "kernel.h"
#undef WIDTH
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const struct variant *const variants[] = {&variant_word, &variant_portable, &variant_avx2,
                                                 &variant_avx2x2, &variant_avx512};

EXPORT int gate2hw_engine_n_variants(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2"))
        return 2;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
               ? 5
               : 4;
}

#else

#if defined(__ARM_NEON)
static const struct variant *const variants[] = {&variant_word, &variant_neon};
#else
static const struct variant *const variants[] = {&variant_word, &variant_portable};
#endif

EXPORT int gate2hw_engine_n_variants(void)
{
    return 2;
}

#endif

EXPORT int gate2hw_engine_abi(void)
{
    return GATE2HW_ENGINE_ABI;
}

EXPORT const struct variant *gate2hw_engine_variant(int i)
{
    return variants[i];
}

EXPORT int gate2hw_engine_run(int variant, const struct model *model, const struct batch *batch)
{
    return variants[variant]->run(model, batch);
}

EXPORT int gate2hw_engine_simulate(int variant, const struct plan *plan, const struct bits *bits)
{
    return variants[variant]->simulate(plan, bits);
}
