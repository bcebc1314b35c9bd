/* Sixteen floats at a time, in the compiler's own vectors: it maps them to what the processor has. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <string.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint8_t bytes __attribute__((vector_size(16)));

INLINE floats load(const float *from) {
    floats value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE void store(float *to, floats value) { memcpy(to, &value, sizeof value); }

INLINE floats all(float value) { return value - (floats){0}; }

/* The values where a comparison held, 0 elsewhere. */
INLINE floats where(ints held, floats value) { return (floats)(held & (ints)value); }

INLINE int64_t vectors_of(int64_t n) { return (n + LANES - 1) / LANES; }

INLINE int64_t padded(int64_t n) { return vectors_of(n) * LANES; }

#endif
