/* Tangents of a convolution with 2x2 max pooling and ReLU. Which of four pixels is the largest, and whether the ReLU lets
   it pass, is known from the training itself; so only the windows of those pixels are multiplied, forwards and backwards,
   and where they lie is written down once for all directions. */
#ifndef WINDOWS_H
#define WINDOWS_H

#include "convolution.h"

/* Some examples of a batch, one after the other. in, out: floats from one's inputs, or outputs, to those of the next.
   inner: from the first of an example's outputs to its first pixel inside the border. row: from one row of outputs to the
   next. code: which pixels are the largest, without gaps. */
typedef struct {
    int64_t count, in, out, inner, row;
    const uint8_t *code;
} Group;

/* What passes of a group: that of output o is from[o] to from[o + 1]. place: the first float of its window among the
   group's inputs; to: its own among the group's outputs; delta: its gradient in the training. */
typedef struct {
    int64_t *from;
    int32_t *place, *to;
    float *delta;
} Windows;

/* A convolution along a direction: weights and those of the direction, inputs of a group and their tangents. */
typedef struct {
    const float *w, *dw, *x, *dx;
} Along;

/* Writes down what passes of a group. gradient: of its outputs. */
void windows_list(const Convolution *c, const Group *group, const float *gradient, Windows *to);

/* dy = x convolved with dw, dx with w, and db, where something passes. scratch: a float for each that does. */
void windows_forward(const Convolution *c, const Windows *windows, const Along *along, const float *db, float *dy,
                     float *scratch);

/* The tangents of the gradients, added to those of the weights, of the bias and of the inputs (below), from those of the
   outputs. scratch: a float for each that passes. */
void windows_backward(const Convolution *c, const Windows *windows, const Along *along, const float *outputs,
                      float *weights, float *bias, float *below, float *scratch);

/* The same of a first layer, whose inputs have no tangents. What is taken of an example: for each pooled pixel the floats
   of the largest one's window, of each output, and 1 for the bias; 0 where nothing passes
   [pixels, kernel*kernel*inputs + 1, padded outputs]. turned: weights as the forward step reads them, then the bias. */
int64_t windows_taken(const Convolution *c);
void windows_take(const Convolution *c, const float *x, const uint8_t *code, float *taken);
void windows_taken_forward(const Convolution *c, const float *taken, const float *turned, Image dy);
void windows_taken_backward(const Convolution *c, const float *taken, Image outputs, float *turned);

#endif
