/* Root-mean-square normalization of rows, forwards and backwards; the width is a multiple of sixteen. */
#include <math.h>

#include "vectors.h"

INLINE float total(floats values) {
    float sum = 0;
    for (int j = 0; j < LANES; j++) sum += values[j];
    return sum;
}

/* out = gain * x * scale with scale [rows] = 1 / sqrt(mean of x^2 + tiny) */
void norm_forward(int64_t rows, int64_t width, float tiny, const float *x, const float *gain, float *out, float *scale) {
    for (int64_t i = 0; i < rows; i++, x += width, out += width) {
        floats sum = {0};
        for (int64_t j = 0; j < width; j += LANES) sum += load(x + j) * load(x + j);
        scale[i] = 1.0f / sqrtf(total(sum) / (float)width + tiny);
        for (int64_t j = 0; j < width; j += LANES) store(out + j, load(x + j) * scale[i] * load(gain + j));
    }
}

/* Writes the gradient of x and adds to that of the gain. above: the gradient of out. */
void norm_backward(int64_t rows, int64_t width, const float *x, const float *gain, const float *scale, const float *above,
                   float *dx, float *d_gain) {
    for (int64_t i = 0; i < rows; i++, x += width, above += width, dx += width) {
        floats sum = {0};
        for (int64_t j = 0; j < width; j += LANES) {
            const floats unit = load(x + j) * scale[i];
            sum += load(above + j) * load(gain + j) * unit;
            store(d_gain + j, load(d_gain + j) + load(above + j) * unit);
        }
        const float mean = total(sum) / (float)width;
        for (int64_t j = 0; j < width; j += LANES)
            store(dx + j, (load(above + j) * load(gain + j) - load(x + j) * scale[i] * mean) * scale[i]);
    }
}
