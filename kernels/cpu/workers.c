/* workers.c -- a few threads that share the work of one operation.
 *
 * WHY     The daemon computes on the same cores that serve webhooks, TLS and the disk. A pool that gives each
 *         thread a fixed share and waits for all of them runs at the pace of the thread that lost its core:
 *         ten times slower than no pool at all. Here a thread that does not come is not missed.
 *
 * HOW     One 64-bit ticket holds the whole state of the job: its number, how many chunks it has and which is
 *         the next. A chunk is claimed by one compare-and-swap, so a claim can never reach into another job.
 *         The caller publishes a job, claims chunks like everyone else, and at the end waits only for chunks
 *         that somebody has claimed.
 *
 *           ticket:  [ number : 24 | chunks : 20 | next : 20 ]
 *
 *         A worker that loses its core in the middle of a chunk does hold the caller up. So a long wait is
 *         paid for only once in a while: after one of d nanoseconds the caller works alone for ALONE_FACTOR x d.
 *
 *         Operations follow each other within a microsecond or two, so an idle worker looks at the ticket for
 *         a short while before it goes to sleep; whoever publishes a job wakes the sleepers.
 *
 * ALWAYS  (1) work and arg change only while every chunk of the old job is done, so whoever has claimed a
 *             chunk reads those of its own job.
 *         (2) A worker first counts itself as a sleeper and then looks at the ticket; the publisher first
 *             writes the ticket and then looks for sleepers. One of the two sees the other: no job is slept through.
 *
 * LIMITS  Whatever else runs, at most one part in ALONE_FACTOR of the time is lost to waiting. Chunks should
 *         take microseconds, not milliseconds.
 */
#include "kernels/cpu/workers.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FIELD_BITS = 20,          /* of `next` and of `chunks` in the ticket */
    SPINS_BEFORE_SLEEP = 150, /* looks at the ticket: about 2 us */
    LONG_WAIT_NS =
        50 * 1000, /* and longer than the caller's own part of the job: somebody has taken a core */
    ALONE_FACTOR = 16
};
static_assert(WM_WORKERS_CHUNKS < 1 << FIELD_BITS, "a chunk number fits its field");

struct worker {
    struct wm_workers *pool;
    int index; /* >= 1 */
    pthread_t thread;
};

struct wm_workers {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) atomic_int done; /* chunks finished */
    _Alignas(64) atomic_int sleepers;
    atomic_bool quit;
    void (*work)(void *arg, int chunk, int worker);
    void *arg;
    int64_t alone_until_ns; /* monotonic; caller only */
    pthread_mutex_t lock;   /* for sleeping only */
    pthread_cond_t wake;
    int threads;
    struct worker workers[WM_WORKERS_MAX];
};

static uint64_t ticket_of(uint64_t number, int chunks)
{
    return number << (2 * FIELD_BITS) | (uint64_t)chunks << FIELD_BITS;
}

static int ticket_next(uint64_t ticket)
{
    return (int)(ticket & ((1u << FIELD_BITS) - 1));
}

static int ticket_chunks(uint64_t ticket)
{
    return (int)(ticket >> FIELD_BITS & ((1u << FIELD_BITS) - 1));
}

static bool has_work(uint64_t ticket)
{
    return ticket_next(ticket) < ticket_chunks(ticket);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_a_moment(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Claims and does chunks until none is left. */
static void take_part(struct wm_workers *w, int worker)
{
    uint64_t ticket = atomic_load_explicit(&w->ticket, memory_order_acquire);
    while (has_work(ticket)) {
        /* Acquire: the claim reads what the publisher wrote before the ticket, work and arg among it. */
        if (!atomic_compare_exchange_weak_explicit(&w->ticket, &ticket, ticket + 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        w->work(w->arg, ticket_next(ticket), worker);
        /* Release: the caller sees the results of every chunk that it has counted. */
        atomic_fetch_add_explicit(&w->done, 1, memory_order_release);
        ticket = atomic_load_explicit(&w->ticket, memory_order_acquire);
    }
}

static void sleep_until_work(struct wm_workers *w)
{
    pthread_mutex_lock(&w->lock);
    atomic_fetch_add(&w->sleepers, 1); /* sequentially consistent, with the load below: ALWAYS (2) */
    while (!has_work(atomic_load(&w->ticket)) && !atomic_load(&w->quit))
        pthread_cond_wait(&w->wake, &w->lock);
    atomic_fetch_sub(&w->sleepers, 1);
    pthread_mutex_unlock(&w->lock);
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct wm_workers *w = self->pool;
    while (!atomic_load_explicit(&w->quit, memory_order_relaxed)) {
        take_part(w, self->index);
        int spins = 0;
        while (spins < SPINS_BEFORE_SLEEP &&
               !has_work(atomic_load_explicit(&w->ticket, memory_order_relaxed))) {
            pause_a_moment();
            spins++;
        }
        if (spins == SPINS_BEFORE_SLEEP)
            sleep_until_work(w);
    }
    return NULL;
}

static void wake_sleepers(struct wm_workers *w)
{
    if (atomic_load(&w->sleepers) == 0)
        return;
    pthread_mutex_lock(&w->lock);
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

/* The caller has found no more chunks since `begun`: waits for those that others have claimed. */
static void wait_for_the_rest(struct wm_workers *w, int chunks, int64_t begun)
{
    for (int spins = 0; spins < SPINS_BEFORE_SLEEP; spins++) {
        if (atomic_load_explicit(&w->done, memory_order_acquire) == chunks)
            return;
        pause_a_moment();
    }
    int64_t start = now_ns();
    while (atomic_load_explicit(&w->done, memory_order_acquire) < chunks)
        sched_yield(); /* whoever holds the chunk may be waiting for this core */
    int64_t end = now_ns();
    if (end - start > LONG_WAIT_NS && end - start > start - begun)
        w->alone_until_ns = end + ALONE_FACTOR * (end - start);
}

void wm_workers_run(struct wm_workers *w, void (*work)(void *arg, int chunk, int worker), void *arg,
                    int chunks)
{
    assert(chunks >= 0 && chunks <= WM_WORKERS_CHUNKS);
    bool alone = chunks <= 1 || w->threads == 1;
    int64_t begun = alone ? 0 : now_ns();
    if (alone || begun < w->alone_until_ns) {
        for (int i = 0; i < chunks; i++)
            work(arg, i, 0);
        return;
    }

    w->work = work;
    w->arg = arg;
    atomic_store_explicit(&w->done, 0, memory_order_relaxed);
    uint64_t number = (atomic_load_explicit(&w->ticket, memory_order_relaxed) >> (2 * FIELD_BITS)) + 1;
    atomic_store(&w->ticket, ticket_of(number, chunks));
    wake_sleepers(w);
    take_part(w, 0);
    wait_for_the_rest(w, chunks, begun);
}

int wm_workers_threads(const struct wm_workers *w)
{
    return w->threads;
}

void wm_workers_free(struct wm_workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->quit, true);
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (int i = 1; i < w->threads; i++)
        pthread_join(w->workers[i].thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

enum wm_status wm_workers_new(int threads, struct wm_workers **out, struct wm_error *err)
{
    struct wm_workers *w = aligned_alloc(_Alignof(struct wm_workers), sizeof *w);
    if (!w)
        return wm_fail(err, WM_ENOMEM, "no memory for %d worker threads", threads);
    memset(w, 0, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    if (threads > WM_WORKERS_MAX)
        threads = WM_WORKERS_MAX;
    for (w->threads = 1; w->threads < threads; w->threads++) {
        struct worker *worker = &w->workers[w->threads];
        worker->pool = w;
        worker->index = w->threads;
        int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (failed) {
            enum wm_status st = wm_fail(err, WM_EIO, "start worker thread %d: %s; ask for fewer threads",
                                        w->threads, strerror(failed));
            wm_workers_free(w);
            return st;
        }
    }
    *out = w;
    return WM_OK;
}
