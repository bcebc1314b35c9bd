#include "products.h"

#include "exponential.h"
#include "halves.h"

/* Rows of b that are used for all rows of a before the next: a share of the first cache. */
#define DEPTH 128

/* R rows by V vectors of a product; c in registers. */
#define TILE(R, V, half)                                                                  \
    for (int64_t k = 0; k < depth; k++, a += a_step, b += width) {                        \
        floats own[4];                                                                    \
        UNROLL for (int j = 0; j < V; j++) own[j] = load(b + LANES * j);                  \
        UNROLL for (int i = 0; i < R; i++) {                                              \
            const floats each = all(a[i * a_row]);                                        \
            UNROLL for (int j = 0; j < V; j++) c[i][j] = added(c[i][j], each, own[j], half); \
        }                                                                                 \
    }

INLINE void product_tile(const int R, const int V, const int half, int64_t depth, const float *a, int64_t a_row, int64_t a_step,
                         const float *b, int64_t width, float *to, int64_t to_row) {
    floats c[6][4];
    UNROLL for (int i = 0; i < R; i++) UNROLL for (int j = 0; j < V; j++) c[i][j] = load(to + i * to_row + LANES * j);
    TILE(R, V, half)
    UNROLL for (int i = 0; i < R; i++) UNROLL for (int j = 0; j < V; j++) store(to + i * to_row + LANES * j, c[i][j]);
}

INLINE void descend_tile(const int R, const int V, const int half, int64_t depth, const float *a, int64_t a_row, int64_t a_step,
                         const float *b, int64_t width, float *w, float *v, const Descent *d) {
    floats c[6][4];
    UNROLL for (int i = 0; i < R; i++) UNROLL for (int j = 0; j < V; j++) c[i][j] = (floats){0};
    TILE(R, V, half)
    UNROLL for (int i = 0; i < R; i++) UNROLL for (int j = 0; j < V; j++) {
        const int64_t at = i * width + LANES * j;
        store(w + at, moved(c[i][j], w + at, v + at, d));
    }
}

/* Covers rows by tiles of 6, 2 and 1, and the width by tiles of 4, 2 and 1 vectors. */
#define COVER(CALL)                                                                      \
    for (int64_t j = 0, V; j < width; j += V * LANES) {                                  \
        V = width - j >= 4 * LANES ? 4 : width - j >= 2 * LANES ? 2 : 1;                 \
        for (int64_t i = 0, R; i < rows; i += R) {                                       \
            R = rows - i >= 6 ? 6 : rows - i >= 2 ? 2 : 1;                               \
            if (V == 4 && R == 6) { CALL(6, 4); }                                        \
            else if (V == 4 && R == 2) { CALL(2, 4); }                                   \
            else if (V == 4) { CALL(1, 4); }                                             \
            else if (V == 2 && R == 6) { CALL(6, 2); }                                   \
            else if (V == 2 && R == 2) { CALL(2, 2); }                                   \
            else if (V == 2) { CALL(1, 2); }                                             \
            else if (R == 6) { CALL(6, 1); }                                             \
            else if (R == 2) { CALL(2, 1); }                                             \
            else { CALL(1, 1); }                                                         \
        }                                                                                \
    }

void product(int64_t rows, int64_t depth, int64_t columns, const float *a, int64_t a_row, const float *b, float *c,
             int64_t c_row, int half) {
    const int64_t width = padded(columns);
    for (int64_t k = 0; k < depth; k += DEPTH) {
        const int64_t part = depth - k < DEPTH ? depth - k : DEPTH;
#define TO part, a + i * a_row + k, a_row, 1, b + k * width + j, width, c + i * c_row + j, c_row
#define CALL(R, V) \
    if (half) product_tile(R, V, 1, TO); else product_tile(R, V, 0, TO)
        COVER(CALL)
#undef CALL
#undef TO
    }
}

void product_turned(int64_t rows, int64_t depth, int64_t columns, const float *a, int64_t a_row, const float *b,
                    float *c, int64_t c_row) {
    const int64_t width = padded(columns);
    for (int64_t k = 0; k < depth; k += DEPTH) {
        const int64_t part = depth - k < DEPTH ? depth - k : DEPTH;
#define CALL(R, V) \
    product_tile(R, V, 0, part, a + k * a_row + i, 1, a_row, b + k * width + j, width, c + i * c_row + j, c_row)
        COVER(CALL)
#undef CALL
    }
}

void descend(int64_t rows, int64_t depth, int64_t columns, const float *a, int64_t a_row, const float *b, float *w,
             float *v, const Descent *descent, int half) {
    const int64_t width = padded(columns);
#define TO depth, a + i, 1, a_row, b + j, width, w + i * width + j, v + i * width + j, descent
#define CALL(R, V) \
    if (half) descend_tile(R, V, 1, TO); else descend_tile(R, V, 0, TO)
    COVER(CALL)
#undef CALL
#undef TO
}

int halves_are_quick(void) {
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}

void halves_of_rows(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to) {
    for (int64_t i = 0; i < rows; i++, from += from_row)
        for (int64_t j = 0; j < columns; j += LANES, to += LANES / 2)
            narrow_halves(to, lower(rounded(load(from + j))));
}

void halves_of_columns(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to) {
    for (int64_t i = 0; i < rows; i += 2, from += 2 * from_row)
        for (int64_t j = 0; j < columns; j += LANES, to += LANES) {
            const floats second = i + 1 < rows ? load(from + from_row + j) : (floats){0};
            store(to, pair(load(from + j), second));
        }
}

void descend_by(int64_t n, const float *gradient, float *w, float *v, const Descent *descent) {
    for (int64_t i = 0; i < n; i += LANES) store(w + i, moved(load(gradient + i), w + i, v + i, descent));
}

void transpose(int64_t rows, int64_t columns, const float *from, float *to) {
    const int64_t width = padded(columns), height = padded(rows);
    memset(to, 0, (size_t)(columns * height) * sizeof *to);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) to[j * height + i] = from[i * width + j];
}

void cross_entropy_gradient(int64_t batch, int64_t classes, const float *logits, const int64_t *targets, float smoothing,
                            float scale, float *gradient) {
    const int64_t width = padded(classes);
    for (int64_t i = 0; i < batch; i++, logits += width, gradient += width) {
        float highest = logits[0], sum = 0;
        for (int64_t j = 1; j < classes; j++) highest = logits[j] > highest ? logits[j] : highest;
        for (int64_t j = 0; j < width; j += LANES) store(gradient + j, exponential(load(logits + j) - highest));
        for (int64_t j = 0; j < classes; j++) sum += gradient[j];
        for (int64_t j = 0; j < classes; j++) gradient[j] = (gradient[j] / sum - smoothing / (float)classes) * scale;
        for (int64_t j = classes; j < width; j++) gradient[j] = 0;
        gradient[targets[i]] -= (1 - smoothing) * scale;
    }
}
