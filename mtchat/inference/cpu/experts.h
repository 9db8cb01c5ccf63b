// The gated feed-forward, of one for all tokens, or of a few experts for each (a mixture of experts).
#pragma once
#include "layer.h"

// What gates and ups have beside their matrix: biases, and adapters of which `low` has the first half.
typedef struct {
    const float *gate, *up;
    const Adapter *adapters;
    const float *low;
} Beside;

// The gate's activation times what is let through.
INLINE Floats gated(Activation activation, Floats gate, Floats up) {
    if (activation == GELU) return gelu(gate) * up;
    if (activation == SILU) return gate / (exponential(-gate) + 1.0f) * up;
    const Floats high = splat(7.0f), low = minimum(gate, high);
    return low / (exponential(-1.702f * low) + 1.0f) * (maximum(minimum(up, high), -high) + 1.0f);
}

// The feed-forward's values for a block of columns, as activations: two strips of gates, then two of ups.
static void feed_gated(const Model *m, Matrix gate_up, Beside beside, int block, Activations x, int count,
                       Activations to) {
    enum { EACH = TILE * STRIP };
    for (int first = 0; first < count; first += TILE) {
        const int some = count - first < TILE ? count - first : TILE;
        float sums[4][EACH], row[BLOCK];
        for (int strip = 0; strip < 4; strip++)
            strip_times(gate_up, 4 * block + strip, from_row(x, first, m->width), some, sums[strip]);
        for (int strip = 0; beside.adapters && strip < 4; strip++)
            grow(beside.adapters + strip / 2, m->feed, 2 * block + strip % 2, beside.low + (int64_t)first * m->adapted,
                 m->adapted, some, 1, sums[strip], STRIP);
        for (int t = 0; t < some; t++) {
            for (int i = 0; i < BLOCK; i += LANES) {
                const int strip = i / STRIP, at = t * STRIP + i % STRIP;
                Floats gate = load(sums[strip] + at), up = load(sums[2 + strip] + at);
                if (beside.gate) gate += load(beside.gate + BLOCK * block + i);
                if (beside.up) up += load(beside.up + BLOCK * block + i);
                store(row + i, gated(m->activation, gate, up));
            }
            quantise(row, BLOCK, from_block(from_row(to, first + t, m->feed), block));
        }
    }
}

// The router's scores of some experts for all tokens.
static void score_experts(State *s, const Layer *l, int first, int end) {
    const Model *m = s->model;
    const Routing *r = &s->routing;
    for (int t = 0; t < s->batch->count; t++) {
        const float *row = r->plain + (int64_t)t * m->width;
        for (int e = first; e < end; e++) {
            const float *weights = l->router + (int64_t)e * m->width;
            Floats sum = splat(0);
            for (int i = 0; i < m->width; i += LANES) sum = fused(load(row + i), load(weights + i), sum);
            r->scores[(int64_t)t * m->experts + e] = total(sum) + (l->router_bias ? l->router_bias[e] : 0);
        }
    }
}

// The experts with the highest scores for a token, in rising order; among equals the first.
static void pick_experts(const float *scores, int experts, int used, int32_t *picked) {
    for (int k = 0; k < used; k++) {
        int best = -1, at = k;
        for (int e = 0; e < experts; e++) {
            int taken = 0;
            for (int i = 0; i < k; i++) taken |= picked[i] == e;
            if (!taken && (best < 0 || scores[e] > scores[best])) best = e;
        }
        for (; at > 0 && picked[at - 1] > best; at--) picked[at] = picked[at - 1];
        picked[at] = best;
    }
}

// Gives each expert of each token a row; its share is the softmax over the scores of those picked.
static void route(State *s) {
    const Model *m = s->model;
    Routing *r = &s->routing;
    const int used = m->used_experts;
    memset(r->starts, 0, sizeof *r->starts * (m->experts + 1));
    for (int t = 0; t < s->batch->count; t++) {
        pick_experts(r->scores + (int64_t)t * m->experts, m->experts, used, r->picked + t * used);
        for (int k = 0; k < used; k++) r->starts[r->picked[t * used + k]]++;
    }
    int rows = 0;
    r->count = 0;
    for (int e = 0; e < m->experts; e++) {
        const int some = r->starts[e];
        if (some) r->active[r->count++] = e;
        r->starts[e] = rows, rows += some;
    }
    r->starts[m->experts] = rows;
    for (int t = 0; t < s->batch->count; t++) {
        const float *scores = r->scores + (int64_t)t * m->experts;
        const int32_t *picked = r->picked + t * used;
        float best = scores[picked[0]], sum = 0;
        for (int k = 1; k < used; k++) best = scores[picked[k]] > best ? scores[picked[k]] : best;
        for (int k = 0; k < used; k++) sum += exponential(splat(scores[picked[k]] - best))[0];
        for (int k = 0; k < used; k++) {
            const int row = r->starts[picked[k]]++;
            r->tokens[row] = t;
            r->shares[row] = exponential(splat(scores[picked[k]] - best))[0] / sum;
        }
    }
    for (int e = m->experts; e > 0; e--) r->starts[e] = r->starts[e - 1];
    r->starts[0] = 0;
}

static void copy_row(Activations from, int row, int columns, Activations to, int place) {
    const Activations here = from_row(from, row, columns), there = from_row(to, place, columns);
    const int blocks = columns / BLOCK;
    memcpy(there.values, here.values, (size_t)columns);
    memcpy(there.scales, here.scales, sizeof(float) * blocks);
    memcpy(there.scaled_sums, here.scaled_sums, sizeof(float) * blocks);
    memcpy(there.sums, here.sums, sizeof(int32_t) * 2 * blocks);
}

// Part of the rows of one expert's matrix.
INLINE Matrix expert_matrix(Matrix all, int expert, int rows) {
    const int64_t strips = (int64_t)expert * (rows / STRIP);
    return (Matrix){all.data + strips * strip_bytes(all.kind, all.columns), rows, all.columns, all.kind};
}

// A strip of the stream gets the sum of what the experts say, always in their order.
static void add_experts(State *s, const Layer *l, int strip) {
    const Model *m = s->model;
    const Routing *r = &s->routing;
    for (int i = 0; i < r->count; i++) {
        const int expert = r->active[i], end = r->starts[expert + 1];
        const Matrix down = expert_matrix(l->down, expert, m->width);
        const float *bias = l->down_bias ? l->down_bias + (int64_t)expert * m->width + strip * STRIP : 0;
        for (int first = r->starts[expert]; first < end; first += TILE) {
            const int some = end - first < TILE ? end - first : TILE;
            float sums[TILE * STRIP];
            strip_times(down, strip, from_row(s->fed, first, m->feed), some, sums);
            for (int t = 0; t < some; t++) {
                float *place = s->stream + (int64_t)r->tokens[first + t] * m->width + strip * STRIP;
                const float share = r->shares[first + t] * m->residual_scale;
                for (int j = 0; j < STRIP; j++) place[j] += share * (sums[t * STRIP + j] + (bias ? bias[j] : 0));
            }
        }
    }
}

static void feed_experts(State *s, int thread, const Layer *l) {
    enum { SOME = 8 };
    const Model *m = s->model;
    const Routing *r = &s->routing;
    const int blocks = m->feed / BLOCK, parts = (m->experts + SOME - 1) / SOME;
    Pool *pool = s->pool;
    for (int part; (part = take(pool, thread, parts)) >= 0;)
        score_experts(s, l, part * SOME, part == parts - 1 ? m->experts : (part + 1) * SOME);
    meet(pool);
    if (thread == 0) route(s);
    meet(pool);
    const int rows = r->starts[m->experts];
    for (int row = thread; row < rows; row += pool->count) copy_row(s->normed, r->tokens[row], m->width, r->rows, row);
    meet(pool);
    for (int unit; (unit = take(pool, thread, r->count * blocks)) >= 0;) {
        const int expert = r->active[unit / blocks], first = r->starts[expert];
        const int64_t bias = (int64_t)expert * m->feed;
        const Beside beside = {l->gate_bias ? l->gate_bias + bias : 0, l->up_bias ? l->up_bias + bias : 0, 0, 0};
        feed_gated(m, expert_matrix(l->gate_up, expert, 2 * m->feed), beside, unit % blocks,
                   from_row(r->rows, first, m->width), r->starts[expert + 1] - first, from_row(s->fed, first, m->feed));
    }
    meet(pool);
    for (int strip; (strip = take(pool, thread, m->width / STRIP)) >= 0;) add_experts(s, l, strip);
    meet(pool);
}
