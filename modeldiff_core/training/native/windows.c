/* Windows of different examples follow each other, so that none waits for what the one before it has stored. The kernels
   of an output, in the training and in the direction, and their gradient stay in registers. */
#include "windows.h"

#include "vectors.h"

#define DEAD 4
/* Windows whose sums over lanes are made together. */
#define EIGHT 8
/* Pooled pixels of a first layer that are multiplied together. */
#define TOGETHER 4

void windows_list(const Convolution *c, const Group *group, const float *gradient, Windows *to) {
    const int64_t width = padded(c->outputs), columns = convolution_out_width(c), rows = convolution_out_height(c);
    const int64_t row = convolution_row(c), shift[DEAD] = {0, c->inputs, row, row + c->inputs};
    int64_t n = 0;
    for (int64_t o = 0; o < c->outputs; o++) {
        to->from[o] = n;
        for (int64_t y = 0; y < rows; y++)
            for (int64_t start = 0; start < 2; start++) /* every other column first, where there is one example */
                for (int64_t p = start; p < columns; p += 2)
                    for (int64_t b = 0; b < group->count; b++) {
                        const uint8_t which = group->code[((b * rows + y) * columns + p) * width + o];
                        if (which >= DEAD) continue;
                        const int64_t own = b * group->out + group->inner + y * group->row + p * c->outputs + o;
                        to->place[n] = (int32_t)(b * group->in + 2 * y * row + 2 * p * c->inputs + shift[which]);
                        to->to[n] = (int32_t)own, to->delta[n] = gradient[own];
                        n++;
                    }
    }
    to->from[c->outputs] = n;
}

/* Lanes of a whose place has the bit, plus those of b that do not, folded on each other: half as many sums of twice as
   many lanes. */
#define FOLD(a, b, ...)                                                                      \
    (__builtin_shuffle(a, b, (ints){__VA_ARGS__}) + __builtin_shuffle(a, b, (ints){__VA_ARGS__} ^ by))

INLINE floats folded_8(floats a, floats b) {
    const ints by = {8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};
    return FOLD(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

INLINE floats folded_4(floats a, floats b) {
    const ints by = {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4};
    return FOLD(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
}

INLINE floats folded_2(floats a, floats b) {
    const ints by = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
    return FOLD(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29);
}

INLINE floats folded_1(floats a) {
    const ints by = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    return FOLD(a, a, 0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
}

/* to[i] += the sum over the lanes of each of eight vectors; `count` of them. */
INLINE void add_sums(const floats *of, int64_t count, float *to) {
    floats four[4], two[2];
    UNROLL for (int i = 0; i < 4; i++) four[i] = folded_8(of[2 * i], of[2 * i + 1]);
    UNROLL for (int i = 0; i < 2; i++) two[i] = folded_4(four[2 * i], four[2 * i + 1]);
    const floats sums = folded_1(folded_2(two[0], two[1]));
    for (int64_t i = 0; i < count; i++) to[i] += sums[i];
}

/* K kernel rows of V vectors, rows of x apart, of n windows. */
INLINE void forward_rows(const int K, const int V, int64_t n, const int32_t *place, const Along *along, int64_t row,
                         int64_t kernel, float *sums) {
    floats w[5][3], dw[5][3];
    UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++) {
        w[k][v] = load(along->w + k * kernel + LANES * v);
        dw[k][v] = load(along->dw + k * kernel + LANES * v);
    }
    for (int64_t first = 0; first < n; first += EIGHT) {
        const int64_t count = n - first < EIGHT ? n - first : EIGHT;
        floats each[EIGHT] = {{0}};
        for (int64_t i = 0; i < count; i++) {
            const float *x = along->x + place[first + i], *dx = along->dx + place[first + i];
            floats of_x = {0}, of_dx = {0};
            UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++) {
                of_x += load(x + k * row + LANES * v) * dw[k][v];
                of_dx += load(dx + k * row + LANES * v) * w[k][v];
            }
            each[i] = of_x + of_dx;
        }
        add_sums(each, count, sums + first);
    }
}

/* The same backwards; dg: tangents of the gradients of what passes, g: these. */
INLINE void backward_rows(const int K, const int V, int64_t n, const int32_t *place, const Along *along, int64_t row,
                          int64_t kernel, const float *dg, const float *g, float *weights, float *below) {
    floats w[5][3], dw[5][3], sum[5][3];
    UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++) {
        w[k][v] = load(along->w + k * kernel + LANES * v);
        dw[k][v] = load(along->dw + k * kernel + LANES * v);
        sum[k][v] = load(weights + k * kernel + LANES * v);
    }
    for (int64_t i = 0; i < n; i++) {
        const floats tangent = all(dg[i]), own = all(g[i]);
        const float *x = along->x + place[i], *dx = along->dx + place[i];
        float *to = below + place[i];
        UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++) {
            const int64_t at = k * row + LANES * v;
            sum[k][v] += tangent * load(x + at);
            sum[k][v] += own * load(dx + at);
            store(to + at, load(to + at) + tangent * w[k][v] + own * dw[k][v]);
        }
    }
    UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++)
        store(weights + k * kernel + LANES * v, sum[k][v]);
}

/* Covers a kernel row by parts of at most three vectors, of one for kernels of five rows. */
#define COVER(CALL)                                                        \
    for (int64_t v = 0, V; v < kernel / LANES; v += V) {                   \
        const int64_t left = kernel / LANES - v, at = v * LANES;           \
        V = c->kernel != 3 ? 1 : left < 3 ? left : 3;                      \
        const Along part = {own.w + at, own.dw + at, own.x + at, own.dx + at}; \
        if (c->kernel != 3) CALL(5, 1);                                    \
        else if (V == 3) CALL(3, 3);                                       \
        else if (V == 2) CALL(3, 2);                                       \
        else CALL(3, 1);                                                   \
    }

static Along of_output(const Convolution *c, const Along *along, int64_t o) {
    const int64_t first = o * c->kernel * convolution_kernel_row(c);
    return (Along){along->w + first, along->dw + first, along->x, along->dx};
}

void windows_forward(const Convolution *c, const Windows *windows, const Along *along, const float *db, float *dy,
                     float *scratch) {
    const int64_t row = convolution_row(c), kernel = convolution_kernel_row(c);
    for (int64_t o = 0; o < c->outputs; o++) {
        const int64_t first = windows->from[o], n = windows->from[o + 1] - first;
        const Along own = of_output(c, along, o);
        for (int64_t i = 0; i < n; i++) scratch[i] = db[o];
#define CALL(K, V) forward_rows(K, V, n, windows->place + first, &part, row, kernel, scratch)
        COVER(CALL)
#undef CALL
        for (int64_t i = 0; i < n; i++) dy[windows->to[first + i]] = scratch[i];
    }
}

void windows_backward(const Convolution *c, const Windows *windows, const Along *along, const float *outputs,
                      float *weights, float *bias, float *below, float *scratch) {
    const int64_t row = convolution_row(c), kernel = convolution_kernel_row(c);
    for (int64_t o = 0; o < c->outputs; o++) {
        const int64_t first = windows->from[o], n = windows->from[o + 1] - first;
        const Along own = of_output(c, along, o);
        float *to = weights + o * c->kernel * kernel, sum = 0;
        for (int64_t i = 0; i < n; i++) sum += scratch[i] = outputs[windows->to[first + i]];
        bias[o] += sum;
#define CALL(K, V)                                                                                                  \
    backward_rows(K, V, n, windows->place + first, &part, row, kernel, scratch, windows->delta + first, to + at, below + at)
        COVER(CALL)
#undef CALL
    }
}

static int64_t values_of(const Convolution *c) { return c->kernel * c->kernel * c->inputs + 1; }

static int64_t pooled(const Convolution *c) { return convolution_out_height(c) * convolution_out_width(c); }

int64_t windows_taken(const Convolution *c) { return pooled(c) * values_of(c) * padded(c->outputs); }

void windows_take(const Convolution *c, const float *x, const uint8_t *code, float *taken) {
    const int64_t width = padded(c->outputs), row = convolution_row(c), columns = convolution_out_width(c);
    for (int64_t pixel = 0; pixel < pooled(c); pixel++, code += width) {
        const float *corner = x + 2 * (pixel / columns) * row + 2 * (pixel % columns) * c->inputs;
        for (int64_t j = 0; j < values_of(c); j++, taken += width) {
            const int64_t run = c->kernel * c->inputs, last = j == values_of(c) - 1;
            const float *at = corner + j / run * row + j % run;
            for (int64_t v = 0; v < width; v += LANES) {
                const ints which = widened(code + v);
                floats value = {0};
                for (int64_t i = 0; i < DEAD; i++)
                    value += where(which == (int32_t)i, all(last ? 1.0f : at[i / 2 * row + i % 2 * c->inputs]));
                store(taken + v, value);
            }
        }
    }
}

/* As many of sixteen floats as there are outputs left. */
INLINE void store_some(float *to, floats value, int64_t left) {
    if (left >= LANES) store(to, value);
    else for (int64_t i = 0; i < left; i++) to[i] = value[i];
}

INLINE floats load_some(const float *from, int64_t left) {
    if (left >= LANES) return load(from);
    floats value = {0};
    for (int64_t i = 0; i < left; i++) value[i] = from[i];
    return value;
}

INLINE void taken_forward(const int P, const Convolution *c, const float *taken, const float *turned, int64_t pixel,
                          Image dy) {
    const int64_t width = padded(c->outputs), columns = convolution_out_width(c), each = values_of(c) * width;
    for (int64_t v = 0; v < width; v += LANES) {
        floats sum[TOGETHER] = {{0}};
        for (int64_t j = 0; j < values_of(c); j++) {
            const floats own = load(turned + j * width + v);
            UNROLL for (int p = 0; p < P; p++) sum[p] += load(taken + p * each + j * width + v) * own;
        }
        UNROLL for (int p = 0; p < P; p++) {
            const int64_t y = (pixel + p) / columns, at = (pixel + p) % columns;
            store_some(dy.first + y * dy.row + at * c->outputs + v, sum[p], c->outputs - v);
        }
    }
}

void windows_taken_forward(const Convolution *c, const float *taken, const float *turned, Image dy) {
    const int64_t each = values_of(c) * padded(c->outputs);
    int64_t pixel = 0;
    for (; pixel + TOGETHER <= pooled(c); pixel += TOGETHER)
        taken_forward(TOGETHER, c, taken + pixel * each, turned, pixel, dy);
    for (; pixel < pooled(c); pixel++) taken_forward(1, c, taken + pixel * each, turned, pixel, dy);
}

INLINE void taken_backward(const int P, const Convolution *c, const float *taken, Image outputs, int64_t pixel,
                           float *turned) {
    const int64_t width = padded(c->outputs), columns = convolution_out_width(c), each = values_of(c) * width;
    for (int64_t v = 0; v < width; v += LANES) {
        floats own[TOGETHER];
        UNROLL for (int p = 0; p < P; p++) {
            const int64_t y = (pixel + p) / columns, at = (pixel + p) % columns;
            own[p] = load_some(outputs.first + y * outputs.row + at * c->outputs + v, c->outputs - v);
        }
        for (int64_t j = 0; j < values_of(c); j++) {
            floats sum = load(turned + j * width + v);
            UNROLL for (int p = 0; p < P; p++) sum += load(taken + p * each + j * width + v) * own[p];
            store(turned + j * width + v, sum);
        }
    }
}

void windows_taken_backward(const Convolution *c, const float *taken, Image outputs, float *turned) {
    const int64_t each = values_of(c) * padded(c->outputs);
    int64_t pixel = 0;
    for (; pixel + TOGETHER <= pooled(c); pixel += TOGETHER)
        taken_backward(TOGETHER, c, taken + pixel * each, outputs, pixel, turned);
    for (; pixel < pooled(c); pixel++) taken_backward(1, c, taken + pixel * each, outputs, pixel, turned);
}
