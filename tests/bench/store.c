/* store.c -- how many bodies a second become durable, and how long a commit takes, without HTTP before it.
 *
 *   bench_store FOLDER [seconds] [clients] [body bytes]
 *
 * `clients` closed loops, as wrk has them: each hands in its next body when the last one is on disk.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"
#include "kernels/base/mailbox.h"
#include "sessions/folder.h"
#include "sessions/store.h"

struct client {
    struct wm_letter letter;
    int64_t sent_us;
};

static struct wm_mailbox *ready;
static uint64_t failed;

static void done(void *arg, enum wm_status st)
{
    struct client *c = arg;
    failed += st != WM_OK;
    wm_mailbox_post_reply(ready, &c->letter);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_store FOLDER [seconds] [clients] [body bytes]\n");
        return 2;
    }
    int seconds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5,
        clients = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 64;
    size_t bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 1024;
    enum { MAX = 4 << 20 };
    int64_t *took = calloc(MAX, sizeof *took);
    struct client *all = calloc((size_t)clients, sizeof *all);
    struct wm_error err = WM_ERROR_INIT;
    struct wm_folder folder;
    struct wm_feed feed;
    struct wm_counters counters = {0};
    struct wm_store *store = NULL;
    struct wm_mailbox *answers = NULL;
    if (!took || !all || wm_folder_take(argv[1], &folder, &err) != WM_OK ||
        wm_mailbox_new(SIZE_MAX, NULL, NULL, &ready, &err) != WM_OK ||
        wm_mailbox_new(SIZE_MAX, NULL, NULL, &answers, &err) != WM_OK)
        goto fail;
    wm_feed_init(&feed, answers, NULL);
    struct wm_store_options options = {.path = folder.store,
                                       .feed = &feed,
                                       .answers = answers,
                                       .counters = &counters,
                                       .clock = &wm_real_clock,
                                       .ingest_bytes = 64 << 20};
    if (wm_store_open(&options, &store, &err) != WM_OK || wm_store_start(store, &err) != WM_OK)
        goto fail;
    for (int i = 0; i < clients; i++)
        wm_mailbox_post_reply(ready, &all[i].letter);
    int64_t begin = wm_now_us(), end = begin + seconds * 1000000LL;
    size_t n = 0;
    for (int open = 0;;) {
        bool over = wm_now_us() > end;
        if (over && open == 0 && n > 0)
            break;
        for (struct wm_letter *l = wm_mailbox_wait(ready, 100), *next; l; l = next) {
            struct client *c = (struct client *)l;
            next = l->next;
            int64_t now = wm_now_us();
            if (c->sent_us) {
                open--;
                if (n < MAX)
                    took[n++] = now - c->sent_us;
            }
            if (over)
                continue;
            char *body = malloc(bytes);
            memset(body, 'x', bytes);
            c->sent_us = now;
            struct wm_body *b = wm_body_new("bench", body, bytes);
            b->done = done;
            b->arg = c;
            open++;
            if (wm_store_ingest(store, b) != WM_OK)
                goto fail;
        }
    }
    double took_s = (double)(wm_now_us() - begin) / 1e6;
    qsort(took, n, sizeof *took, by_size);
    printf("bodies/s %.0f  p50 %.2f ms  p99 %.2f ms  p99.9 %.2f ms  max %.1f ms  commits %llu  bodies/commit "
           "%.1f  "
           "commit mean %.2f ms  failed %llu\n",
           (double)n / took_s, (double)took[n / 2] / 1e3, (double)took[n - n / 100 - 1] / 1e3,
           (double)took[n - n / 1000 - 1] / 1e3, (double)took[n - 1] / 1e3,
           (unsigned long long)counters.commits, (double)n / (double)counters.commits,
           (double)counters.commit_us_sum / 1e3 / (double)counters.commits, (unsigned long long)failed);
    wm_store_close(store);
    return 0;

fail:
    fprintf(stderr, "bench_store: %s\n", err.text);
    return 1;
}
