// A layer of CodeGen (and of GPT-J): attention and feed-forward read the same norm, side by side.
//
// So two phases do all matrix products: one reads the norm, and one both results, which share an activation row.
#pragma once
#include "layer.h"

// Rotates the pairs (2 i, 2 i + 1) of the first columns of each head of a row.
static void rotate_pairs(float *row, int heads, int head, int rotary, const float *cosines, const float *sines) {
    for (int h = 0; h < heads; h++, row += head) {
        for (int i = 0; i < rotary / 2; i++) {
            const float a = row[2 * i], b = row[2 * i + 1];
            row[2 * i] = a * cosines[i] - b * sines[i];
            row[2 * i + 1] = b * cosines[i] + a * sines[i];
        }
    }
}

// Each head has a KV head of its own; as many heads at once as fill whole blocks of activations.
static void attend_each(State *s, int thread, int layer) {
    const Model *m = s->model;
    const int some = m->head % BLOCK ? 2 : 1, groups = m->heads / some;
    for (int unit; (unit = take(s->pool, thread, s->batch->count * groups)) >= 0;) {
        const int t = unit / groups, first = unit % groups * some;
        float mixed[2 * WIDEST_HEAD];
        for (int i = 0; i < some; i++)
            attend_heads(s, layer, t, first + i, 1, s->scores + thread * s->score_stride, mixed + i * m->head);
        quantise(mixed, some * m->head,
                 from_block(from_row(s->attended, t, s->attended_columns), first * m->head / BLOCK));
    }
}

// A block of columns of the feed-forward, after those of attention.
static void feed_beside(State *s, const Layer *l, int block, int count) {
    const Model *m = s->model;
    const int behind = m->heads * m->head / BLOCK;
    for (int first = 0; first < count; first += TILE) {
        const int some = count - first < TILE ? count - first : TILE;
        float sums[2][TILE * STRIP], row[BLOCK];
        for (int strip = 0; strip < 2; strip++)
            strip_times(l->up, 2 * block + strip, from_row(s->normed, first, m->width), some, sums[strip]);
        for (int t = 0; t < some; t++) {
            for (int i = 0; i < BLOCK; i += LANES) {
                const Floats sum = load(sums[i / STRIP] + t * STRIP + i % STRIP);
                store(row + i, gelu(sum + load(l->up_bias + BLOCK * block + i)));
            }
            quantise(row, BLOCK, from_block(from_row(s->attended, first + t, s->attended_columns), behind + block));
        }
    }
}

static void codegen_layer(State *s, int thread, int layer) {
    const Model *m = s->model;
    const Layer *l = m->layer + layer;
    const int count = s->batch->count, attention = query_key_value_strips(l) / 2;
    Pool *pool = s->pool;
    normalise_all(s, thread, l->attention_norm, 0, count);
    meet(pool);
    for (int pair; (pair = take(pool, thread, attention + m->feed / BLOCK)) >= 0;) {
        if (pair < attention) {
            query_key_value(s, l, 2 * pair, count);
            query_key_value(s, l, 2 * pair + 1, count);
        } else {
            feed_beside(s, l, pair - attention, count);
        }
    }
    meet(pool);
    place_keys(s, thread, layer, rotate_pairs);
    meet(pool);
    attend_each(s, thread, layer);
    meet(pool);
    products(s, thread, l->down, 0, s->attended, count, l->down_bias, 1, s->stream);
    meet(pool);
}
