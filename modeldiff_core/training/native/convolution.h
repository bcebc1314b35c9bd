/* A convolution, 2x2 max pooling and ReLU of one image as one step, forwards and backwards. */
#ifndef CONVOLUTION_H
#define CONVOLUTION_H

#include <stdint.h>

/* An image [height, width, inputs] with a border of `padding` zeros is convolved with [outputs, kernel, kernel, inputs]. */
typedef struct {
    int64_t height, width, inputs, outputs, kernel, padding;
} Convolution;

/* Where an image lies: its first pixel inside the border, and floats from one row to the next. */
typedef struct {
    float *first;
    int64_t row;
} Image;

/* Floats of an image with its border, and of the weights, whose kernel rows are padded to whole vectors. */
int64_t convolution_image(const Convolution *c);
int64_t convolution_weights(const Convolution *c);

/* Floats of a row of an image with its border, and of a kernel row of the weights. */
int64_t convolution_row(const Convolution *c);
int64_t convolution_kernel_row(const Convolution *c);

int64_t convolution_out_height(const Convolution *c);
int64_t convolution_out_width(const Convolution *c);

/* Weights as the forward step reads them: [kernel, kernel*inputs, padded outputs]. */
void convolution_turn(const Convolution *c, const float *weights, float *turned);

/* out = relu(max of each 2x2 of (x convolved + bias)); code: which of the four it was, 4 where the ReLU gives 0. */
void convolution_forward(const Convolution *c, const float *x, const float *turned, const float *bias, Image out,
                         uint8_t *code);

/* Adds one image's gradient to that of the bias. gradient: of the step's output. */
void convolution_bias(const Convolution *c, Image gradient, const uint8_t *code, float *d_bias);

/* Adds one image's gradient to that of the weights, and writes that of x with its border unless dx is 0.
   scratch: 8 bytes for each pooled pixel. */
void convolution_backward(const Convolution *c, const float *x, const float *weights, Image gradient,
                          const uint8_t *code, float *d_weights, float *dx, void *scratch);

/* The same without dx, turned as the forward step reads weights: quicker for few inputs. */
void convolution_backward_first(const Convolution *c, const float *x, Image gradient, const uint8_t *code,
                                float *turned);

/* The reverse of turning. */
void convolution_turn_back(const Convolution *c, const float *turned, float *weights);

/* Puts 0 where kernel rows are padded: the backward step leaves what lies beside a window there. */
void convolution_trim(const Convolution *c, float *d_weights);

#endif
