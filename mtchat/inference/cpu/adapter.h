// LoRA adapters: two thin products in floats beside a quantised matrix, y += B (A x).
#pragma once
#include "matrix.h"
#include "pool.h"

typedef struct {
    const float *a, *b;   // (rank, columns), (rank, rows)
    int32_t rank, first;  // of A x among those of the matrices that read the same activations; rank 0: no adapter
} Adapter;

// Of the matrices of a layer; those that read the same activations side by side.
typedef struct {
    Adapter query, key, value, output, gate, up, down;
} Adapters;

INLINE float thin_dot(const float *a, Activations x, int columns) {
    Floats sum = splat(0);
    for (int block = 0; block < columns / BLOCK; block++, a += BLOCK) {
        const Activations here = from_block(x, block);
        Floats some = splat(0);
        for (int i = 0; i < BLOCK; i += LANES) some = fused(from_i8(here.values + i), load(a + i), some);
        sum = fused(some, splat(*here.scales), sum);
    }
    return total(sum);
}

// A x of `number` adapters side by side for each row: low (count, stride). Ends at a barrier.
static void shrink(Pool *pool, int thread, const Adapter *adapters, int number, Activations x, int columns, int count,
                   float *low, int stride) {
    const int ranks = adapters[number - 1].first + adapters[number - 1].rank;
    for (int item; (item = take(pool, thread, ranks)) >= 0;) {
        const Adapter *one = adapters;
        while (item >= one->first + one->rank) one++;
        const float *a = one->a + (int64_t)(item - one->first) * columns;
        for (int t = 0; t < count; t++) low[(int64_t)t * stride + item] = thin_dot(a, from_row(x, t, columns), columns);
    }
    meet(pool);
}

// Adds a strip of B (A x) times `factor`: to[t] (STRIP) for each row of `low`, `step` floats apart.
static void grow(const Adapter *one, int rows, int strip, const float *low, int stride, int count, float factor,
                 float *to, int64_t step) {
    for (int t = 0; t < count; t++, low += stride, to += step) {
        for (int i = 0; i < STRIP; i += LANES) {
            Floats sum = splat(0);
            for (int r = 0; r < one->rank; r++)
                sum = fused(load(one->b + (int64_t)r * rows + strip * STRIP + i), splat(low[one->first + r]), sum);
            store(to + i, fused(sum, splat(factor), load(to + i)));
        }
    }
}
