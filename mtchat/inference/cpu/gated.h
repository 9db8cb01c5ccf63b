// A layer of the Llama class: attention, then a gated feed-forward, each after a norm; what differs is in Layer.
#pragma once
#include "experts.h"

// Rotates the pairs (i, i + rotary / 2) of each head of a row.
static void rotate_halves(float *row, int heads, int head, int rotary, const float *cosines, const float *sines) {
    const int half = rotary / 2;
    for (int h = 0; h < heads; h++, row += head) {
        int i = 0;
        for (; i + LANES <= half; i += LANES) {
            const Floats a = load(row + i), b = load(row + half + i);
            const Floats cosine = load(cosines + i), sine = load(sines + i);
            store(row + i, a * cosine - b * sine);
            store(row + half + i, b * cosine + a * sine);
        }
        for (; i < half; i++) {
            const float a = row[i], b = row[half + i];
            row[i] = a * cosines[i] - b * sines[i];
            row[half + i] = b * cosines[i] + a * sines[i];
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

// Adds a matrix product to the stream, normalised if there is a norm for it; ends at a barrier.
static void add_product(State *s, int thread, Matrix matrix, const Adapter *adapter, Activations x, const float *bias,
                        Norm norm) {
    const Model *m = s->model;
    const int count = s->batch->count, width = m->width;
    products(s, thread, matrix, adapter, x, count, bias, norm.weight ? 0 : m->residual_scale,
             norm.weight ? s->branch : s->stream);
    meet(s->pool);
    if (!norm.weight) return;
    for (int t = thread; t < count; t += s->pool->count) {
        const float *branch = s->branch + (int64_t)t * width;
        float *stream = s->stream + (int64_t)t * width;
        const float factor = to_unit(branch, 0, m->epsilon, width);
        for (int i = 0; i < width; i += LANES)
            store(stream + i, load(stream + i) + load(branch + i) * factor * load(norm.weight + i));
    }
    meet(s->pool);
}

static void gated_layer(State *s, int thread, int layer) {
    const Model *m = s->model;
    const Layer *l = m->layer + layer;
    const Adapters *adapters = l->adapters;
    const int count = s->batch->count;
    Pool *pool = s->pool;
    normalise_all(s, thread, l->attention_norm, 0, count);
    meet(pool);
    adapt(s, thread, adapters ? &adapters->query : 0, 3, s->normed, m->width, count);
    for (int strip; (strip = take(pool, thread, query_key_value_strips(l))) >= 0;)
        query_key_value(s, l, strip, count);
    meet(pool);
    place_keys(s, thread, layer, rotate_halves);
    meet(pool);
    attend_groups(s, thread, layer);
    meet(pool);
    add_product(s, thread, l->output, adapters ? &adapters->output : 0, s->attended, l->output_bias,
                l->attention_post_norm);
    normalise_all(s, thread, l->feed_norm, 0, count);
    meet(pool);
    if (l->router) {
        feed_experts(s, thread, l);
        return;
    }
    adapt(s, thread, adapters ? &adapters->gate : 0, 2, s->normed, m->width, count);
    const Beside beside = {l->gate_bias, l->up_bias, adapters ? &adapters->gate : 0, s->low};
    for (int block; (block = take(pool, thread, m->feed / BLOCK)) >= 0;)
        feed_gated(m, l->gate_up, beside, block, s->normed, count, s->fed);
    meet(pool);
    add_product(s, thread, l->down, adapters ? &adapters->down : 0, s->fed, l->down_bias, l->feed_post_norm);
}
