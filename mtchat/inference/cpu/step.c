// One pass of a model over a few tokens.
#include "codegen.h"
#include "gated.h"
#include <string.h>

static void (*const LAYER[])(State *s, int thread, int layer) = {gated_layer, codegen_layer};

// Copies the rows of `from` (traced, width).
static void trace(const State *s, int thread, const float *from, int width, float *to) {
    for (int64_t t = thread; t < s->batch->traced; t += s->pool->count)
        memcpy(to + t * width, from + t * width, sizeof(float) * width);
}

static void trace_layer(const State *s, int thread, int layer) {
    const Model *m = s->model;
    const int64_t rows = s->batch->traced, query = m->heads * m->head;
    trace(s, thread, s->query, (int)query, s->batch->queries + layer * rows * query);
    trace(s, thread, s->stream, m->width, s->batch->states + (layer + 1) * rows * m->width);
}

static void pass(Pool *pool, int thread, void *argument) {
    State *s = argument;
    const Model *m = s->model;
    const Batch *b = s->batch;
    for (int t = thread; t < b->count; t += pool->count) {
        float *row = s->stream + (int64_t)t * m->width;
        read_row(m->embedding, b->tokens[t], row);
        for (int i = 0; m->embedding_scale != 1 && i < m->width; i++) row[i] *= m->embedding_scale;
    }
    meet(pool);
    trace(s, thread, s->stream, m->width, b->states);
    for (int layer = 0; layer < m->layers; layer++) {
        LAYER[m->architecture](s, thread, layer);
        trace_layer(s, thread, layer);
    }
    if (!b->wanted) return;
    normalise_all(s, thread, m->norm, b->rows, b->wanted);
    meet(pool);
    products(s, thread, m->output, m->output_adapter, s->normed, b->wanted, m->output_bias, 0, b->logits);
}

static void close_routing(Routing *r) {
    free(r->plain), free(r->scores), free(r->shares), free(r->picked), free(r->tokens), free(r->active), free(r->starts);
    drop(r->rows);
}

// Whether there is the memory for routing up to `most` tokens.
static int open_routing(Routing *r, const Model *m, int most) {
    const size_t rows = (size_t)most * m->used_experts, tokens = most, experts = m->experts;
    r->plain = malloc(sizeof(float) * tokens * m->width);
    r->scores = malloc(sizeof(float) * tokens * experts);
    r->shares = malloc(sizeof(float) * rows);
    r->picked = malloc(sizeof(int32_t) * rows);
    r->tokens = malloc(sizeof(int32_t) * rows);
    r->active = malloc(sizeof(int32_t) * experts);
    r->starts = malloc(sizeof(int32_t) * (experts + 1));
    r->rows = activations((int)rows, m->width);
    return r->plain && r->scores && r->shares && r->picked && r->tokens && r->active && r->starts && whole(r->rows);
}

void mtchat_close(State *s) {
    if (!s) return;
    if (s->pool && s->alone) close_pool(s->pool);
    free(s->stream), free(s->query), free(s->key), free(s->value), free(s->scores), free(s->branch), free(s->low);
    drop(s->normed), drop(s->attended), drop(s->fed);
    close_routing(&s->routing);
    free(s);
}

// The caller owns `model` and all it points to, until mtchat_close. `owner` is a state that computes at other
// times, whose threads this one shares; it is closed later.
State *mtchat_open(const Model *model, const State *owner, int32_t threads, int32_t most) {
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
    s->attended_columns = model->architecture == CODEGEN ? query + model->feed : query;
    s->attended = activations(most, s->attended_columns);
    s->fed = activations(most * (model->experts ? model->used_experts : 1), model->feed);
    s->branch = malloc(sizeof(float) * most * model->width);
    s->low = malloc(sizeof(float) * most * (model->adapted + 1));
    const int routes = !model->experts || open_routing(&s->routing, model, most);
    s->alone = !owner;
    s->pool = owner ? owner->pool : open_pool(threads);
    const int buffers = s->stream && s->query && s->key && s->value && s->scores && s->branch && s->low && routes;
    if (buffers && whole(s->normed) && whole(s->attended) && whole(s->fed) && s->pool) return s;
    mtchat_close(s);
    return 0;
}

void mtchat_step(State *s, const Batch *batch) {
    s->batch = batch;
    together(s->pool, pass, s);
}

// The bytes of what the caller hands over, and the number of kinds: another sum means that the two were not built
// from one source.
int32_t mtchat_sizes(void) {
    return (int32_t)(sizeof(Model) + sizeof(Layer) + sizeof(Batch) + sizeof(Adapters) + sizeof FACTS / sizeof *FACTS);
}

// The parts by themselves, for tests and benchmarks.
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
    products(&p->state, thread, p->matrix, 0, p->x, p->count, 0, 0, p->to);
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
