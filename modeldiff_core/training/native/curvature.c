/* Steps of a training of a convolutional network, and directions or their adjoints through them: H·U, with H the Hessian
   of a batch's loss, for many directions U one after the other. What a step's batch is to all of them, the inputs of all
   layers, what passes pooling and ReLU, and the gradients, is computed once; it is walked in groups of a few examples, so
   that what a group is along a direction stays in the processor's caches. */
#include <stdlib.h>

#include "exponential.h"
#include "network.h"
#include "products.h"
#include "vectors.h"
#include "windows.h"

/* Bytes of a group: of its inputs, along a direction too. */
#define GROUP_BYTES 262144

/* scale: factor of the last layer's outputs. weights, gradient: of the latest pass; turned: its linear layers' weights
   [outputs, padded inputs], from at[i] on. shares, errors [batch, padded classes]: predicted probabilities, and
   derivatives of each example's own loss by its scaled logits; sizes: what its loss counts by. group: examples of one.
   tangents, adjoints: of a group's layers, as x and dx of the network's are of a batch's. sums: the directions'
   tangents of the gradient. */
typedef struct {
    Network *net;
    int64_t parameters, classes, batch, group, *at;
    float scale;
    float *weights, *gradient, *turned, *shares, *errors, *sizes;
    float **tangents, **adjoints;
    Windows *windows;
    float *taken, *first, *first_sum, *linear, *scratch, *sums;
    int64_t sums_room;
} Curvature;

/* A batch: images [batch, features], their classes, and what each loss counts by. */
typedef struct {
    int64_t batch, features;
    const float *images, *sizes;
    const int64_t *targets;
    float smoothing;
} Batch;

/* How directions move in a step. Forward: v <- momentum*v + H·w + changes + decay*w, w <- w - rate*v. Back, which is the
   adjoint of that: v <- v - rate*w, w <- w + H·v + decay*v, v <- momentum*v. change [directions, batch], or 0: what is
   added of each example's gradient; losses [directions, batch], or 0: the change of each example's loss along them. */
typedef struct {
    const float *change;
    float *losses;
    float rate, momentum, decay;
    int back;
} Move;

static float *room(int64_t floats_wanted) {
    const size_t bytes = (size_t)(floats_wanted + 2 * LANES) * sizeof(float);
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return memory ? memset(memory, 0, bytes) : 0;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void curvature_free(Curvature *c) {
    if (!c) return;
    for (int64_t i = 0; c->net && i <= c->net->depth; i++) {
        if (c->tangents) free(c->tangents[i]);
        if (c->adjoints) free(c->adjoints[i]);
        if (c->windows) free(c->windows[i].from), free(c->windows[i].place), free(c->windows[i].to), free(c->windows[i].delta);
    }
    network_free(c->net);
    free(c->tangents), free(c->adjoints), free(c->windows), free(c->at), free(c->weights), free(c->gradient);
    free(c->turned), free(c->shares), free(c->errors), free(c->sizes), free(c->taken), free(c->first);
    free(c->first_sum), free(c->linear), free(c->scratch), free(c->sums), free(c);
}

/* A group's memory of layer i's inputs along a direction, and of what passes it. Gives 0 where it is short. */
static int prepare(Curvature *c, int64_t i) {
    const Layer *layer = c->net->layers + i;
    c->tangents[i] = room(c->group * c->net->stride[i]), c->adjoints[i] = room(c->group * c->net->stride[i]);
    if (!c->tangents[i] || !c->adjoints[i]) return 0;
    if (i == c->net->depth || is_linear(layer)) return 1;
    const int64_t most = c->group * pixels_out(layer) * layer->shape.outputs;
    Windows *to = c->windows + i;
    to->from = calloc((size_t)layer->shape.outputs + 1, sizeof *to->from), to->delta = room(most);
    to->place = calloc((size_t)most, sizeof *to->place), to->to = calloc((size_t)most, sizeof *to->to);
    return to->from && to->delta && to->place && to->to;
}

/* For batches of at most that size; the first layer is a convolution. Gives 0 where memory is short. */
Curvature *curvature_new(const Layer *layers, int64_t depth, int64_t parameters, int64_t batch, float scale) {
    Curvature *c = calloc(1, sizeof *c);
    if (!c || !(c->net = network_new(layers, depth, parameters, batch, 0))) {
        free(c);
        return 0;
    }
    c->parameters = parameters, c->classes = layers[depth - 1].shape.outputs, c->scale = scale;
    int64_t turned = 0, linear = 0, scratch = 0, each = windows_taken(&layers->shape);
    c->at = calloc((size_t)depth, sizeof *c->at);
    for (int64_t i = 0; c->at && i < depth; i++) {
        const Convolution *shape = &layers[i].shape;
        each += 3 * c->net->stride[i + 1];
        if (!is_linear(layers + i)) scratch = larger(scratch, pixels_out(layers + i));
        else {
            c->at[i] = turned, turned += shape->outputs * padded(shape->inputs);
            linear = larger(linear, shape->outputs * padded(shape->inputs));
        }
    }
    c->group = smaller(batch, larger(1, GROUP_BYTES / (each * (int64_t)sizeof(float))));
    const int64_t first = (layers->shape.kernel * layers->shape.kernel * layers->shape.inputs + 1) * padded(layers->shape.outputs);
    const int64_t logits = batch * padded(c->classes);
    c->tangents = calloc((size_t)depth + 1, sizeof *c->tangents), c->adjoints = calloc((size_t)depth + 1, sizeof *c->adjoints);
    c->windows = calloc((size_t)depth + 1, sizeof *c->windows);
    c->weights = room(parameters), c->gradient = room(parameters), c->turned = room(turned), c->shares = room(logits);
    c->errors = room(logits), c->sizes = room(batch), c->taken = room(c->group * windows_taken(&layers->shape));
    c->first = room(first), c->first_sum = room(first), c->linear = room(linear), c->scratch = room(c->group * scratch);
    int fine = c->at && c->tangents && c->adjoints && c->windows && c->weights && c->gradient && c->turned && c->shares;
    fine = fine && c->errors && c->sizes && c->taken && c->first && c->first_sum && c->linear && c->scratch;
    for (int64_t i = 0; fine && i <= depth; i++) fine = prepare(c, i);
    if (fine) return c;
    curvature_free(c);
    return 0;
}

/* shares, errors, and the gradient of the logits. */
static void loss(Curvature *c, const int64_t *targets, float smoothing) {
    const int64_t width = padded(c->classes), depth = c->net->depth;
    for (int64_t b = 0; b < c->batch; b++) {
        const float *logits = c->net->x[depth] + b * width;
        float *share = c->shares + b * width, *error = c->errors + b * width, *slope = c->net->dx[depth] + b * width;
        float highest = logits[0] * c->scale, sum = 0;
        for (int64_t j = 1; j < c->classes; j++) highest = logits[j] * c->scale > highest ? logits[j] * c->scale : highest;
        for (int64_t j = 0; j < width; j += LANES) store(share + j, exponential(load(logits + j) * c->scale - highest));
        for (int64_t j = 0; j < c->classes; j++) sum += share[j];
        for (int64_t j = 0; j < width; j++) {
            share[j] = j < c->classes ? share[j] / sum : 0;
            error[j] = j < c->classes ? share[j] - smoothing / (float)c->classes - (j == targets[b] ? 1 - smoothing : 0) : 0;
            slope[j] = error[j] * (c->sizes[b] * c->scale);
        }
    }
}

/* A batch through the network with these weights; gradient: where that of its loss is written. */
void curvature_pass(Curvature *c, const float *weights, const Batch *batch, float *gradient) {
    const Table table = {batch->images, 0, 0, batch->features};
    const Descent none = {0, 0, 0};
    const size_t bytes = (size_t)c->parameters * sizeof(float);
    c->batch = batch->batch;
    memcpy(c->weights, weights, bytes), memset(c->gradient, 0, bytes);
    memcpy(c->sizes, batch->sizes, (size_t)c->batch * sizeof(float));
    network_gather(c->net, &table, 0, 0, c->batch);
    network_forward(c->net, c->weights, c->batch);
    loss(c, batch->targets, batch->smoothing);
    /* A step that moves nothing, after which the velocity is the gradient. */
    network_backward(c->net, c->weights, c->gradient, c->batch, &none);
    memcpy(c->weights, weights, bytes), memcpy(gradient, c->gradient, bytes);
    for (int64_t i = 0; i < c->net->depth; i++) {
        const Layer *layer = c->net->layers + i;
        if (is_linear(layer))
            transpose(layer->shape.inputs, layer->shape.outputs, weights + layer->weight, c->turned + c->at[i]);
    }
}

static void masked(int64_t n, const float *x, float *tangent) {
    for (int64_t j = 0; j < n; j += LANES) store(tangent + j, where(load(x + j) > 0.0f, load(tangent + j)));
}

/* Writes down what passes a group of n examples from `first` on, and clears what no direction will write. */
static void note(Curvature *c, int64_t first, int64_t n) {
    const Network *net = c->net;
    for (int64_t i = 0; i < net->depth && !is_linear(net->layers + i); i++) {
        const Layer *layer = net->layers + i;
        const int64_t codes = pixels_out(layer) * padded(layer->shape.outputs);
        const uint8_t *code = net->code[i] + first * codes;
        memset(c->tangents[i + 1], 0, (size_t)(n * net->stride[i + 1]) * sizeof(float));
        if (!i) {
            for (int64_t b = 0; b < n; b++)
                windows_take(&layer->shape, net->x[0] + (first + b) * net->stride[0], code + b * codes,
                             c->taken + b * windows_taken(&layer->shape));
            continue;
        }
        const Image out = given(net, net->dx, i, 0);
        const Group group = {n, net->stride[i], net->stride[i + 1], out.first - net->dx[i + 1], out.row, code};
        windows_list(&layer->shape, &group, net->dx[i + 1] + first * net->stride[i + 1], c->windows + i);
    }
}

static Along along(const Curvature *c, const float *u, int64_t i, int64_t first) {
    const int64_t weight = c->net->layers[i].weight;
    return (Along){c->weights + weight, u + weight, c->net->x[i] + first * c->net->stride[i], c->tangents[i]};
}

/* The tangents of a group's layers along u, up to those of the logits. */
static void group_forward(Curvature *c, const float *u, int64_t first, int64_t n) {
    const Network *net = c->net;
    for (int64_t i = 0; i < net->depth; i++) {
        const Layer *layer = net->layers + i;
        const Convolution *shape = &layer->shape;
        const int64_t width = padded(shape->outputs), stride = net->stride[i];
        float *out = c->tangents[i + 1];
        if (is_linear(layer)) {
            const Along own = along(c, u, i, first);
            for (int64_t b = 0; b < n; b++) memcpy(out + b * width, u + layer->bias, (size_t)width * sizeof *out);
            product(n, shape->inputs, shape->outputs, own.x, stride, own.dw, out, width, 0);
            product(n, shape->inputs, shape->outputs, own.dx, stride, own.w, out, width, 0);
            if (i + 1 < net->depth) masked(n * width, net->x[i + 1] + first * width, out);
        } else if (i) {
            const Along own = along(c, u, i, first);
            windows_forward(shape, c->windows + i, &own, u + layer->bias, out, c->scratch);
        } else {
            const int64_t rows = shape->kernel * shape->kernel * shape->inputs;
            convolution_turn(shape, u + layer->weight, c->first);
            memcpy(c->first + rows * width, u + layer->bias, (size_t)width * sizeof *out);
            for (int64_t b = 0; b < n; b++)
                windows_taken_forward(shape, c->taken + b * windows_taken(shape), c->first, given(net, c->tangents, 0, b));
        }
    }
}

/* The tangents of the logits' gradients from those of the logits. */
static void group_loss(Curvature *c, int64_t first, int64_t n, const float *change, float *losses) {
    const int64_t width = padded(c->classes), depth = c->net->depth;
    for (int64_t b = 0; b < n; b++) {
        const float *share = c->shares + (first + b) * width, *error = c->errors + (first + b) * width;
        float *tangent = c->tangents[depth] + b * width, *to = c->adjoints[depth] + b * width, mean = 0, moved = 0;
        for (int64_t j = 0; j < c->classes; j++) {
            tangent[j] *= c->scale;
            mean += share[j] * tangent[j], moved += error[j] * tangent[j];
        }
        if (losses) losses[first + b] = moved;
        const float size = c->sizes[first + b] * c->scale, more = change ? change[first + b] * c->scale : 0.0f;
        for (int64_t j = 0; j < width; j++) to[j] = share[j] * (tangent[j] - mean) * size + error[j] * more;
    }
}

/* The tangents of the gradients of a group, added to sum. */
static void group_backward(Curvature *c, const float *u, int64_t first, int64_t n, float *sum) {
    const Network *net = c->net;
    for (int64_t i = net->depth - 1; i >= 0; i--) {
        const Layer *layer = net->layers + i;
        const Convolution *shape = &layer->shape;
        const int64_t width = padded(shape->outputs), stride = net->stride[i];
        float *own = c->adjoints[i + 1], *below = c->adjoints[i], *weight = sum + layer->weight, *bias = sum + layer->bias;
        if (i) memset(below, 0, (size_t)(n * stride) * sizeof *below);
        if (is_linear(layer)) {
            const Along of = along(c, u, i, first);
            const float *delta = net->dx[i + 1] + first * width;
            for (int64_t b = 0; b < n; b++)
                for (int64_t j = 0; j < width; j += LANES) store(bias + j, load(bias + j) + load(own + b * width + j));
            product_turned(shape->inputs, n, shape->outputs, of.x, stride, own, weight, width);
            product_turned(shape->inputs, n, shape->outputs, of.dx, stride, delta, weight, width);
            transpose(shape->inputs, shape->outputs, of.dw, c->linear);
            product(n, shape->outputs, shape->inputs, own, width, c->turned + c->at[i], below, stride, 0);
            product(n, shape->outputs, shape->inputs, delta, width, c->linear, below, stride, 0);
            if (is_linear(layer - 1)) masked(n * stride, net->x[i] + first * stride, below);
        } else if (i) {
            const Along of = along(c, u, i, first);
            windows_backward(shape, c->windows + i, &of, own, weight, bias, below, c->scratch);
        } else {
            const int64_t rows = shape->kernel * shape->kernel * shape->inputs, run = shape->kernel * shape->inputs;
            memset(c->first_sum, 0, (size_t)((rows + 1) * width) * sizeof *sum);
            for (int64_t b = 0; b < n; b++)
                windows_taken_backward(shape, c->taken + b * windows_taken(shape), given(net, c->adjoints, 0, b), c->first_sum);
            for (int64_t o = 0; o < shape->outputs; o++) {
                for (int64_t k = 0; k < shape->kernel; k++, weight += convolution_kernel_row(shape))
                    for (int64_t j = 0; j < run; j++) weight[j] += c->first_sum[(k * run + j) * width + o];
                bias[o] += c->first_sum[rows * width + o];
            }
        }
    }
}

/* w and v [directions, parameters] after the step of the latest pass, in place. Gives 1 where memory is short, and then
   changes nothing. */
int curvature_walk(Curvature *c, int64_t directions, float *w, float *v, const Move *move) {
    const int64_t size = c->parameters, batch = c->batch;
    if (directions * size > c->sums_room) {
        float *more = room(directions * size);
        if (!more) return 1;
        free(c->sums);
        c->sums = more, c->sums_room = directions * size;
    }
    float *sums = c->sums;
    memset(sums, 0, (size_t)(directions * size) * sizeof *sums);
    if (move->back)
        for (int64_t j = 0; j < directions * size; j += LANES) store(v + j, load(v + j) - move->rate * load(w + j));
    for (int64_t first = 0, n; first < batch; first += n) {
        n = smaller(c->group, batch - first);
        note(c, first, n);
        for (int64_t d = 0; d < directions; d++) {
            const float *u = (move->back ? v : w) + d * size;
            group_forward(c, u, first, n);
            group_loss(c, first, n, move->change ? move->change + d * batch : 0, move->losses ? move->losses + d * batch : 0);
            group_backward(c, u, first, n, sums + d * size);
        }
    }
    for (int64_t i = 1; i < c->net->depth && !is_linear(c->net->layers + i); i++)
        for (int64_t d = 0; d < directions; d++)
            convolution_trim(&c->net->layers[i].shape, sums + d * size + c->net->layers[i].weight);
    if (move->back)
        for (int64_t j = 0; j < directions * size; j += LANES) {
            const floats moved = load(v + j);
            store(w + j, load(w + j) + load(sums + j) + move->decay * moved);
            store(v + j, move->momentum * moved);
        }
    else {
        const Descent descent = {move->rate, move->momentum, move->decay};
        descend_by(directions * size, sums, w, v, &descent);
    }
    return 0;
}
