// A thread pool: all threads run the same function, meet at barriers, and sleep between two calls.
#pragma once
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct Pool Pool;
typedef struct {
    _Alignas(64) atomic_int taken;
} Span;
typedef void Work(Pool *, int thread, void *argument);

struct Pool {
    int count;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Alignas(64) atomic_uint turn;      // one more for each call
    _Alignas(64) atomic_int arrived;    // at the barrier
    _Alignas(64) atomic_uint round;     // of the barrier
    Span *spans;                        // one for each thread
    Work *work;
    void *argument;
    int ending;
};

enum { SPINS = 4000, IDLE_SPINS = 20000 };

static inline void pause_briefly(int spins) {
    if (spins > SPINS) {
        sched_yield();  // somebody else may need this core, such as the thread that we wait for
    } else {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

// A barrier; the last thread to arrive resets the items.
static void meet(Pool *pool) {
    const unsigned round = atomic_load_explicit(&pool->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == pool->count - 1) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        for (int i = 0; i < pool->count; i++) atomic_store_explicit(&pool->spans[i].taken, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->round, round + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&pool->round, memory_order_acquire) == round; spins++)
        pause_briefly(spins);
}

// The next of `items` for a thread, each once per phase; -1 when all are taken. A thread works through its own
// span, so that it reads memory sequentially, and then helps threads that are behind.
static inline int take(Pool *pool, int thread, int items) {
    for (int i = 0; i < pool->count; i++) {
        const int span = (thread + i) % pool->count;
        const int first = (int)((int64_t)items * span / pool->count);
        const int end = (int)((int64_t)items * (span + 1) / pool->count);
        const int item = first + atomic_fetch_add_explicit(&pool->spans[span].taken, 1, memory_order_relaxed);
        if (item < end) return item;
    }
    return -1;
}

typedef struct {
    Pool *pool;
    int thread;
} Seat;

static void *serve(void *given) {
    const Seat seat = *(Seat *)given;
    free(given);
    Pool *pool = seat.pool;
    unsigned seen = 0;
    for (;;) {
        for (int spins = 0; spins < IDLE_SPINS && atomic_load(&pool->turn) == seen; spins++)
            pause_briefly(0);
        pthread_mutex_lock(&pool->lock);
        while (atomic_load(&pool->turn) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
        seen = atomic_load(&pool->turn);
        pthread_mutex_unlock(&pool->lock);
        if (pool->ending) return 0;
        pool->work(pool, seat.thread, pool->argument);
        meet(pool);
    }
}

static void announce(Pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->turn, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

// Runs `work` with `argument` on all threads, the calling one too; returns when all are done.
static void together(Pool *pool, Work *work, void *argument) {
    pool->work = work;
    pool->argument = argument;
    announce(pool);
    work(pool, 0, argument);
    meet(pool);
}

static Pool *open_pool(int count) {
    Pool *pool = aligned_alloc(64, (sizeof(Pool) + 63) / 64 * 64);
    if (!pool) return 0;
    memset(pool, 0, sizeof *pool);
    pthread_mutex_init(&pool->lock, 0);
    pthread_cond_init(&pool->wake, 0);
    pool->threads = calloc((size_t)count, sizeof *pool->threads);
    pool->spans = aligned_alloc(64, (size_t)count * sizeof *pool->spans);
    if (!pool->threads || !pool->spans) {
        free(pool->threads), free(pool->spans), free(pool);
        return 0;
    }
    memset(pool->spans, 0, (size_t)count * sizeof *pool->spans);
    pool->count = 1;
    for (int thread = 1; thread < count; thread++) {
        Seat *seat = malloc(sizeof *seat);
        if (!seat) break;
        *seat = (Seat){pool, thread};
        if (pthread_create(&pool->threads[thread], 0, serve, seat)) {
            free(seat);
            break;
        }
        pool->count++;
    }
    return pool;
}

static void close_pool(Pool *pool) {
    pool->ending = 1;
    announce(pool);
    for (int thread = 1; thread < pool->count; thread++) pthread_join(pool->threads[thread], 0);
    free(pool->threads), free(pool->spans);
    free(pool);
}
