/* Tangents or cotangents of a fully connected network's weights through steps of its training: H·U, with H the Hessian
   of a batch's loss, and the update, for many directions U one after the other, each in the processor's caches. */
#include <stdlib.h>

#include "pixels.h"
#include "products.h"
#include "vectors.h"

/* A linear layer; weight [inputs, padded outputs] and bias: where they start among a direction's numbers. */
typedef struct {
    int64_t inputs, outputs, weight, bias;
} Dense;

/* What a layer's inputs and outputs are in the training itself, rows padded to whole vectors. Of the first layer only
   delta is there. x: inputs; active: 1 where they are above 0; delta: derivatives of the loss by the outputs [batch, ];
   weight [inputs, ] and turned [outputs, ]. */
typedef struct {
    const float *x, *active, *delta, *weight, *turned;
} Given;

/* One step. images [batch, features], their inputs being slope*byte + offset; shares and errors [batch, classes]: predicted
   probabilities, and derivatives of each example's own loss by its logits; sizes [batch]: what its loss counts by.
   U is `unit` times w; `again` multiplies w before. change [directions, batch], or 0: what is added of each example's
   gradient; losses [directions, batch], or 0: the change of each example's loss along U. */
typedef struct {
    int64_t batch;
    const uint8_t *images;
    const float *slope, *offset, *shares, *errors, *sizes, *change;
    float *losses;
    const Given *given;
    Descent descent;
    float unit, again, scale;
} Step;

/* A step's batch by pixel, and for each layer but the first both factors of the gradient's two parts: inputs above their
   tangents, and tangents of deltas above deltas. Of the first layer: nothing above, tangents of deltas alone. */
typedef struct {
    Pixels pixels;
    float **inputs, **deltas;
} Ready;

static float *room(int64_t floats_wanted) {
    const size_t bytes = (size_t)(floats_wanted + LANES) * sizeof(float);
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return memory ? memset(memory, 0, bytes) : 0;
}

static void release(Ready *ready, int64_t steps, int64_t depth) {
    for (int64_t t = 0; ready && t < steps; t++) {
        for (int64_t i = 0; i < depth; i++) {
            if (ready[t].inputs) free(ready[t].inputs[i]);
            if (ready[t].deltas) free(ready[t].deltas[i]);
        }
        free(ready[t].inputs), free(ready[t].deltas), free(ready[t].pixels.bytes);
    }
    free(ready);
}

/* Gives 0 where memory is short. */
static int prepare(Ready *to, const Dense *layers, int64_t depth, const Step *step) {
    const int64_t n = step->batch, features = layers->inputs, whole = (n + GROUP - 1) / GROUP * GROUP;
    to->pixels = (Pixels){.features = features, .room = whole, .slope = step->slope, .offset = step->offset};
    to->pixels.bytes = calloc((size_t)((features + 1) * whole), 1);
    to->inputs = calloc((size_t)depth, sizeof(float *)), to->deltas = calloc((size_t)depth, sizeof(float *));
    if (!to->pixels.bytes || !to->inputs || !to->deltas) return 0;
    pixels_gather(&to->pixels, step->images, 0, 0, n);
    for (int64_t i = 0; i < depth; i++) {
        const int64_t in = padded(layers[i].inputs), out = padded(layers[i].outputs);
        if (!(to->deltas[i] = room(2 * n * out))) return 0;
        memcpy(to->deltas[i] + n * out, step->given[i].delta, (size_t)(n * out) * sizeof(float));
        if (!i) continue;
        if (!(to->inputs[i] = room(2 * n * in))) return 0;
        memcpy(to->inputs[i], step->given[i].x, (size_t)(n * in) * sizeof(float));
    }
    return 1;
}

static void multiplied(int64_t n, float by, float *x) {
    if (by != 1.0f)
        for (int64_t i = 0; i < n; i++) x[i] *= by;
}

static void masked(int64_t n, const float *active, float *x) {
    for (int64_t i = 0; i < n; i += LANES) store(x + i, load(x + i) * load(active + i));
}

/* What layer i gives along U, before its ReLU, from the tangents of its inputs. */
static void layer_forward(const Ready *ready, const Dense *layer, int64_t i, const Step *step, const float *w, float *out) {
    const int64_t n = step->batch, width = padded(layer->outputs), in = padded(layer->inputs);
    for (int64_t b = 0; b < n; b++) memcpy(out + b * width, w + layer->bias, (size_t)width * sizeof *out);
    if (!i) pixels_product(&ready->pixels, n, w + layer->weight, layer->outputs, out, 0);
    else product(n, layer->inputs, layer->outputs, ready->inputs[i], in, w + layer->weight, out, width, 0);
    multiplied(n * width, step->unit, out);
    if (i)
        product(n, layer->inputs, layer->outputs, ready->inputs[i] + n * in, in, step->given[i].weight, out, width, 0);
}

/* The tangents of the logits' deltas from those of the logits, in place; d: which direction. */
static void loss_backward(const Dense *last, const Step *step, int64_t d, float *logits) {
    const int64_t n = step->batch, width = padded(last->outputs);
    for (int64_t b = 0; b < n; b++) {
        float *row = logits + b * width, mean = 0, along = 0;
        const float *share = step->shares + b * width, *error = step->errors + b * width;
        for (int64_t j = 0; j < last->outputs; j++) {
            row[j] *= step->scale;
            mean += share[j] * row[j], along += error[j] * row[j];
        }
        if (step->losses) step->losses[d * n + b] = along;
        const float size = step->sizes[b], more = step->change ? step->change[d * n + b] : 0.0f;
        for (int64_t j = 0; j < width; j++) row[j] = share[j] * (row[j] - mean) * size + error[j] * more;
    }
}

/* One direction through one step; turned and sum: working memory. */
static void walk(const Ready *ready, const Dense *layers, int64_t depth, const Step *step, int64_t d, int64_t size, float *w,
                 float *v, float *turned, float *sum) {
    const int64_t n = step->batch;
    multiplied(size, step->again, w);
    for (int64_t i = 0; i < depth; i++) {
        const int64_t width = padded(layers[i].outputs);
        float *out = i + 1 < depth ? ready->inputs[i + 1] + n * width : ready->deltas[i];
        layer_forward(ready, layers + i, i, step, w, out);
        if (i + 1 < depth) masked(n * width, step->given[i + 1].active, out);
        else loss_backward(layers + i, step, d, out);
    }
    for (int64_t i = depth - 1; i >= 0; i--) {
        const Dense *layer = layers + i;
        const int64_t width = padded(layer->outputs), in = padded(layer->inputs);
        float *own = ready->deltas[i];
        if (i) {
            float *below = ready->deltas[i - 1];
            transpose(layer->inputs, layer->outputs, w + layer->weight, turned);
            memset(below, 0, (size_t)(n * in) * sizeof *below);
            product(n, layer->outputs, layer->inputs, own + n * width, width, turned, below, in, 0);
            multiplied(n * in, step->unit, below);
            product(n, layer->outputs, layer->inputs, own, width, step->given[i].turned, below, in, 0);
            masked(n * in, step->given[i].active, below);
        }
        memset(sum, 0, (size_t)width * sizeof *sum);
        for (int64_t b = 0; b < n; b++)
            for (int64_t j = 0; j < width; j += LANES) store(sum + j, load(sum + j) + load(own + b * width + j));
        if (i)
            descend(layer->inputs, 2 * n, layer->outputs, ready->inputs[i], in, own, w + layer->weight,
                    v + layer->weight, &step->descent, 0);
        else
            pixels_descend(&ready->pixels, n, own, sum, layer->outputs, w + layer->weight, v + layer->weight,
                           &step->descent, 0);
        descend_by(width, sum, w + layer->bias, v + layer->bias, &step->descent);
    }
}

/* w and v [directions, size] after some steps, in place: v <- momentum*v + H·(unit*w) + change + decay*w, w <- w - rate*v.
   Gives 1 where memory is short, and then changes nothing. */
int tangents_walk(const Dense *layers, int64_t depth, const Step *steps, int64_t count, int64_t directions, int64_t size,
                  float *w, float *v) {
    int64_t turned_size = 0, widest = 0;
    for (int64_t i = 0; i < depth; i++) {
        const int64_t width = padded(layers[i].outputs), of_turned = i ? layers[i].outputs * padded(layers[i].inputs) : 0;
        widest = width > widest ? width : widest, turned_size = of_turned > turned_size ? of_turned : turned_size;
    }
    Ready *ready = calloc((size_t)count, sizeof *ready);
    float *turned = room(turned_size), *sum = room(widest);
    int fine = ready && turned && sum;
    for (int64_t t = 0; fine && t < count; t++) fine = prepare(ready + t, layers, depth, steps + t);
    for (int64_t d = 0; fine && d < directions; d++)
        for (int64_t t = 0; t < count; t++)
            walk(ready + t, layers, depth, steps + t, d, size, w + d * size, v + d * size, turned, sum);
    release(ready, count, depth), free(turned), free(sum);
    return !fine;
}
