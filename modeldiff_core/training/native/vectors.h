/* Sixteen floats at a time, in the compiler's own vectors: it maps them to what the processor has. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__) && defined(__AVX512BW__)
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
#if defined(__AVX512F__) && defined(__AVX512BW__)
INLINE ints widened(const uint8_t *from) { return (ints)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)from)); }

INLINE ints widened_twos(const uint8_t *from) {
    return (ints)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)from));
}

INLINE void narrow(uint8_t *to, ints values) { _mm_storeu_si128((void *)to, _mm512_cvtepi32_epi8((__m512i)values)); }

/* Bit i tells whether byte i of sixty-four is not 0. */
INLINE uint64_t not_zero(const uint8_t *from) {
    const __m512i bytes = _mm512_loadu_si512(from);
    return _mm512_test_epi8_mask(bytes, bytes);
}

INLINE void narrow_halves(void *to, ints values) {
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16((__m512i)values));
}
#else
INLINE ints widened(const uint8_t *from) {
    ints values;
    for (int i = 0; i < LANES; i++) values[i] = from[i];
    return values;
}

INLINE ints widened_twos(const uint8_t *from) {
    ints values;
    for (int i = 0; i < LANES; i++) values[i] = from[2 * i] | from[2 * i + 1] << 8;
    return values;
}

INLINE void narrow(uint8_t *to, ints values) {
    for (int i = 0; i < LANES; i++) to[i] = (uint8_t)values[i];
}

INLINE uint64_t not_zero(const uint8_t *from) {
    uint64_t mask = 0;
    for (int i = 0; i < 64; i += 8) {
        uint64_t eight;
        memcpy(&eight, from + i, 8);
        const uint64_t low = 0x7f7f7f7f7f7f7f7f, set = (((eight & low) + low) | eight) & ~low;
        mask |= ((set >> 7) * 0x0102040810204080) >> 56 << i; /* the top bits of eight bytes, gathered in the highest */
    }
    return mask;
}

INLINE void narrow_halves(void *to, ints values) {
    for (int i = 0; i < LANES; i++) ((uint16_t *)to)[i] = (uint16_t)values[i];
}
#endif

INLINE int64_t vectors_of(int64_t n) { return (n + LANES - 1) / LANES; }

INLINE int64_t padded(int64_t n) { return vectors_of(n) * LANES; }

#endif
