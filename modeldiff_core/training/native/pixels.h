/* A linear layer on images of bytes, of which those of a background are 0: no products are made for them. */
#ifndef PIXELS_H
#define PIXELS_H

#include <stdint.h>

#include "descent.h"

/* Images side by side in one mask. */
#define GROUP 64

/* A batch by pixel: bytes [features + 1, room], room being whole groups of images; what no image fills, and the last row,
   is 0. An image's inputs are slope*byte + offset. */
typedef struct {
    uint8_t *bytes;
    int64_t features, room;
    const float *slope, *offset;
} Pixels;

/* The batch is n images, rows of bytes: order[first], order[first + 1] and so on, or from first on if order is 0. */
void pixels_gather(Pixels *to, const uint8_t *images, const int64_t *order, int64_t first, int64_t n);

/* out[i, :] += inputs of image i times w [features, outputs]; rows of both are padded to whole vectors. half: in bfloat16,
   which bytes are anyway. */
void pixels_product(const Pixels *pixels, int64_t n, const float *w, int64_t outputs, float *out, int half);

/* The update of w with the gradient that dy [n, outputs], or with `half` pairs of its rows, gives; sum: of these rows. */
void pixels_descend(const Pixels *pixels, int64_t n, const float *dy, const float *sum, int64_t outputs, float *w,
                    float *speed, const Descent *descent, int half);

#endif
