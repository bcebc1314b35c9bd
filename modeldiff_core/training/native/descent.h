/* How a gradient moves weights. */
#ifndef DESCENT_H
#define DESCENT_H

#include "vectors.h"

/* v <- momentum*v + g + decay*w, w <- w - rate*v */
typedef struct {
    float rate, momentum, decay;
} Descent;

/* A vector of weights after the update, which stores the velocity. */
INLINE floats moved(floats gradient, const float *w, float *v, const Descent *d) {
    const floats before = load(w), speed = d->momentum * load(v) + gradient + d->decay * before;
    store(v, speed);
    return before - d->rate * speed;
}

#endif
