/* Where the trees of a kernel read; the same for all types. */
#ifndef GATE2HW_PLACE_H
#define GATE2HW_PLACE_H

#include "kernels.h"

/* What the trees of one window read: leaf l of the tree at place w reads row base + row[w][l]. */
struct window {
    int64_t base;
    int64_t row[MAX_WINDOW][MAX_LEAVES];
    int is_outside[MAX_WINDOW]; /* places beside the map count as trees that give 0 */
};

/* Of the window that lies at row r and column c of the map; padding is row n_signals. */
static inline void find_rows(const struct tree *t, const int32_t *leaves, int64_t n_signals,
                             int64_t r, int64_t c, int has_padding, struct window *to)
{
    const int64_t n_leaves = (int64_t)1 << t->depth;
    int w = 0;
    to->base = 0;
    for (int64_t i = r; i < r + t->window[0]; i++)
        for (int64_t j = c; j < c + t->window[1]; j++, w++) {
            const int64_t top = i * t->stride[0] - (has_padding ? t->padding[0] : 0);
            const int64_t left = j * t->stride[1] - (has_padding ? t->padding[1] : 0);
            const int32_t *leaf = leaves;
            to->is_outside[w] = has_padding && (i < 0 || i >= t->positions[0] || j < 0 ||
                                                j >= t->positions[1]);
            for (int64_t l = 0; l < n_leaves; l++, leaf += 3) {
                const int64_t y = top + leaf[1], x = left + leaf[2];
                to->row[w][l] = (leaf[0] * t->height + y) * t->width + x;
                if (has_padding && (to->is_outside[w] || y < 0 || y >= t->height || x < 0 ||
                                    x >= t->width))
                    to->row[w][l] = n_signals;
            }
        }
}

/* Whether a window at `at` (-padding is the first), and all that its trees read, is no padding. */
static inline int is_inside(const struct tree *t, int axis, int64_t at, int64_t size)
{
    const int64_t last = at + t->window[axis] - 1;
    return at >= 0 && last < t->positions[axis] && at * t->stride[axis] >= t->padding[axis] &&
           last * t->stride[axis] - t->padding[axis] + t->field[axis] <= size;
}

/* The window of pooled place (row, column) of a kernel: `inside`, moved to where it lies, or,
 * where padding is near, worked out anew as `border`. */
static inline const struct window *find_window(const struct tree *t, const int32_t *leaves,
                                               int64_t row, int64_t column, struct window *inside,
                                               struct window *border)
{
    const int64_t r = row * t->pool_stride[0] - t->pool_padding[0];
    const int64_t c = column * t->pool_stride[1] - t->pool_padding[1];
    if (is_inside(t, 0, r, t->height) && is_inside(t, 1, c, t->width)) {
        inside->base = (r * t->stride[0] - t->padding[0]) * t->width + c * t->stride[1] -
                       t->padding[1];
        return inside;
    }
    find_rows(t, leaves, t->channels * t->height * t->width, r, c, 1, border);
    return border;
}

#endif
