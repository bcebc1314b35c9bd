/* Sixteen floats at a time, in the compiler's own vectors: it maps them to what the processor has. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define LANES 16
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

INLINE floats load(const float *from) {
    floats value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE void store(float *to, floats value) { memcpy(to, &value, sizeof value); }

INLINE floats all(float value) {
    return (floats){value, value, value, value, value, value, value, value,
                    value, value, value, value, value, value, value, value};
}

/* The values where a comparison held, 0 elsewhere. */
INLINE floats where(ints held, floats value) { return (floats)(held & (ints)value); }

/* Sixteen bytes as integers and back, and the lower halves of integers; compilers spell the portable way out one by one. */
#ifdef __AVX512F__
INLINE ints widened(const uint8_t *from) { return (ints)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)from)); }

INLINE void narrow(uint8_t *to, ints values) { _mm_storeu_si128((void *)to, _mm512_cvtepi32_epi8((__m512i)values)); }

INLINE void narrow_halves(void *to, ints values) {
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16((__m512i)values));
}
#else
INLINE ints widened(const uint8_t *from) {
    ints values;
    for (int i = 0; i < LANES; i++) values[i] = from[i];
    return values;
}

INLINE void narrow(uint8_t *to, ints values) {
    for (int i = 0; i < LANES; i++) to[i] = (uint8_t)values[i];
}

INLINE void narrow_halves(void *to, ints values) {
    for (int i = 0; i < LANES; i++) ((uint16_t *)to)[i] = (uint16_t)values[i];
}
#endif

INLINE int64_t vectors_of(int64_t n) { return (n + LANES - 1) / LANES; }

INLINE int64_t padded(int64_t n) { return vectors_of(n) * LANES; }

#endif
