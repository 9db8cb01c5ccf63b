// A layer of Qwen2.
#pragma once
#include "layer.h"

// Rotates the pairs (i, i + rotary / 2) of each head of a row.
static void rotate_halves(float *row, int heads, int head, int rotary, const float *cosines, const float *sines) {
    const int half = rotary / 2;
    for (int h = 0; h < heads; h++, row += head) {
        for (int i = 0; i < half; i += LANES) {
            const Floats a = load(row + i), b = load(row + half + i);
            const Floats cosine = load(cosines + i), sine = load(sines + i);
            store(row + i, a * cosine - b * sine);
            store(row + half + i, b * cosine + a * sine);
        }
    }
}

// Query heads that share a KV head, some at once.
static void attend_groups(State *s, int thread, int layer) {
    const Model *m = s->model;
    const int group = m->heads / m->kv_heads, parts = (group + HEADS_AT_ONCE - 1) / HEADS_AT_ONCE;
    const int size = (group + parts - 1) / parts, units = s->batch->count * m->kv_heads * parts;
    for (int unit; (unit = take(s->pool, thread, units)) >= 0;) {
        const int t = unit / (m->kv_heads * parts), kv = unit / parts % m->kv_heads, start = unit % parts * size;
        const int heads = group - start < size ? group - start : size;
        float mixed[HEADS_AT_ONCE * WIDEST_HEAD];
        attend_heads(s, layer, t, kv * group + start, heads, s->scores + thread * s->score_stride, mixed);
        quantise(mixed, heads * m->head,
                 from_block(from_row(s->attended, t, s->attended_columns), (kv * group + start) * m->head / BLOCK));
    }
}

// silu(gate) * up for a block of columns, as activations: two strips of gates, then two of ups.
static void feed_gated(State *s, const Layer *l, int block, int count) {
    enum { EACH = TILE * STRIP };
    for (int first = 0; first < count; first += TILE) {
        const int some = count - first < TILE ? count - first : TILE;
        float sums[4][EACH], row[BLOCK];
        for (int strip = 0; strip < 4; strip++)
            strip_times(l->gate_up, 4 * block + strip, from_row(s->normed, first, s->model->width), some, sums[strip]);
        for (int t = 0; t < some; t++) {
            for (int i = 0; i < BLOCK; i += LANES) {
                const int strip = i / STRIP, at = t * STRIP + i % STRIP;
                const Floats gate = load(sums[strip] + at), up = load(sums[2 + strip] + at);
                store(row + i, gate / (exponential(-gate) + 1.0f) * up);
            }
            quantise(row, BLOCK, from_block(from_row(s->fed, first + t, s->model->feed), block));
        }
    }
}

static void qwen2_layer(State *s, int thread, int layer) {
    const Model *m = s->model;
    const Layer *l = m->layer + layer;
    const int count = s->batch->count;
    Pool *pool = s->pool;
    normalise_all(s, thread, l->attention_norm, 0, count);
    meet(pool);
    for (int strip; (strip = take(pool, thread, query_key_value_strips(l))) >= 0;)
        query_key_value(s, l, strip, count);
    meet(pool);
    place_keys(s, thread, layer, rotate_halves);
    meet(pool);
    attend_groups(s, thread, layer);
    meet(pool);
    products(s, thread, l->output, s->attended, count, 0, 1, s->stream);
    meet(pool);
    normalise_all(s, thread, l->feed_norm, 0, count);
    meet(pool);
    for (int block; (block = take(pool, thread, m->feed / BLOCK)) >= 0;) feed_gated(s, l, block, count);
    meet(pool);
    products(s, thread, l->down, s->fed, count, 0, 1, s->stream);
    meet(pool);
}
