// One pass of a Qwen2 model over a few tokens, each of which sees the keys of its own path.
#include "matrix.h"
#include "pool.h"

enum { HEADS_AT_ONCE = 4, WIDEST_HEAD = 256 };

typedef struct {
    Matrix query, key, value, output, gate_up, down;
    const float *attention_norm, *feed_norm, *query_bias, *key_bias, *value_bias;  // no bias: null
} Layer;

typedef struct {
    int32_t layers, width, heads, kv_heads, head, feed, vocabulary, capacity;
    float epsilon;
    Matrix embedding, output;
    const float *norm;
    const Layer *layer;
    uint16_t *keys, *values;  // (layers, capacity, kv_heads * head) halves: a slot has the keys of one token
} Model;

typedef struct {
    int32_t count, wanted;
    const int32_t *tokens;        // (count)
    const float *cosines, *sines; // (count, head / 2)
    const int32_t *slots;         // (count): where the keys of each token go
    const int32_t *const *paths;  // (count): the slots that each token sees, its own last
    const int32_t *lengths;       // (count): how many
    const int32_t *rows;          // (wanted): the tokens whose logits are wanted
    float *logits;                // (wanted, output.rows)
} Batch;

typedef struct {
    Pool *pool;
    const Model *model;
    const Batch *batch;
    int32_t alone;                // the pool is nobody else's
    float *stream, *query, *key, *value, *scores;
    int64_t score_stride;
    Activations normed, attended, fed;
} State;

static Activations activations(int rows, int columns) {
    const size_t all = (size_t)rows * columns;
    return (Activations){malloc(all), malloc(all / 8), malloc(all / 8), malloc(all / 4)};
}

static int whole(Activations x) { return x.values && x.scales && x.scaled_sums && x.sums; }

static void drop(Activations x) {
    free(x.values), free(x.scales), free(x.scaled_sums), free(x.sums);
}

// Root mean square normalisation of a row, as activations.
static void normalise(const float *from, const float *weight, float epsilon, int width, Activations to) {
    Floats squares = splat(0);
    for (int i = 0; i < width; i += LANES) squares = fused(load(from + i), load(from + i), squares);
    const float factor = 1.0f / __builtin_sqrtf(total(squares) / (float)width + epsilon);
    float row[BLOCK];
    for (int i = 0; i < width; i += BLOCK) {
        for (int j = 0; j < BLOCK; j += LANES) store(row + j, load(from + i + j) * factor * load(weight + i + j));
        quantise(row, BLOCK, from_block(to, i / BLOCK));
    }
}

static void normalise_all(State *s, int thread, const float *weight, const int32_t *rows, int count) {
    const int width = s->model->width;
    for (int t = thread; t < count; t += s->pool->count)
        normalise(s->stream + (int64_t)(rows ? rows[t] : t) * width, weight, s->model->epsilon, width,
                  from_row(s->normed, t, width));
}

// Writes a matrix product, or adds it to what is there: to (count, rows).
static void product(Matrix m, int strip, Activations x, int count, const float *bias, int adding, float *to) {
    for (int first = 0; first < count; first += TILE) {
        const int some = count - first < TILE ? count - first : TILE;
        float sums[TILE * STRIP];
        strip_times(m, strip, from_row(x, first, m.columns), some, sums);
        for (int t = 0; t < some; t++) {
            float *place = to + (int64_t)(first + t) * m.rows + strip * STRIP;
            for (int i = 0; i < STRIP; i++) {
                const float base = bias ? bias[strip * STRIP + i] : adding ? place[i] : 0;
                place[i] = sums[t * STRIP + i] + base;
            }
        }
    }
}

// Rotates the pairs (i, i + head / 2) of each head of a row.
static void rotate(float *row, int heads, int head, const float *cosines, const float *sines) {
    for (int h = 0; h < heads; h++, row += head) {
        for (int i = 0; i < head / 2; i += LANES) {
            const Floats a = load(row + i), b = load(row + head / 2 + i);
            const Floats cosine = load(cosines + i), sine = load(sines + i);
            store(row + i, a * cosine - b * sine);
            store(row + head / 2 + i, b * cosine + a * sine);
        }
    }
}

static void place_keys(State *s, int thread, int layer) {
    const Model *m = s->model;
    const Batch *b = s->batch;
    const int row = m->kv_heads * m->head;
    for (int t = thread; t < b->count; t += s->pool->count) {
        const float *cosines = b->cosines + (int64_t)t * m->head / 2, *sines = b->sines + (int64_t)t * m->head / 2;
        rotate(s->query + (int64_t)t * m->heads * m->head, m->heads, m->head, cosines, sines);
        rotate(s->key + (int64_t)t * row, m->kv_heads, m->head, cosines, sines);
        const int64_t at = ((int64_t)layer * m->capacity + b->slots[t]) * row;
        for (int i = 0; i < row; i += LANES) {
            to_half(m->keys + at + i, load(s->key + (int64_t)t * row + i));
            to_half(m->values + at + i, load(s->value + (int64_t)t * row + i));
        }
    }
}

// Up to HEADS_AT_ONCE query heads of one token that share a key head, over the whole path of the token.
INLINE void attend(const State *s, int layer, int t, int first, const int heads, const int head, float *scores) {
    const Model *m = s->model;
    const Batch *b = s->batch;
    const int length = b->lengths[t], row = m->kv_heads * head, stride = (length + LANES - 1) / LANES * LANES;
    const int32_t *path = b->paths[t];
    const int64_t at = (int64_t)layer * m->capacity * row + first / (m->heads / m->kv_heads) * head;
    const float *query = s->query + ((int64_t)t * m->heads + first) * head;
    const float factor = 1.0f / __builtin_sqrtf((float)head);
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
        for (int k = 0; k < stride; k += LANES) best = maximum(best, load(mine + k));
        const Floats peak = splat(greatest(best));
        for (int k = 0; k < stride; k += LANES) {
            const Floats weight = exponential(load(mine + k) - peak);
            store(mine + k, weight);
            sum += weight;
        }
        share[h] = 1.0f / total(sum);
    }
    Activations to = from_row(s->attended, t, m->heads * head);
    float mixed[HEADS_AT_ONCE][WIDEST_HEAD];
    for (int part = 0; part < head; part += 64) {
        Floats sums[HEADS_AT_ONCE][64 / LANES] = {0};
        for (int k = 0; k < length; k++) {
            const uint16_t *value = m->values + at + (int64_t)path[k] * row + part;
            for (int h = 0; h < heads; h++) {
                const Floats weight = splat(scores[(int64_t)h * stride + k]);
                for (int i = 0; i < 64 / LANES; i++)
                    sums[h][i] = fused(weight, from_half(value + LANES * i), sums[h][i]);
            }
        }
        for (int h = 0; h < heads; h++)
            for (int i = 0; i < 64 / LANES; i++) store(mixed[h] + part + LANES * i, sums[h][i] * share[h]);
    }
    for (int h = 0; h < heads; h++)
        quantise(mixed[h], head, from_block(to, (first + h) * head / BLOCK));
}

// The cases that compilers can unroll; any other head size goes the same way with what is left to run time.
static void attend_heads(const State *s, int layer, int t, int first, int heads, float *scores) {
    const int head = s->model->head;
#define CASE(n, d) if (heads == n && head == d) { attend(s, layer, t, first, n, d, scores); return; }
    CASE(1, 64) CASE(2, 64) CASE(3, 64) CASE(4, 64) CASE(1, 128) CASE(2, 128) CASE(3, 128) CASE(4, 128)
    attend(s, layer, t, first, heads, head, scores);
}

static void attend_all(State *s, int thread, int layer) {
    const Model *m = s->model;
    const int group = m->heads / m->kv_heads, parts = (group + HEADS_AT_ONCE - 1) / HEADS_AT_ONCE;
    const int size = (group + parts - 1) / parts, units = s->batch->count * m->kv_heads * parts;
    for (int unit; (unit = take(s->pool, thread, units)) >= 0;) {
        const int t = unit / (m->kv_heads * parts), kv = unit / parts % m->kv_heads, start = unit % parts * size;
        const int heads = group - start < size ? group - start : size;
        attend_heads(s, layer, t, kv * group + start, heads, s->scores + thread * s->score_stride);
    }
}

// silu(gate) * up for a block of columns, as activations: two strips of gates, then two of ups.
static void feed(State *s, const Layer *l, int block, int count) {
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

static void products(State *s, int thread, Matrix m, Activations x, int count, int adding, float *to) {
    for (int strip; (strip = take(s->pool, thread, m.rows / STRIP)) >= 0;)
        product(m, strip, x, count, 0, adding, to);
}

static void query_key_value(State *s, int thread, const Layer *l, int count) {
    const Matrix matrices[3] = {l->query, l->key, l->value};
    const float *const biases[3] = {l->query_bias, l->key_bias, l->value_bias};
    float *const to[3] = {s->query, s->key, s->value};
    const int ends[3] = {l->query.rows / STRIP, (l->query.rows + l->key.rows) / STRIP,
                         (l->query.rows + l->key.rows + l->value.rows) / STRIP};
    for (int strip; (strip = take(s->pool, thread, ends[2])) >= 0;) {
        const int which = strip < ends[0] ? 0 : strip < ends[1] ? 1 : 2;
        product(matrices[which], strip - (which ? ends[which - 1] : 0), s->normed, count, biases[which], 0,
                to[which]);
    }
}

static void pass(Pool *pool, int thread, void *argument) {
    State *s = argument;
    const Model *m = s->model;
    const Batch *b = s->batch;
    const int count = b->count;
    for (int t = thread; t < count; t += pool->count)
        read_row(m->embedding, b->tokens[t], s->stream + (int64_t)t * m->width);
    meet(pool);
    for (int layer = 0; layer < m->layers; layer++) {
        const Layer *l = m->layer + layer;
        normalise_all(s, thread, l->attention_norm, 0, count);
        meet(pool);
        query_key_value(s, thread, l, count);
        meet(pool);
        place_keys(s, thread, layer);
        meet(pool);
        attend_all(s, thread, layer);
        meet(pool);
        products(s, thread, l->output, s->attended, count, 1, s->stream);
        meet(pool);
        normalise_all(s, thread, l->feed_norm, 0, count);
        meet(pool);
        for (int block; (block = take(pool, thread, m->feed / BLOCK)) >= 0;) feed(s, l, block, count);
        meet(pool);
        products(s, thread, l->down, s->fed, count, 1, s->stream);
        meet(pool);
    }
    if (!b->wanted) return;
    normalise_all(s, thread, m->norm, b->rows, b->wanted);
    meet(pool);
    products(s, thread, m->output, s->normed, b->wanted, 0, b->logits);
}

void mtchat_close(State *s) {
    if (!s) return;
    if (s->pool && s->alone) close_pool(s->pool);
    free(s->stream), free(s->query), free(s->key), free(s->value), free(s->scores);
    drop(s->normed), drop(s->attended), drop(s->fed);
    free(s);
}

// `model` and all it points to stay with the caller, who keeps them until mtchat_close. A partner computes at
// other times with the same threads, and is closed later.
State *mtchat_open(const Model *model, const State *partner, int32_t threads, int32_t most) {
    State *s = calloc(1, sizeof *s);
    if (!s) return 0;
    const int query = model->heads * model->head, key = model->kv_heads * model->head;
    s->model = model;
    s->stream = malloc(sizeof(float) * most * model->width);
    s->query = malloc(sizeof(float) * most * query);
    s->key = malloc(sizeof(float) * most * key);
    s->value = malloc(sizeof(float) * most * key);
    s->score_stride = (int64_t)(model->capacity + 16) * HEADS_AT_ONCE;
    s->scores = malloc(sizeof(float) * s->score_stride * threads);
    s->normed = activations(most, model->width);
    s->attended = activations(most, query);
    s->fed = activations(most, model->feed);
    s->alone = !partner;
    s->pool = partner ? partner->pool : open_pool(threads);
    const int buffers = s->stream && s->query && s->key && s->value && s->scores;
    if (buffers && whole(s->normed) && whole(s->attended) && whole(s->fed) && s->pool) return s;
    mtchat_close(s);
    return 0;
}

void mtchat_step(State *s, const Batch *batch) {
    s->batch = batch;
    together(s->pool, pass, s);
}

// The parts by themselves, for tests and measurements.
void mtchat_read_row(const Matrix *m, int32_t row, float *to) { read_row(*m, row, to); }

typedef struct {
    State state;
    Matrix matrix;
    Activations x;
    int count;
    float *to;
} Product;

static void product_work(Pool *pool, int thread, void *argument) {
    (void)pool;
    Product *p = argument;
    products(&p->state, thread, p->matrix, p->x, p->count, 0, p->to);
}

// rows (count, columns) times the matrix: to (count, rows); 0, or -1 where memory is short.
int32_t mtchat_product(const State *s, const Matrix *m, const float *rows, int32_t count, float *to) {
    Product p = {*s, *m, activations(count, m->columns), count, to};
    const int ok = whole(p.x);
    for (int t = 0; ok && t < count; t++)
        quantise(rows + (int64_t)t * m->columns, m->columns, from_row(p.x, t, m->columns));
    if (ok) together(s->pool, product_work, &p);
    drop(p.x);
    return ok ? 0 : -1;
}

typedef struct {
    const uint8_t *from;
    int64_t size;
    atomic_uint sum;
} Reading;

// In two streams for each thread, and so far ahead: the fastest of those tried on an AVX-512 Xeon.
static void read_work(Pool *pool, int thread, void *argument) {
    enum { AT_ONCE = 8, STRIDE = AT_ONCE * sizeof(Bytes), STREAMS = 2, EARLY = 1024 };
    Reading *r = argument;
    const int64_t length = r->size / (STREAMS * pool->count) / STRIDE * STRIDE;
    const uint8_t *from = r->from + thread * STREAMS * length;
    Bytes found[AT_ONCE] = {0};
    for (int64_t at = 0; at < length; at += STRIDE) {
        for (int stream = 0; stream < STREAMS; stream++) {
            const uint8_t *here = from + stream * length + at;
            for (int i = 0; i < STRIDE; i += 64) __builtin_prefetch(here + EARLY + i);
            for (int i = 0; i < AT_ONCE; i++) found[i] ^= load_bytes(here + i * sizeof(Bytes));
        }
    }
    for (int i = 1; i < AT_ONCE; i++) found[0] ^= found[i];
    for (size_t i = 0; i < sizeof(Bytes); i++) r->sum += found[0][i];
}

// Reads memory as fast as all threads can, which is the limit of a step; the sum keeps compilers from leaving it out.
uint32_t mtchat_read_bytes(const State *s, const uint8_t *from, int64_t size) {
    Reading r = {from, size, 0};
    together(s->pool, read_work, &r);
    return r.sum;
}
