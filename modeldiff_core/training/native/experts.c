/* Mixtures of GLU experts on tokens that are sorted by expert: y = gate * W2 (silu(W1 x) . (V1 x)), forwards and backwards. */
#include <stdlib.h>

#include "exponential.h"
#include "products.h"

/* Sizes: choices of a token, experts, width (a multiple of sixteen) and hidden size (a multiple of eight). */
typedef struct {
    int64_t active, experts, width, hidden;
} Mixture;

/* What the layer is given: x [tokens, width], inner [experts, width, 2 hidden] (W1 and V1 side by side), outer [experts,
   hidden, width], order [pairs] (token * active + choice, sorted by expert), counts [experts], gates [pairs] in the order
   of tokens. */
typedef struct {
    const float *x, *inner, *outer;
    const int64_t *order, *counts;
    const float *gates;
} Given;

/* The `active` largest logits of each token, the largest first and of equal ones the first, to chosen [tokens, active];
   pairs of each expert to counts, and the pairs sorted by expert, in the order of tokens, to order. Returns 1 without
   memory. */
int experts_route(int64_t tokens, int64_t experts, int64_t active, const float *logits, int64_t *chosen, int64_t *counts,
                  int64_t *order) {
    float *left = malloc((size_t)experts * sizeof *left);
    int64_t *next = malloc((size_t)experts * sizeof *next);
    if (!left || !next) {
        free(left), free(next);
        return 1;
    }
    memset(counts, 0, (size_t)experts * sizeof *counts);
    for (int64_t t = 0; t < tokens; t++) {
        memcpy(left, logits + t * experts, (size_t)experts * sizeof *left);
        for (int64_t k = 0; k < active; k++) {
            int64_t best = 0;
            for (int64_t e = 1; e < experts; e++) best = left[e] > left[best] ? e : best;
            left[best] = -__builtin_inff();
            chosen[t * active + k] = best;
            counts[best]++;
        }
    }
    for (int64_t e = 0, first = 0; e < experts; first += counts[e++]) next[e] = first;
    for (int64_t pair = 0; pair < tokens * active; pair++) order[next[chosen[pair]]++] = pair;
    free(left), free(next);
    return 0;
}

INLINE floats sigmoid(floats x) {
    const ints negative = x < 0.0f;
    const floats e = exponential(where(negative, x) - where(~negative, x)), whole = 1.0f / (1.0f + e);
    return where(negative, e * whole) + where(~negative, whole);
}

/* Sixteen floats or, where a row ends before, eight with zeros after them. */
INLINE floats load_some(const float *from, int64_t left) {
    floats value = {0};
    memcpy(&value, from, left < LANES ? sizeof value / 2 : sizeof value);
    return value;
}

INLINE void store_some(float *to, floats value, int64_t left) {
    memcpy(to, &value, left < LANES ? sizeof value / 2 : sizeof value);
}

/* hidden [rows, padded] = silu(left) . right, of rows [left, right] */
static void activate(int64_t rows, int64_t hidden, const float *both, float *to) {
    for (int64_t i = 0; i < rows; i++, both += 2 * hidden, to += padded(hidden))
        for (int64_t j = 0; j < hidden; j += LANES) {
            const floats left = load_some(both + j, hidden - j);
            store(to + j, left * sigmoid(left) * load_some(both + hidden + j, hidden - j));
        }
}

static void gather(const Mixture *m, const Given *g, int64_t first, int64_t rows, float *to) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * m->width, g->x + g->order[first + i] / m->active * m->width, (size_t)m->width * sizeof *to);
}

static int64_t most(const Mixture *m, const Given *g) {
    int64_t found = 0;
    for (int64_t e = 0; e < m->experts; e++) found = g->counts[e] > found ? g->counts[e] : found;
    return found;
}

/* Adds to out [tokens, width]; both [pairs, 2 hidden] and outputs [pairs, width] are written for the way back.
   Returns 0, or 1 without memory. */
int experts_forward(const Mixture *m, const Given *g, float *both, float *outputs, float *out) {
    const int64_t d = m->width, h = m->hidden, width = padded(h), rows = most(m, g);
    float *own = malloc((size_t)(rows * (d + width) + LANES) * sizeof *own), *hidden = own + rows * d;
    if (!own) return 1;
    for (int64_t e = 0, first = 0; e < m->experts; first += g->counts[e++]) {
        const int64_t n = g->counts[e];
        gather(m, g, first, n, own);
        memset(both + first * 2 * h, 0, (size_t)(n * 2 * h) * sizeof *own);
        memset(outputs + first * d, 0, (size_t)(n * d) * sizeof *own);
        product(n, d, 2 * h, own, d, g->inner + e * d * 2 * h, both + first * 2 * h, 2 * h, 0);
        activate(n, h, both + first * 2 * h, hidden);
        product(n, h, d, hidden, width, g->outer + e * h * d, outputs + first * d, d, 0);
        for (int64_t i = first; i < first + n; i++) {
            float *to = out + g->order[i] / m->active * d;
            const float gate = g->gates[g->order[i]];
            for (int64_t j = 0; j < d; j += LANES) store(to + j, load(to + j) + gate * load(outputs + i * d + j));
        }
    }
    free(own);
    return 0;
}

/* Adds to the gradients of x, inner and outer, and writes those of the gates. above: the gradient of out. */
int experts_backward(const Mixture *m, const Given *g, const float *both, const float *outputs, const float *above,
                     float *dx, float *d_inner, float *d_outer, float *d_gates) {
    const int64_t d = m->width, h = m->hidden, width = padded(h), rows = most(m, g), turned = 2 * width * d;
    float *own = malloc((size_t)(rows * (3 * d + 2 * width + 2 * h) + 2 * turned + LANES) * sizeof *own);
    if (!own) return 1;
    float *down = own + rows * d, *back = down + rows * d, *hidden = back + rows * d, *d_hidden = hidden + rows * width;
    float *d_both = d_hidden + rows * width, *inner = d_both + rows * 2 * h, *outer = inner + turned;
    for (int64_t e = 0, first = 0; e < m->experts; first += g->counts[e++]) {
        const int64_t n = g->counts[e];
        if (!n) continue;
        gather(m, g, first, n, own);
        for (int64_t i = 0; i < n; i++) {
            const int64_t pair = g->order[first + i];
            const float *from = above + pair / m->active * d, *output = outputs + (first + i) * d;
            floats sum = {0};
            for (int64_t j = 0; j < d; j += LANES) {
                sum += load(from + j) * load(output + j);
                store(down + i * d + j, g->gates[pair] * load(from + j));
            }
            float total = 0;
            for (int j = 0; j < LANES; j++) total += sum[j];
            d_gates[pair] = total;
        }
        const float *seen = both + first * 2 * h;
        activate(n, h, seen, hidden);
        product_turned(h, n, d, hidden, width, down, d_outer + e * h * d, d);
        transpose(h, d, g->outer + e * h * d, outer);
        memset(d_hidden, 0, (size_t)(n * width) * sizeof *own);
        product(n, d, h, down, d, outer, d_hidden, width, 0);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < h; j += LANES) {
                const float *at = seen + i * 2 * h + j;
                float *to = d_both + i * 2 * h + j;
                const floats left = load_some(at, h - j), right = load_some(at + h, h - j), share = sigmoid(left);
                const floats gradient = load(d_hidden + i * width + j);
                store_some(to, gradient * right * share * (1.0f + left * (1.0f - share)), h - j);
                store_some(to + h, gradient * left * share, h - j);
            }
        product_turned(d, n, 2 * h, own, d, d_both, d_inner + e * d * 2 * h, 2 * h);
        transpose(d, 2 * h, g->inner + e * d * 2 * h, inner);
        memset(back, 0, (size_t)(n * d) * sizeof *own);
        product(n, 2 * h, d, d_both, 2 * h, inner, back, d, 0);
        for (int64_t i = 0; i < n; i++) {
            float *to = dx + g->order[first + i] / m->active * d;
            for (int64_t j = 0; j < d; j += LANES) store(to + j, load(to + j) + load(back + i * d + j));
        }
    }
    free(own);
    return 0;
}
