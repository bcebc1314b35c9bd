/* Matrix products of the sizes of small networks, and the update of weights while their gradient is in registers. */
#ifndef PRODUCTS_H
#define PRODUCTS_H

#include <stdint.h>

#include "descent.h"

/* c[i*c_row + j] += sum_k a[i*a_row + k] b[k, j]; rows of b, and of c at least, are padded to whole vectors. */
void product(int64_t rows, int64_t depth, int64_t columns, const float *a, int64_t a_row, const float *b, float *c,
             int64_t c_row, int half);

/* c[i*c_row + j] += sum_k a[k*a_row + i] b[k, j]; rows of b and c are padded to whole vectors. */
void product_turned(int64_t rows, int64_t depth, int64_t columns, const float *a, int64_t a_row, const float *b,
                    float *c, int64_t c_row);

/* Whether the processor multiplies pairs of bfloat16 at once. With `half`, a and b then hold such pairs instead of
   floats, and the depth counts them. */
int halves_are_quick(void);

/* Pairs of neighbors in a row, whose floats are padded to whole vectors: to [rows, columns / 2]. */
void halves_of_rows(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to);

/* Pairs of a row and the next, the last with 0 if there is none: to [rows / 2, columns]. Columns are whole vectors. */
void halves_of_columns(int64_t rows, int64_t columns, const float *from, int64_t from_row, float *to);

/* The update of w [rows, columns] with the gradient g[i, j] = sum_k a[k*a_row + i] b[k, j]. */
void descend(int64_t rows, int64_t depth, int64_t columns, const float *a, int64_t a_row, const float *b, float *w,
             float *v, const Descent *descent, int half);

/* The update of n values, a multiple of sixteen, with a gradient in memory. */
void descend_by(int64_t n, const float *gradient, float *w, float *v, const Descent *descent);

/* to [columns, padded rows] = from [rows, padded columns] */
void transpose(int64_t rows, int64_t columns, const float *from, float *to);

/* gradient = scale times that of the batch's summed cross-entropies with respect to the logits, both rows padded. A
   target's share is spread over all classes by the smoothing. */
void cross_entropy_gradient(int64_t batch, int64_t classes, const float *logits, const int64_t *targets, float smoothing,
                            float scale, float *gradient);

#endif
