/* workers.h -- a few threads that share the work of one operation. Design: workers.c. */
#ifndef WM_KERNELS_CPU_WORKERS_H
#define WM_KERNELS_CPU_WORKERS_H

#include "kernels/base/error.h"

struct wm_workers;

enum {
    WM_WORKERS_MAX = 64,            /* threads, the caller's included */
    WM_WORKERS_CHUNKS = 1000 * 1000 /* of one job */
};

/* `threads` counts the caller: threads - 1 are started. More than WM_WORKERS_MAX are cut to it. */
enum wm_status wm_workers_new(int threads, struct wm_workers **out, struct wm_error *err);

/* Calls work(arg, chunk, worker) once for each chunk in [0, chunks), on this thread and on every worker that comes in
 * time, and returns when all are done. worker is in [0, threads); the caller's is 0. Chunks are claimed in order but
 * end in any: each writes its own part of the result. Only one thread may call this at a time; `work` may not. */
void wm_workers_run(struct wm_workers *w, void (*work)(void *arg, int chunk, int worker), void *arg,
                    int chunks);

int wm_workers_threads(const struct wm_workers *w);

/* Joins the threads. NULL is fine. */
void wm_workers_free(struct wm_workers *w);

#endif
