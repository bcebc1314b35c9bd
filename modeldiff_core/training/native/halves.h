/* Pairs of bfloat16, which some processors multiply and add at once: one in each half of a float. */
#ifndef HALVES_H
#define HALVES_H

#include "vectors.h"

/* The bits of the nearest bfloat16, of two equally near the even one, in the upper half. */
INLINE ints rounded(floats value) {
    const ints bits = (ints)value;
    return (bits + 0x7fff + ((bits >> 16) & 1)) & (int32_t)0xffff0000;
}

INLINE ints lower(ints bits) { return (bits >> 16) & 0xffff; }

INLINE floats pair(floats first, floats second) { return (floats)(lower(rounded(first)) | rounded(second)); }

/* Of whole numbers below 256, which bfloat16 holds as they are. */
INLINE floats pair_of_bytes(ints first, ints second) {
    const floats a = __builtin_convertvector(first, floats), b = __builtin_convertvector(second, floats);
    return (floats)(lower((ints)a) | (ints)b);
}

/* sum + a*b, where half of both products of pairs. */
INLINE floats added(floats sum, floats a, floats b, const int half) {
#ifdef __AVX512BF16__
    if (half) return (floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#endif
    (void)half;
    return sum + a * b;
}

#endif
