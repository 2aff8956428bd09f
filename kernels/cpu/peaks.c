/* peaks.c -- what this machine could do at most. The loops are in spin.h, one set for each path. */
#include "kernels/cpu/peaks.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "kernels/base/clock.h"
#include "kernels/cpu/face.h"
#include "kernels/pages.h"

enum {
    RUNS = 8,
    CHUNKS = 100, /* of a multiplying run, for each thread: one that is slow leaves its part to the others */
    RUN_US = 15 * 1000,          /* of a multiplying run, about */
    TRIAL_ROUNDS = 50 * 1000,    /* to find out how many rounds that is */
    READ_CHUNK = 1 << 18,        /* bytes */
    READ_BYTES = 256 * (1 << 20) /* several times the largest cache that many machines have */
};

struct probe {
    const struct wm_cpu_path *path;
    int64_t rounds;
    const uint8_t *memory;
    _Atomic int32_t sink; /* keeps the results alive */
};

static void multiply_codes(void *arg, int chunk, int worker)
{
    (void)chunk;
    (void)worker;
    struct probe *p = arg;
    atomic_fetch_xor(&p->sink, p->path->spin_dot4(p->rounds));
}

static void multiply_floats(void *arg, int chunk, int worker)
{
    (void)chunk;
    (void)worker;
    struct probe *p = arg;
    atomic_fetch_xor(&p->sink, (int32_t)(p->path->spin_fma(p->rounds) * 0x1p-20f));
}

static void read_chunk(void *arg, int chunk, int worker)
{
    (void)worker;
    struct probe *p = arg;
    atomic_fetch_xor(&p->sink, p->path->read(p->memory + (size_t)chunk * READ_CHUNK, READ_CHUNK));
}

static int64_t best_us(struct wm_workers *w, void (*work)(void *, int, int), struct probe *p, int chunks,
                       int runs)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < runs; i++) {
        int64_t start = wm_now_us();
        wm_workers_run(w, work, p, chunks);
        int64_t took = wm_now_us() - start;
        best = took < best ? took : best;
    }
    return best > 0 ? best : 1;
}

/* Operations per second of a multiplying loop with `per_round` operations. */
static double multiply(struct wm_workers *w, void (*work)(void *, int, int), struct probe *p,
                       double per_round)
{
    int chunks = CHUNKS * wm_workers_threads(w);
    p->rounds = TRIAL_ROUNDS;
    int64_t trial = best_us(w, work, p, 1, 2);
    p->rounds = (int64_t)TRIAL_ROUNDS * RUN_US / CHUNKS / trial + 1;
    return per_round * (double)p->rounds * chunks * 1e6 / (double)best_us(w, work, p, chunks, RUNS);
}

enum wm_status wm_cpu_peaks(int threads, struct wm_cpu_peaks *out, struct wm_error *err)
{
    struct probe probe = {0};
    struct wm_workers *w = NULL;
    void *memory = NULL;
    enum wm_status st = cpu_path(&probe.path, err);
    if (st == WM_OK)
        st = wm_workers_new(threads, &w, err);
    if (st == WM_OK)
        st = wm_pages_new(READ_BYTES, &memory, err);
    if (st != WM_OK)
        goto done;
    memset(memory, 1,
           READ_BYTES); /* pages that were never written all read as one page of zeros, from the cache */
    probe.memory = memory;
    *out = (struct wm_cpu_peaks){
        .int8_ops = multiply(w, multiply_codes, &probe, probe.path->rows * 128.0),
        .f32_flops = multiply(w, multiply_floats, &probe, probe.path->rows * 32.0),
        .read_bytes =
            READ_BYTES * 1e6 / (double)best_us(w, read_chunk, &probe, READ_BYTES / READ_CHUNK, RUNS),
        .path = probe.path->text,
    };

done:
    wm_pages_free(memory, READ_BYTES);
    wm_workers_free(w);
    return st;
}
