/* Training steps of one network whose weights, and what its layers keep of a batch, stay in the processor's caches. */
#include <stdlib.h>

#include "network.h"
#include "products.h"
#include "vectors.h"

/* Inputs of a first convolution up to which its dense backward step is the quicker one. */
#define FEW 4

static int64_t input_size(const Layer *layer) {
    return is_linear(layer) ? layer->shape.inputs : convolution_image(&layer->shape);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* An odd number of cache lines, so that the same place in many examples does not fall into one set of the cache, and
   room for the last vector of a row. */
static int64_t spaced(int64_t n) { return (vectors_of(n + 2 * LANES) | 1) * LANES; }

static void *cleared(int64_t bytes) {
    void *memory = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64);
    return memory ? memset(memory, 0, (size_t)bytes) : 0;
}

void network_free(Network *net) {
    if (!net) return;
    for (int64_t i = 0; i <= net->depth; i++) {
        if (net->x) free(net->x[i]);
        if (net->dx) free(net->dx[i]);
        if (net->code) free(net->code[i]);
    }
    free(net->x), free(net->dx), free(net->code), free(net->stride);
    free(net->turned), free(net->gradient), free(net->scratch), free(net->pairs_a), free(net->pairs_b);
    free(net->pixels.bytes), free(net);
}

/* The memory of one layer's inputs, and of what comes of them. Gives 0 where it is short. */
static int prepare(Network *net, int64_t i) {
    const Layer *layer = net->layers + i;
    /* What a linear layer gives is padded to whole vectors and dense, as its products are. */
    const int dense = i && is_linear(layer - 1);
    net->stride[i] = dense ? padded(layer[-1].shape.outputs) : spaced(input_size(layer));
    const int64_t bytes = (net->batch * net->stride[i] + LANES) * (int64_t)sizeof(float);
    net->x[i] = cleared(bytes), net->dx[i] = cleared(bytes);
    if (i < net->depth && !is_linear(layer))
        net->code[i] = cleared(net->batch * pixels_out(layer) * padded(layer->shape.outputs));
    return net->x[i] && net->dx[i] && (i == net->depth || is_linear(layer) || net->code[i]);
}

Network *network_new(const Layer *layers, int64_t depth, int64_t parameters, int64_t batch, int half) {
    Network *net = cleared(sizeof *net);
    if (!net) return 0;
    const int64_t pointers = (depth + 1) * (int64_t)sizeof(void *);
    *net = (Network){.layers = layers, .depth = depth, .batch = batch, .half = half && halves_are_quick()};
    net->x = cleared(pointers), net->dx = cleared(pointers), net->code = cleared(pointers);
    net->stride = cleared(pointers), net->gradient = cleared(parameters * (int64_t)sizeof(float));
    int fine = net->x && net->dx && net->code && net->stride && net->gradient;
    int64_t turned = 0, scratch = 0, pairs_a = 0, pairs_b = 0;
    for (int64_t i = 0; fine && i <= depth; i++) {
        fine = prepare(net, i);
        if (i == depth) break;
        const Convolution *c = &layers[i].shape;
        if (is_linear(layers + i)) {
            const int64_t inputs = padded(c->inputs), outputs = padded(c->outputs), most = larger(inputs, outputs);
            turned = larger(turned, c->outputs * inputs);
            pairs_a = larger(pairs_a, (batch + 1) * most);
            pairs_b = larger(pairs_b, larger((c->inputs + 1) * outputs, (c->outputs + 1) * inputs) + batch * outputs);
        } else {
            turned = larger(turned, c->kernel * c->kernel * c->inputs * padded(c->outputs));
            scratch = larger(scratch, pixels_out(layers + i));
        }
    }
    net->pixels = (Pixels){.features = layers->shape.inputs, .room = (batch + GROUP - 1) / GROUP * GROUP};
    net->pixels.bytes = cleared(is_linear(layers) ? (net->pixels.features + 1) * net->pixels.room : 64);
    net->turned = cleared(turned * (int64_t)sizeof(float)), net->scratch = cleared(scratch * 8 + 64);
    net->pairs_a = cleared(net->half ? pairs_a * 2 + 64 : 64), net->pairs_b = cleared(net->half ? pairs_b * 2 + 64 : 64);
    if (fine && net->turned && net->scratch && net->pairs_a && net->pairs_b && net->pixels.bytes)
        return net;
    network_free(net);
    return 0;
}

/* n values of the table, as they are if floats, or slope*byte + offset. */
static void put_run(const Table *table, int64_t row, int64_t at, int64_t n, float *restrict to) {
    if (!table->slope) {
        memcpy(to, (const float *)table->values + row * table->features + at, (size_t)n * sizeof *to);
        return;
    }
    const uint8_t *restrict from = (const uint8_t *)table->values + row * table->features + at;
    const float *restrict slope = table->slope + at, *restrict offset = table->offset + at;
    for (int64_t i = 0; i < n; i++) to[i] = from[i] * slope[i] + offset[i];
}

/* One example of the table, with the border that its layer wants. */
static void put(const Layer *layer, const Table *table, int64_t row, float *to) {
    const Convolution *c = &layer->shape;
    if (is_linear(layer)) {
        put_run(table, row, 0, c->inputs, to);
        return;
    }
    const int64_t run = c->width * c->inputs, border = c->padding * c->inputs;
    for (int64_t y = 0; y < c->height; y++)
        put_run(table, row, y * run, run, to + (y + c->padding) * (run + 2 * border) + border);
}

void network_gather(Network *net, const Table *table, const int64_t *order, int64_t first, int64_t batch) {
    net->pixels.slope = is_linear(net->layers) ? table->slope : 0, net->pixels.offset = table->offset;
    if (net->pixels.slope) pixels_gather(&net->pixels, table->values, order, first, batch);
    else
        for (int64_t b = 0; b < batch; b++)
            put(net->layers, table, order ? order[first + b] : first + b, net->x[0] + b * net->stride[0]);
}

/* c += a b, as ``product``, in the network's precision. */
static void multiply(Network *net, int64_t rows, int64_t depth, int64_t columns, const float *a, int64_t a_row,
                     const float *b, float *c, int64_t c_row) {
    if (net->half) {
        halves_of_rows(rows, padded(depth), a, a_row, net->pairs_a);
        halves_of_columns(depth, padded(columns), b, padded(columns), net->pairs_b);
        product(rows, (depth + 1) / 2, columns, net->pairs_a, padded(depth) / 2, net->pairs_b, c, c_row, 1);
    } else
        product(rows, depth, columns, a, a_row, b, c, c_row, 0);
}

void network_forward(Network *net, const float *parameters, int64_t batch) {
    for (int64_t i = 0; i < net->depth; i++) {
        const Layer *layer = net->layers + i;
        const float *weight = parameters + layer->weight, *bias = parameters + layer->bias;
        const int64_t width = padded(layer->shape.outputs);
        if (is_linear(layer)) {
            float *out = net->x[i + 1];
            for (int64_t b = 0; b < batch; b++) memcpy(out + b * width, bias, (size_t)width * sizeof *out);
            if (!i && net->pixels.slope) pixels_product(&net->pixels, batch, weight, layer->shape.outputs, out, net->half);
            else
                multiply(net, batch, layer->shape.inputs, layer->shape.outputs, net->x[i], net->stride[i], weight, out,
                         width);
            for (int64_t j = 0; i < net->depth - 1 && j < batch * width; j += LANES)
                store(out + j, where(~(load(out + j) <= 0.0f), load(out + j)));
        } else {
            convolution_turn(&layer->shape, weight, net->turned);
            for (int64_t b = 0; b < batch; b++)
                convolution_forward(&layer->shape, net->x[i] + b * net->stride[i], net->turned, bias,
                                    given(net, net->x, i, b), net->code[i] + b * pixels_out(layer) * width);
        }
    }
}

/* Moves a linear layer's weights by the gradient of its outputs; sum: over the batch. */
static void update(Network *net, int64_t i, int64_t batch, const float *dy, const float *sum, float *weight,
                   float *velocity, const Descent *descent) {
    const int64_t inputs = net->layers[i].shape.inputs, outputs = net->layers[i].shape.outputs, stride = net->stride[i];
    if (net->half) halves_of_columns(batch, padded(outputs), dy, padded(outputs), net->pairs_b);
    if (!i && net->pixels.slope)
        pixels_descend(&net->pixels, batch, net->half ? net->pairs_b : dy, sum, outputs, weight, velocity, descent, net->half);
    else if (net->half) {
        halves_of_columns(batch, padded(inputs), net->x[i], stride, net->pairs_a);
        descend(inputs, (batch + 1) / 2, outputs, net->pairs_a, padded(inputs), net->pairs_b, weight, velocity, descent, 1);
    } else
        descend(inputs, batch, outputs, net->x[i], stride, dy, weight, velocity, descent, 0);
}

void network_backward(Network *net, float *parameters, float *velocity, int64_t batch, const Descent *descent) {
    for (int64_t i = net->depth - 1; i >= 0; i--) {
        const Layer *layer = net->layers + i;
        float *weight = parameters + layer->weight, *d_bias = net->gradient + layer->bias;
        const int64_t inputs = layer->shape.inputs, width = padded(layer->shape.outputs), stride = net->stride[i];
        memset(d_bias, 0, (size_t)width * sizeof *d_bias);
        if (is_linear(layer)) {
            const float *dy = net->dx[i + 1];
            for (int64_t b = 0; b < batch; b++)
                for (int64_t j = 0; j < width; j++) d_bias[j] += dy[b * width + j];
            if (i) {
                float *dx = net->dx[i];
                transpose(inputs, layer->shape.outputs, weight, net->turned);
                memset(dx, 0, (size_t)(batch * stride) * sizeof *dx);
                multiply(net, batch, layer->shape.outputs, inputs, dy, width, net->turned, dx, stride);
                if (is_linear(layer - 1))
                    for (int64_t j = 0; j < batch * stride; j += LANES)
                        store(dx + j, where(~(load(net->x[i] + j) <= 0.0f), load(dx + j)));
            }
            update(net, i, batch, dy, d_bias, weight, velocity + layer->weight, descent);
        } else {
            const int64_t n = convolution_weights(&layer->shape);
            float *d_weight = net->gradient + layer->weight;
            memset(d_weight, 0, (size_t)n * sizeof *d_weight);
            const int few = !i && inputs <= FEW;
            if (few) memset(net->turned, 0, (size_t)(layer->shape.kernel * layer->shape.kernel * inputs * width) * 4);
            for (int64_t b = 0; b < batch; b++) {
                const float *x = net->x[i] + b * stride;
                const uint8_t *code = net->code[i] + b * pixels_out(layer) * width;
                const Image dy = given(net, net->dx, i, b);
                convolution_bias(&layer->shape, dy, code, d_bias);
                if (few) convolution_backward_first(&layer->shape, x, dy, code, net->turned);
                else
                    convolution_backward(&layer->shape, x, weight, dy, code, d_weight,
                                         i ? net->dx[i] + b * stride : 0, net->scratch);
            }
            if (few) convolution_turn_back(&layer->shape, net->turned, d_weight);
            convolution_trim(&layer->shape, d_weight);
            descend_by(n, d_weight, weight, velocity + layer->weight, descent);
        }
        descend_by(width, d_bias, parameters + layer->bias, velocity + layer->bias, descent);
    }
}

/* Trains on n examples: rows of the table and their classes in the order of training, a rate for each step. Steps end
   where an epoch does, which has so many examples. */
void network_train(Network *net, float *parameters, float *velocity, const Table *table, const int64_t *order,
                   const int64_t *targets, int64_t n, int64_t epoch, const float *rates, float momentum, float decay, float smoothing) {
    const int64_t classes = net->layers[net->depth - 1].shape.outputs;
    float *logits = net->x[net->depth], *slopes = net->dx[net->depth];
    for (int64_t first = 0, batch; first < n; first += batch) {
        batch = smaller(smaller(n - first, net->batch), epoch - first % epoch);
        const Descent descent = {*rates++, momentum, decay};
        network_gather(net, table, order, first, batch);
        network_forward(net, parameters, batch);
        cross_entropy_gradient(batch, classes, logits, targets + first, smoothing, 1.0f / (float)batch, slopes);
        network_backward(net, parameters, velocity, batch, &descent);
    }
}

/* Logits [n, classes] of the first n rows of the table. */
void network_evaluate(Network *net, const float *parameters, const Table *table, int64_t n, float *logits) {
    const int64_t classes = net->layers[net->depth - 1].shape.outputs;
    for (int64_t first = 0; first < n; first += net->batch) {
        const int64_t batch = smaller(n - first, net->batch);
        network_gather(net, table, 0, first, batch);
        network_forward(net, parameters, batch);
        for (int64_t b = 0; b < batch; b++, logits += classes)
            memcpy(logits, net->x[net->depth] + b * net->stride[net->depth], (size_t)classes * sizeof *logits);
    }
}
