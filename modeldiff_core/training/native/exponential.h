/* The exponential function of sixteen floats. */
#ifndef EXPONENTIAL_H
#define EXPONENTIAL_H

#include "vectors.h"

/* e^x for x <= 0, to the last bit or two; NaN for NaN. */
INLINE floats exponential(floats x) {
    const floats low = all(-87.0f);
    x = where(x < low, low) + where(~(x < low), x);
    const floats turns = x * 1.44269504f - 0.5f;
    const ints n = __builtin_convertvector(turns, ints); /* to nearest, as turns is negative */
    const floats whole = __builtin_convertvector(n, floats);
    const floats r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    floats y = all(1.9875691500e-4f);
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    return (y * r * r + r + 1.0f) * (floats)((n + 127) << 23);
}

#endif
