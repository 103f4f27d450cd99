/* All kernels for one instruction set: SET names it, WIDTH is its vector in bytes. */

#define PASTE3(a, b, c) a##_##b##_##c
#define EXPAND3(a, b, c) PASTE3(a, b, c)
#define PASTE2(a, b) a##_##b
#define EXPAND2(a, b) PASTE2(a, b)

/* Lanes of two vectors of four floats. */
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) \
    __builtin_shuffle(a, b, (int32_t __attribute__((vector_size(16)))){__VA_ARGS__})
#endif

#define T float
#define INT int32_t
#define IS_TRAINED /* double is for checking gradients */
#define NAME(x) EXPAND3(x, f32, SET)
#include "vector.h"
#include "dense.h"
#include "tree.h"
#include "mix.h"
#include "relax.h"
#undef V
#undef VU
#undef I
#undef LANES
#undef T
#undef INT
#undef IS_TRAINED
#undef NAME

#define T double
#define INT int64_t
#define NAME(x) EXPAND3(x, f64, SET)
#include "vector.h"
#include "dense.h"
#include "tree.h"
#include "mix.h"
#include "relax.h"
#undef V
#undef VU
#undef I
#undef LANES
#undef T
#undef INT
#undef NAME

#define TABLE(type) \
    {EXPAND3(dense_rows, type, SET), EXPAND3(dense_weights, type, SET), \
     EXPAND3(dense_gather, type, SET), EXPAND3(tree_rows, type, SET), \
     EXPAND3(tree_gather, type, SET), EXPAND3(tree_sum, type, SET), 2 * WIDTH, \
     EXPAND3(mix_rows, type, SET), EXPAND3(mix_shares, type, SET), \
     EXPAND3(mix_gather, type, SET), EXPAND3(relax_gates, type, SET)}
static const struct kernels EXPAND2(kernels, SET)[2] = {TABLE(f32), TABLE(f64)};
#undef TABLE

#undef SHUFFLE
#undef PASTE3
#undef EXPAND3
#undef PASTE2
#undef EXPAND2
#undef SET
#undef WIDTH
