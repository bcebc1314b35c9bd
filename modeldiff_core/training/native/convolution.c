/* Only the largest of four pixels passes a gradient on, and only if the ReLU lets it: a quarter of the products of a
   dense backward step, or fewer, remain. For each output they are gathered in a list; then a kernel row times its
   inputs, contiguous in memory, is a few vectors, and the whole kernel and its gradient stay in registers. */
#include "convolution.h"

#include "vectors.h"

#define DEAD 4

int64_t convolution_row(const Convolution *c) { return (c->width + 2 * c->padding) * c->inputs; }

int64_t convolution_kernel_row(const Convolution *c) { return padded(c->kernel * c->inputs); }

int64_t convolution_image(const Convolution *c) { return (c->height + 2 * c->padding) * convolution_row(c); }

int64_t convolution_weights(const Convolution *c) { return c->outputs * c->kernel * convolution_kernel_row(c); }

int64_t convolution_out_height(const Convolution *c) { return (c->height + 2 * c->padding - c->kernel + 1) / 2; }

int64_t convolution_out_width(const Convolution *c) { return (c->width + 2 * c->padding - c->kernel + 1) / 2; }

void convolution_turn(const Convolution *c, const float *weights, float *turned) {
    const int64_t run = c->kernel * c->inputs, width = padded(c->outputs);
    memset(turned, 0, (size_t)(c->kernel * run * width) * sizeof *turned);
    for (int64_t o = 0; o < c->outputs; o++)
        for (int64_t k = 0; k < c->kernel; k++, weights += convolution_kernel_row(c))
            for (int64_t j = 0; j < run; j++) turned[(k * run + j) * width + o] = weights[j];
}

/* P pooled pixels side by side, V vectors of outputs. */
INLINE void forward_tile(const int P, const int V, const Convolution *c, const float *x, const float *w,
                         const float *bias, int64_t outputs, float *out, uint8_t *code) {
    const int64_t row = convolution_row(c), step = c->inputs, run = c->kernel * c->inputs, width = padded(c->outputs);
    floats sum[2][6][2];
    UNROLL for (int r = 0; r < 2; r++) UNROLL for (int p = 0; p < 2 * P; p++) UNROLL for (int v = 0; v < V; v++)
        sum[r][p][v] = (floats){0};
    for (int64_t k = 0; k < c->kernel; k++) {
        const float *at = x + k * row;
        for (int64_t j = 0; j < run; j++, at++, w += width) {
            floats own[2];
            UNROLL for (int v = 0; v < V; v++) own[v] = load(w + LANES * v);
            UNROLL for (int r = 0; r < 2; r++) UNROLL for (int p = 0; p < 2 * P; p++) {
                const floats each = all(at[r * row + p * step]);
                UNROLL for (int v = 0; v < V; v++) sum[r][p][v] += each * own[v];
            }
        }
    }
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int v = 0; v < V; v++) {
        floats top = sum[0][2 * p][v];
        ints which = {0};
        UNROLL for (int i = 1; i < 4; i++) {
            const floats other = sum[i / 2][2 * p + i % 2][v];
            const ints wins = ~(other <= top); /* the first of equals stays; NaN wins */
            top = where(wins, other) + where(~wins, top);
            which = (wins & i) | (~wins & which);
        }
        top += load(bias + LANES * v);
        const ints dead = top <= 0.0f;
        top = where(~dead, top);
        narrow(code + p * width + LANES * v, (dead & DEAD) | (~dead & which));
        const int64_t lanes = outputs - LANES * v;
        if (lanes >= LANES) store(out + p * c->outputs + LANES * v, top);
        else for (int64_t i = 0; i < lanes; i++) out[p * c->outputs + LANES * v + i] = top[i];
    }
}

void convolution_forward(const Convolution *c, const float *x, const float *turned, const float *bias, Image out,
                         uint8_t *code) {
    const int64_t row = convolution_row(c), width = padded(c->outputs), columns = convolution_out_width(c);
    for (int64_t v = 0, V; v < width; v += V * LANES) {
        V = width - v >= 2 * LANES ? 2 : 1;
        for (int64_t y = 0; y < convolution_out_height(c); y++)
            for (int64_t p = 0, P; p < columns; p += P) {
                const int64_t left = columns - p;
                P = left == 4 || left == 2 ? 2 : left >= 3 ? 3 : 1;
#define CALL(P, V)                                                                                                   \
    forward_tile(P, V, c, x + 2 * y * row + 2 * p * c->inputs, turned + v, bias + v, c->outputs - v,                 \
                 out.first + y * out.row + p * c->outputs + v, code + (y * columns + p) * width + v)
                if (V == 2 && P == 3) CALL(3, 2);
                else if (V == 2 && P == 2) CALL(2, 2);
                else if (V == 2) CALL(1, 2);
                else if (P == 3) CALL(3, 1);
                else if (P == 2) CALL(2, 1);
                else CALL(1, 1);
#undef CALL
            }
    }
}

/* n pixels, each with a gradient and the place of its window in x: K kernel rows of V vectors, rows of x apart. */
INLINE void backward_rows(const int K, const int V, const int inner, int64_t n, const int32_t *place,
                          const float *gradient, int64_t row, int64_t kernel, const float *x, const float *w, float *dw,
                          float *dx) {
    floats sum[5][3], own[5][3];
    UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++) {
        sum[k][v] = load(dw + k * kernel + LANES * v);
        if (inner) own[k][v] = load(w + k * kernel + LANES * v);
    }
    for (int64_t i = 0; i < n; i++) {
        const floats g = all(gradient[i]);
        const float *from = x + place[i];
        float *to = dx + place[i];
        UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++) {
            sum[k][v] += g * load(from + k * row + LANES * v);
            if (inner) store(to + k * row + LANES * v, load(to + k * row + LANES * v) + g * own[k][v]);
        }
    }
    UNROLL for (int k = 0; k < K; k++) UNROLL for (int v = 0; v < V; v++) store(dw + k * kernel + LANES * v, sum[k][v]);
}

static void backward_output(const Convolution *c, int64_t n, const int32_t *place, const float *gradient,
                            const float *x, const float *w, float *dw, float *dx) {
    const int64_t row = convolution_row(c), kernel = convolution_kernel_row(c), most = c->kernel == 3 ? 3 : 2;
    for (int64_t v = 0, V; v < kernel / LANES; v += V) {
        V = kernel / LANES - v < most ? kernel / LANES - v : most;
        const int64_t at = v * LANES;
#define CALL(K, V)                                                                                             \
    do {                                                                                                       \
        if (dx) backward_rows(K, V, 1, n, place, gradient, row, kernel, x + at, w + at, dw + at, dx + at);     \
        else backward_rows(K, V, 0, n, place, gradient, row, kernel, x + at, w + at, dw + at, 0);              \
    } while (0)
        if (c->kernel == 3 && V == 3) CALL(3, 3);
        else if (c->kernel == 3 && V == 2) CALL(3, 2);
        else if (c->kernel == 3) CALL(3, 1);
        else if (V == 2) CALL(5, 2);
        else CALL(5, 1);
#undef CALL
    }
}

/* Where the windows of one output lie that pass a gradient on, and what they pass; gives how many they are. */
static int64_t passing(const Convolution *c, int64_t o, Image gradient, const uint8_t *code, int32_t *place,
                       float *passed) {
    const int64_t width = padded(c->outputs), columns = convolution_out_width(c), row = convolution_row(c);
    const int32_t shift[DEAD + 1] = {0, (int32_t)c->inputs, (int32_t)row, (int32_t)(row + c->inputs), 0};
    int64_t n = 0;
    for (int64_t y = 0; y < convolution_out_height(c); y++)
        /* Every other column first: a window that follows its neighbor would wait for what that one stores. */
        for (int64_t start = 0; start < 2; start++) {
            int32_t corner = (int32_t)(2 * y * row + 2 * start * c->inputs);
            const float *g = gradient.first + y * gradient.row + start * c->outputs + o;
            const uint8_t *which = code + (y * columns + start) * width + o;
            for (int64_t p = start; p < columns; p += 2) {
                passed[n] = *g;
                place[n] = corner + shift[*which];
                n += *which != DEAD;
                corner += 4 * (int32_t)c->inputs, g += 2 * c->outputs, which += 2 * width;
            }
        }
    return n;
}

/* R kernel rows of as many floats, each times the gradients of a vector of outputs, over all pixels of an image. */
INLINE void backward_first(const int K, const Convolution *c, const float *x, const float *gradient, int64_t gradient_row,
                           const uint8_t *code, float *turned) {
    const int64_t row = convolution_row(c), run = K * c->inputs, width = padded(c->outputs), columns = convolution_out_width(c);
    floats sum[5][5];
    UNROLL for (int k = 0; k < K; k++) UNROLL for (int j = 0; j < K; j++)
        sum[k][j] = load(turned + (k * run + j) * width);
    for (int64_t y = 0; y < convolution_out_height(c); y++)
        for (int64_t p = 0; p < columns; p++) {
            const ints from = widened(code + (y * columns + p) * width);
            const floats g = load(gradient + y * gradient_row + p * c->outputs);
            UNROLL for (int i = 0; i < 4; i++) {
                const float *at = x + (2 * y + i / 2) * row + (2 * p + i % 2) * c->inputs;
                const floats own = where(from == i, g);
                UNROLL for (int k = 0; k < K; k++) UNROLL for (int j = 0; j < K; j++)
                    sum[k][j] += own * at[k * row + j];
            }
        }
    UNROLL for (int k = 0; k < K; k++) UNROLL for (int j = 0; j < K; j++)
        store(turned + (k * run + j) * width, sum[k][j]);
}

void convolution_backward_first(const Convolution *c, const float *x, Image gradient, const uint8_t *code,
                                float *turned) {
    for (int64_t v = 0; v < padded(c->outputs); v += LANES)
        for (int64_t j = 0; j < c->kernel * c->inputs; j += c->kernel) {
            if (c->kernel == 3)
                backward_first(3, c, x + j, gradient.first + v, gradient.row, code + v, turned + j * padded(c->outputs) + v);
            else
                backward_first(5, c, x + j, gradient.first + v, gradient.row, code + v, turned + j * padded(c->outputs) + v);
        }
}

void convolution_turn_back(const Convolution *c, const float *turned, float *weights) {
    const int64_t run = c->kernel * c->inputs, width = padded(c->outputs);
    for (int64_t o = 0; o < c->outputs; o++)
        for (int64_t k = 0; k < c->kernel; k++, weights += convolution_kernel_row(c))
            for (int64_t j = 0; j < run; j++) weights[j] = turned[(k * run + j) * width + o];
}

void convolution_bias(const Convolution *c, Image gradient, const uint8_t *code, float *d_bias) {
    const int64_t width = padded(c->outputs), columns = convolution_out_width(c);
    for (int64_t y = 0; y < convolution_out_height(c); y++)
        for (int64_t p = 0; p < columns; p++)
            for (int64_t v = 0; v < width; v += LANES) {
                const ints live = widened(code + (y * columns + p) * width + v) != DEAD;
                store(d_bias + v, load(d_bias + v) + where(live, load(gradient.first + y * gradient.row + p * c->outputs + v)));
            }
}

void convolution_backward(const Convolution *c, const float *x, const float *weights, Image gradient,
                          const uint8_t *code, float *d_weights, float *dx, void *scratch) {
    const int64_t kernel = c->kernel * convolution_kernel_row(c);
    float *passed = scratch;
    int32_t *place = (int32_t *)(passed + convolution_out_height(c) * convolution_out_width(c));
    if (dx) memset(dx, 0, (size_t)convolution_image(c) * sizeof *dx);
    for (int64_t o = 0; o < c->outputs; o++) {
        const int64_t n = passing(c, o, gradient, code, place, passed);
        backward_output(c, n, place, passed, x, weights + o * kernel, d_weights + o * kernel, dx);
    }
}

void convolution_trim(const Convolution *c, float *d_weights) {
    const int64_t run = c->kernel * c->inputs, kernel = convolution_kernel_row(c);
    for (int64_t i = 0; i < c->outputs * c->kernel; i++, d_weights += kernel)
        for (int64_t j = run; j < kernel; j++) d_weights[j] = 0;
}
