/* Neighboring pixels are mostly 0 in the same images. So a few of them are taken together: a mask tells the images in
   which any is not 0, and what the pixels bring for all images, or a gradient from all of them, stays in registers while
   those images come by. Sums run over pixels and images in order, whatever is left out. */
#include "pixels.h"

#include "halves.h"

/* Pixels, or with bfloat16 pairs of them, that are taken together. */
#define TOGETHER 4
#define TILE 16

typedef uint8_t bytes __attribute__((vector_size(TILE)));

/* Rows interleaved with those half the tile away, four times, are the columns. */
static void turn(bytes *rows) {
    const bytes low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}, high = low + 8;
    bytes other[TILE], *from = rows, *to = other;
    UNROLL for (int round = 0; round < 4; round++) {
        UNROLL for (int i = 0; i < TILE / 2; i++) {
            to[2 * i] = __builtin_shuffle(from[i], from[i + TILE / 2], low);
            to[2 * i + 1] = __builtin_shuffle(from[i], from[i + TILE / 2], high);
        }
        bytes *last = from;
        from = to, to = last;
    }
}

void pixels_gather(Pixels *to, const uint8_t *images, const int64_t *order, int64_t first, int64_t n) {
    for (int64_t at = 0; at < to->room; at += TILE)
        for (int64_t j = 0; j < to->features; j += TILE) {
            const int64_t left = to->features - j;
            bytes rows[TILE] = {{0}};
            for (int64_t i = 0; i < TILE && at + i < n; i++) {
                const int64_t place = first + at + i;
                const uint8_t *from = images + (order ? order[place] : place) * to->features + j;
                if (left >= TILE) memcpy(rows + i, from, TILE);
                else memcpy(rows + i, from, (size_t)left);
            }
            turn(rows);
            for (int64_t i = 0; i < TILE && i < left; i++) memcpy(to->bytes + (j + i) * to->room + at, rows + i, TILE);
        }
}

/* Vectors of outputs that are taken together where so many floats are left. */
INLINE int64_t most(int64_t left) { return left >= 4 * LANES ? 4 : left >= 2 * LANES ? 2 : 1; }

/* P pixels, or pairs of them, of a group of images and V vectors of outputs. base: what the offsets give all images. */
INLINE void product_tile(const int P, const int V, const int half, const Pixels *pixels, int64_t pixel, int64_t first,
                         const float *w, int64_t width, float *out, floats *base) {
    const float *slope = pixels->slope + pixel, *offset = pixels->offset + pixel;
    const uint8_t *from = pixels->bytes + pixel * pixels->room + first;
    _Alignas(64) float x[TOGETHER][GROUP];
    floats own[TOGETHER][4];
    uint64_t left = 0;
    UNROLL for (int p = 0; p < P; p++) {
        const int a = half ? 2 * p : p, b = a + 1; /* the last of an odd number has no other */
        const int both = half && pixel + b < pixels->features;
        UNROLL for (int v = 0; v < V; v++) {
            const floats one = load(w + a * width + LANES * v);
            base[v] += one * offset[a];
            own[p][v] = one * slope[a];
            if (half) {
                const floats other = both ? load(w + b * width + LANES * v) : (floats){0};
                if (both) base[v] += other * offset[b];
                own[p][v] = pair(own[p][v], both ? other * slope[b] : other);
            }
        }
        left |= not_zero(from + a * pixels->room) | (half ? not_zero(from + b * pixels->room) : 0);
        UNROLL for (int i = 0; i < GROUP; i += LANES) {
            const ints one = widened(from + a * pixels->room + i);
            if (half) store(x[p] + i, pair_of_bytes(one, widened(from + b * pixels->room + i)));
            else store(x[p] + i, __builtin_convertvector(one, floats));
        }
    }
    for (; left; left &= left - 1) {
        const int i = __builtin_ctzll(left);
        float *to = out + i * width;
        floats sum[4];
        UNROLL for (int v = 0; v < V; v++) sum[v] = load(to + LANES * v);
        UNROLL for (int p = 0; p < P; p++) {
            const floats each = all(x[p][i]);
            UNROLL for (int v = 0; v < V; v++) sum[v] = added(sum[v], each, own[p][v], half);
        }
        UNROLL for (int v = 0; v < V; v++) store(to + LANES * v, sum[v]);
    }
}

INLINE void product_group(const int V, const int half, const Pixels *pixels, int64_t first, int64_t n, const float *w,
                          int64_t width, float *out) {
    const int64_t each = half ? 2 : 1, step = TOGETHER * each;
    floats base[4] = {{0}};
    int64_t at = 0;
    for (; at + step <= pixels->features; at += step)
        product_tile(TOGETHER, V, half, pixels, at, first, w + at * width, width, out, base);
    for (; at < pixels->features; at += each)
        product_tile(1, V, half, pixels, at, first, w + at * width, width, out, base);
    for (int64_t i = 0; i < n; i++, out += width)
        UNROLL for (int v = 0; v < V; v++) store(out + LANES * v, load(out + LANES * v) + base[v]);
}

void pixels_product(const Pixels *pixels, int64_t n, const float *w, int64_t outputs, float *out, int half) {
    const int64_t width = padded(outputs);
    for (int64_t first = 0; first < n; first += GROUP, out += GROUP * width) {
        const int64_t images = n - first < GROUP ? n - first : GROUP;
        for (int64_t j = 0, V; j < width; j += V * LANES) {
            V = most(width - j);
#define CALL(V)                                                                              \
    if (half) product_group(V, 1, pixels, first, images, w + j, width, out + j);             \
    else product_group(V, 0, pixels, first, images, w + j, width, out + j)
            if (V == 4) { CALL(4); }
            else if (V == 2) { CALL(2); }
            else { CALL(1); }
#undef CALL
        }
    }
}

/* P pixels of all images, V vectors of outputs. */
INLINE void descend_tile(const int P, const int V, const int half, const Pixels *pixels, int64_t pixel, int64_t n,
                         const float *dy, const float *sum, int64_t width, float *w, float *speed, const Descent *descent) {
    const float *slope = pixels->slope + pixel, *offset = pixels->offset + pixel;
    const uint8_t *from = pixels->bytes + pixel * pixels->room;
    _Alignas(64) float x[TOGETHER][GROUP];
    floats c[TOGETHER][4];
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int v = 0; v < V; v++)
        c[p][v] = half ? (floats){0} : load(sum + LANES * v) * offset[p];
    for (int64_t first = 0; first < n; first += GROUP, from += GROUP) {
        uint64_t left = 0;
        UNROLL for (int p = 0; p < P; p++) {
            const uint8_t *row = from + p * pixels->room;
            left |= not_zero(row);
            UNROLL for (int i = 0; i < GROUP; i += LANES) {
                if (!half) store(x[p] + i, __builtin_convertvector(widened(row + i), floats) * slope[p]);
                else if (i < GROUP / 2) {
                    const ints two = widened_twos(row + 2 * i);
                    store(x[p] + i, pair_of_bytes(two & 255, two >> 8));
                }
            }
        }
        if (half) left = (left | left >> 1) & 0x5555555555555555;
        for (; left; left &= left - 1) {
            const int i = __builtin_ctzll(left) / (half ? 2 : 1);
            floats own[4];
            UNROLL for (int v = 0; v < V; v++) own[v] = load(dy + i * width + LANES * v);
            UNROLL for (int p = 0; p < P; p++) {
                const floats each = all(x[p][i]);
                UNROLL for (int v = 0; v < V; v++) c[p][v] = added(c[p][v], each, own[v], half);
            }
        }
        dy += GROUP / (half ? 2 : 1) * width;
    }
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int v = 0; v < V; v++) {
        const int64_t at = p * width + LANES * v;
        const floats gradient = half ? c[p][v] * slope[p] + load(sum + LANES * v) * offset[p] : c[p][v];
        store(w + at, moved(gradient, w + at, speed + at, descent));
    }
}

INLINE void descend_columns(const int V, const int half, const Pixels *pixels, int64_t n, const float *dy,
                            const float *sum, int64_t width, float *w, float *speed, const Descent *descent) {
    const int together = half ? TOGETHER : TOGETHER / 2; /* of more sums the compiler keeps some in memory */
    int64_t at = 0;
    for (; at + together <= pixels->features; at += together)
        descend_tile(together, V, half, pixels, at, n, dy, sum, width, w + at * width, speed + at * width, descent);
    for (; at < pixels->features; at++)
        descend_tile(1, V, half, pixels, at, n, dy, sum, width, w + at * width, speed + at * width, descent);
}

void pixels_descend(const Pixels *pixels, int64_t n, const float *dy, const float *sum, int64_t outputs, float *w,
                    float *speed, const Descent *descent, int half) {
    const int64_t width = padded(outputs);
    for (int64_t j = 0, V; j < width; j += V * LANES) {
        V = most(width - j);
#define CALL(V)                                                                                              \
    if (half) descend_columns(V, 1, pixels, n, dy + j, sum + j, width, w + j, speed + j, descent);           \
    else descend_columns(V, 0, pixels, n, dy + j, sum + j, width, w + j, speed + j, descent)
        if (V == 4) { CALL(4); }
        else if (V == 2) { CALL(2); }
        else { CALL(1); }
#undef CALL
    }
}
