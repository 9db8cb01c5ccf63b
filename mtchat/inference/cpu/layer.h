// The parts of layers that architectures share; each token sees the keys of its own sequence (`paths`: KV slots).
#pragma once
#include "adapter.h"
#include "matrix.h"
#include "pool.h"

enum { HEADS_AT_ONCE = 4, WIDEST_HEAD = 256 };

typedef enum { GATED, CODEGEN } Architecture;

typedef enum { SILU, GELU, CLAMPED } Activation;  // CLAMPED: SILU of limited values, as gpt-oss has it

typedef struct {
    const float *weight, *shift;  // no shift: by the root mean square alone
} Norm;

// Parts that an architecture lacks are null. With a router, the feed-forward's matrices are those of all experts,
// one after the other, and its biases have a row for each expert.
typedef struct {
    Matrix query, key, value, output, gate_up, up, down;
    Norm attention_norm, feed_norm, query_norm, key_norm, attention_post_norm, feed_post_norm;
    const float *query_bias, *key_bias, *value_bias, *output_bias, *gate_bias, *up_bias, *down_bias;
    const float *sinks;                 // (heads): one more score of each head, whose value is nothing
    const float *router, *router_bias;  // (experts, width), (experts)
    int32_t window;                     // how many tokens one sees, itself among them; 0: all
    int32_t rotation;                   // which angles rotate queries and keys; -1: none
    const Adapters *adapters;           // or null
} Layer;

typedef struct {
    int32_t architecture, layers, width, heads, kv_heads, head, rotary, feed, vocabulary, experts, used_experts;
    int32_t capacity, activation;
    int32_t adapted;          // the most ranks of adapters that read the same activations; 0: no adapters
    float epsilon, embedding_scale, residual_scale, attention_scale, attention_cap;
    Matrix embedding, output;
    Norm norm;
    const float *output_bias;
    const Layer *layer;
    const Adapter *output_adapter;
    uint16_t *keys, *values;  // (layers, capacity, kv_heads * head) halves: a slot has the keys of one token
} Model;

typedef struct {
    int32_t count, wanted;
    const int32_t *tokens;        // (count)
    const float *cosines, *sines; // (rotations, count, rotary / 2)
    const int32_t *slots;         // (count): where the keys of each token go
    const int32_t *const *paths;  // (count): the slots that each token sees, its own last
    const int32_t *lengths;       // (count): how many
    const int32_t *rows;          // (wanted): the tokens whose logits are wanted
    float *logits;                // (wanted, output.rows)
    int32_t traced;               // the tokens whose inner values are wanted: none or all
    float *states;                // (layers + 1, traced, width): what enters the first layer and leaves each
    float *queries;               // (layers, traced, heads * head): rotated
} Batch;

// Which experts compute which tokens: a row for each token and expert, those of an expert side by side.
typedef struct {
    float *plain;                 // (most, width): the normed rows as floats
    float *scores;                // (most, experts)
    float *shares;                // (most * used): of each row in the sum of its token
    int32_t *picked;              // (most, used): experts in rising order
    int32_t *tokens;              // (most * used): of each row
    int32_t *active, *starts;     // (experts + 1): the experts with rows, and their first rows; then the end
    int32_t count;                // of active experts
    Activations rows;             // (most * used, width)
} Routing;

typedef struct {
    Pool *pool;
    const Model *model;
    const Batch *batch;
    int32_t alone;                // the pool is nobody else's
    float *stream, *query, *key, *value, *scores;
    float *branch;                // (most, width): what is normalised before it is added to the stream
    float *low;                   // (most, adapted): A x of the adapters at work
    int64_t score_stride;
    int32_t attended_columns;     // with the feed-forward's behind them where one product reads both
    Activations normed, attended, fed;
    Routing routing;
} State;

typedef void Rotate(float *row, int heads, int head, int rotary, const float *cosines, const float *sines);

static Activations activations(int rows, int columns) {
    const size_t all = (size_t)rows * columns;
    return (Activations){malloc(all), malloc(all / 8), malloc(all / 8), malloc(all / 4)};
}

static int whole(Activations x) { return x.values && x.scales && x.scaled_sums && x.sums; }

static void drop(Activations x) {
    free(x.values), free(x.scales), free(x.scaled_sums), free(x.sums);
}

static float mean(const float *from, int width) {
    Floats sums = splat(0);
    for (int i = 0; i < width; i += LANES) sums += load(from + i);
    return total(sums) / (float)width;
}

// What a row without its mean is multiplied by to have the mean square 1.
static float to_unit(const float *from, float middle, float epsilon, int width) {
    Floats squares = splat(0);
    for (int i = 0; i < width; i += LANES) {
        const Floats value = load(from + i) - middle;
        squares = fused(value, value, squares);
    }
    return 1.0f / __builtin_sqrtf(total(squares) / (float)width + epsilon);
}

// Normalises a row and quantises it to activations; its floats go to `plain`, if that is wanted.
static void normalise(const float *from, Norm norm, float epsilon, int width, float *plain, Activations to) {
    const float middle = norm.shift ? mean(from, width) : 0, factor = to_unit(from, middle, epsilon, width);
    float row[BLOCK];
    for (int i = 0; i < width; i += BLOCK) {
        for (int j = 0; j < BLOCK; j += LANES) {
            const Floats value = (load(from + i + j) - middle) * factor * load(norm.weight + i + j);
            store(row + j, norm.shift ? value + load(norm.shift + i + j) : value);
        }
        if (plain) memcpy(plain + i, row, sizeof row);
        quantise(row, BLOCK, from_block(to, i / BLOCK));
    }
}

static void normalise_all(State *s, int thread, Norm norm, const int32_t *rows, int count) {
    const int width = s->model->width;
    float *plain = s->routing.plain;
    for (int t = thread; t < count; t += s->pool->count)
        normalise(s->stream + (int64_t)(rows ? rows[t] : t) * width, norm, s->model->epsilon, width,
                  plain ? plain + (int64_t)t * width : 0, from_row(s->normed, t, width));
}

// Normalises each head of a row by the root mean square.
static void normalise_heads(float *row, int heads, int head, const float *weight, float epsilon) {
    for (int h = 0; h < heads; h++, row += head) {
        const float factor = to_unit(row, 0, epsilon, head);
        for (int i = 0; i < head; i += LANES) store(row + i, load(row + i) * factor * load(weight + i));
    }
}

// Writes a matrix product to `to` (count, rows), or adds it times `adding`.
static void product(Matrix m, int strip, Activations x, int count, const float *bias, float adding, float *to) {
    for (int first = 0; first < count; first += TILE) {
        const int some = count - first < TILE ? count - first : TILE;
        float sums[TILE * STRIP];
        strip_times(m, strip, from_row(x, first, m.columns), some, sums);
        for (int t = 0; t < some; t++) {
            float *place = to + (int64_t)(first + t) * m.rows + strip * STRIP;
            for (int i = 0; i < STRIP; i++) {
                const float sum = sums[t * STRIP + i] + (bias ? bias[strip * STRIP + i] : 0);
                place[i] = adding ? place[i] + adding * sum : sum;
            }
        }
    }
}

// The tanh approximation of GELU, which is x / (1 + e^(-2 u)).
INLINE Floats gelu(Floats x) {
    const Floats u = fused(x * x * x, splat(0.044715f), x) * 0.7978845608028654f;
    return x / (exponential(-2.0f * u) + 1.0f);
}

static void place_keys(State *s, int thread, int layer, Rotate *rotate) {
    const Model *m = s->model;
    const Batch *b = s->batch;
    const Layer *l = m->layer + layer;
    const int row = m->kv_heads * m->head;
    for (int t = thread; t < b->count; t += s->pool->count) {
        float *query = s->query + (int64_t)t * m->heads * m->head, *key = s->key + (int64_t)t * row;
        if (l->query_norm.weight) normalise_heads(query, m->heads, m->head, l->query_norm.weight, m->epsilon);
        if (l->key_norm.weight) normalise_heads(key, m->kv_heads, m->head, l->key_norm.weight, m->epsilon);
        if (l->rotation >= 0) {
            const int64_t angles = ((int64_t)l->rotation * b->count + t) * (m->rotary / 2);
            const float *cosines = b->cosines + angles, *sines = b->sines + angles;
            rotate(query, m->heads, m->head, m->rotary, cosines, sines);
            rotate(key, m->kv_heads, m->head, m->rotary, cosines, sines);
        }
        const int64_t at = ((int64_t)layer * m->capacity + b->slots[t]) * row;
        for (int i = 0; i < row; i += LANES) {
            to_half(m->keys + at + i, load(key + i));
            to_half(m->values + at + i, load(s->value + (int64_t)t * row + i));
        }
    }
}

// The weighted sum of a sequence's values, for some columns of some heads.
INLINE void mix(const uint16_t *values, int row, const int32_t *path, int length, const float *scores, int stride,
                const float *share, const int heads, const int head, const int columns, float *to) {
    Floats sums[HEADS_AT_ONCE][64 / LANES] = {0};
    for (int k = 0; k < length; k++) {
        const uint16_t *value = values + (int64_t)path[k] * row;
        for (int h = 0; h < heads; h++) {
            const Floats weight = splat(scores[(int64_t)h * stride + k]);
            for (int i = 0; i < columns / LANES; i++)
                sums[h][i] = fused(weight, from_half(value + LANES * i), sums[h][i]);
        }
    }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < columns / LANES; i++) store(to + h * head + LANES * i, sums[h][i] * share[h]);
}

// cap * tanh(score / cap) for each score; what lies behind them, up to whole lanes, stays far below.
static void limit(float *scores, int length, float cap) {
    for (int k = 0; k < length; k += LANES) {
        const Floats score = load(scores + k), rest = splat(2.0f) / (exponential(score * (2.0f / cap)) + 1.0f);
        const Ints dead = score < -1e29f;
        store(scores + k, (Floats)(((Ints)score & dead) | ((Ints)((1.0f - rest) * cap) & ~dead)));
    }
}

// Attention of up to HEADS_AT_ONCE query heads of one token that share a KV head, over what the token sees of its
// sequence: to (heads, head), where head is a multiple of 16.
INLINE void attend(const State *s, int layer, int t, int first, const int heads, const int head, float *scores,
                   float *to) {
    const Model *m = s->model;
    const Batch *b = s->batch;
    const Layer *l = m->layer + layer;
    const int hidden = l->window && b->lengths[t] > l->window ? b->lengths[t] - l->window : 0;
    const int length = b->lengths[t] - hidden, row = m->kv_heads * head;
    const int stride = (length + LANES - 1) / LANES * LANES;
    const int32_t *path = b->paths[t] + hidden;
    const int64_t at = (int64_t)layer * m->capacity * row + first / (m->heads / m->kv_heads) * head;
    const float *query = s->query + ((int64_t)t * m->heads + first) * head;
    const float factor = m->attention_scale;
    for (int k = 0; k < length; k++) {
        const uint16_t *key = m->keys + at + (int64_t)path[k] * row;
        Floats sums[HEADS_AT_ONCE] = {0};
        for (int i = 0; i < head; i += LANES) {
            const Floats some = from_half(key + i);
            for (int h = 0; h < heads; h++) sums[h] = fused(load(query + h * head + i), some, sums[h]);
        }
        for (int h = 0; h < heads; h++) scores[(int64_t)h * stride + k] = total(sums[h]) * factor;
    }
    float share[HEADS_AT_ONCE];
    for (int h = 0; h < heads; h++) {
        float *mine = scores + (int64_t)h * stride;
        Floats best = splat(-1e30f), sum = splat(0);
        for (int k = length; k < stride; k++) mine[k] = -1e30f;
        if (m->attention_cap) limit(mine, length, m->attention_cap);
        if (l->sinks) best = splat(l->sinks[first + h]);
        for (int k = 0; k < stride; k += LANES) best = maximum(best, load(mine + k));
        const Floats peak = splat(greatest(best));
        for (int k = 0; k < stride; k += LANES) {
            const Floats weight = exponential(load(mine + k) - peak);
            store(mine + k, weight);
            sum += weight;
        }
        const float sink = l->sinks ? exponential(splat(l->sinks[first + h]) - peak)[0] : 0;
        share[h] = 1.0f / (total(sum) + sink);
    }
    const uint16_t *values = m->values + at;
    int part = 0;
    for (; part + 64 <= head; part += 64)
        mix(values + part, row, path, length, scores, stride, share, heads, head, 64, to + part);
    for (; part < head; part += 16)
        mix(values + part, row, path, length, scores, stride, share, heads, head, 16, to + part);
}

// Head sizes that compilers can unroll; any other takes the same path with run-time sizes.
static void attend_heads(const State *s, int layer, int t, int first, int heads, float *scores, float *to) {
    const int head = s->model->head;
#define CASE(n, d) if (heads == n && head == d) { attend(s, layer, t, first, n, d, scores, to); return; }
    CASE(1, 64) CASE(2, 64) CASE(3, 64) CASE(4, 64) CASE(1, 128) CASE(2, 128) CASE(3, 128) CASE(4, 128)
    CASE(1, 80) CASE(1, 256) CASE(2, 256) CASE(4, 256)
    attend(s, layer, t, first, heads, head, scores, to);
}

// Begins the products of `number` adapters side by side.
static void adapt(State *s, int thread, const Adapter *adapters, int number, Activations x, int columns, int count) {
    if (adapters) shrink(s->pool, thread, adapters, number, x, columns, count, s->low, s->model->adapted);
}

// Ends the product of one adapter for a strip of `to` (count, rows), which has that of the matrix.
static void adapted(const State *s, const Adapter *one, int rows, int strip, int count, float adding, float *to) {
    if (one && one->rank)
        grow(one, rows, strip, s->low, s->model->adapted, count, adding ? adding : 1, to + strip * STRIP, rows);
}

static void products(State *s, int thread, Matrix m, const Adapter *adapter, Activations x, int count,
                     const float *bias, float adding, float *to) {
    adapt(s, thread, adapter, 1, x, m.columns, count);
    for (int strip; (strip = take(s->pool, thread, m.rows / STRIP)) >= 0;) {
        product(m, strip, x, count, bias, adding, to);
        adapted(s, adapter, m.rows, strip, count, adding, to);
    }
}

static int query_key_value_strips(const Layer *l) { return (l->query.rows + l->key.rows + l->value.rows) / STRIP; }

// One strip of the queries, keys or values, numbered through.
static void query_key_value(State *s, const Layer *l, int strip, int count) {
    const Matrix matrices[3] = {l->query, l->key, l->value};
    const float *const biases[3] = {l->query_bias, l->key_bias, l->value_bias};
    float *const to[3] = {s->query, s->key, s->value};
    int which = 0;
    for (; strip >= matrices[which].rows / STRIP; which++) strip -= matrices[which].rows / STRIP;
    product(matrices[which], strip, s->normed, count, biases[which], 0, to[which]);
    if (l->adapters) adapted(s, &l->adapters->query + which, matrices[which].rows, strip, count, 0, to[which]);
}
