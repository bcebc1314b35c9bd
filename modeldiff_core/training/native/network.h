/* One network's layers and the memory that its training steps work in. */
#ifndef NETWORK_H
#define NETWORK_H

#include "convolution.h"
#include "descent.h"
#include "pixels.h"

/* A convolution with pooling and ReLU, or (kernel 0) a linear layer [inputs, padded outputs], all but the last with ReLU.
   weight, bias: where they start among the parameters. */
typedef struct {
    Convolution shape;
    int64_t weight, bias;
} Layer;

/* Examples in rows of `features` values: bytes of which slope*byte + offset is taken, or floats (slope 0). */
typedef struct {
    const void *values;
    const float *slope, *offset;
    int64_t features;
} Table;

typedef struct {
    const Layer *layers;
    int64_t depth, batch;
    float **x, **dx; /* inputs of each layer and their gradients, one example after the other; x[depth]: the logits */
    uint8_t **code;
    int64_t *stride; /* floats from one example to the next */
    float *turned, *gradient;
    void *scratch;
    int half; /* products of linear layers in bfloat16 */
    float *pairs_a, *pairs_b;
    Pixels pixels; /* the batch, where the first layer is linear and the table holds bytes; else its slope is 0 */
} Network;

/* A place to train and evaluate networks of these layers in, one after the other, in batches of at most that size.
   parameters: their number. half: products in bfloat16 where that is quick. Gives 0 where memory is short. */
Network *network_new(const Layer *layers, int64_t depth, int64_t parameters, int64_t batch, int half);
void network_free(Network *net);

/* A batch of the table: rows order[first], order[first + 1] and so on, or first, first + 1 if there is no order. */
void network_gather(Network *net, const Table *table, const int64_t *order, int64_t first, int64_t batch);

/* The layers' inputs x and codes, up to the logits. */
void network_forward(Network *net, const float *parameters, int64_t batch);

/* The layers' dx from that of the logits, and the update of parameters and velocity. */
void network_backward(Network *net, float *parameters, float *velocity, int64_t batch, const Descent *descent);

INLINE int is_linear(const Layer *layer) { return !layer->shape.kernel; }

INLINE int64_t pixels_out(const Layer *layer) {
    return convolution_out_height(&layer->shape) * convolution_out_width(&layer->shape);
}

/* Example `at` of what layer i gives, as the next layer wants it. */
INLINE Image given(const Network *net, float **values, int64_t i, int64_t at) {
    const Convolution *c = &net->layers[i].shape, *next = &net->layers[i + 1].shape;
    const int64_t padding = is_linear(net->layers + i + 1) ? 0 : next->padding;
    const int64_t row = (convolution_out_width(c) + 2 * padding) * c->outputs;
    return (Image){values[i + 1] + at * net->stride[i + 1] + padding * (row + c->outputs), row};
}

#endif
