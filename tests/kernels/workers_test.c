/* workers_test.c -- every chunk is done once, whatever the timing; run under TSan too. */
#include "tests/check.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "kernels/cpu/workers.h"

enum { MOST_CHUNKS = 1000 };

struct tally {
    int times
        [MOST_CHUNKS]; /* each written by whoever claimed it, read by the caller: no atomics on purpose */
    int threads;
    atomic_bool bad_worker;
};

static void count(void *arg, int chunk, int worker)
{
    struct tally *t = arg;
    t->times[chunk]++;
    if (worker < 0 || worker >= t->threads)
        atomic_store(&t->bad_worker, true);
}

static void nap_us(long us)
{
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

static void every_chunk_is_done_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 8}, chunks[] = {0, 1, 2, 7, MOST_CHUNKS};
    for (size_t t = 0; t < COUNT(threads); t++) {
        struct wm_workers *w;
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_workers_new(threads[t], &w, &err), WM_OK);
        assert_int_equal(wm_workers_threads(w), threads[t]);
        for (int round = 0; round < 200; round++) {
            static struct tally tally;
            int n = chunks[round % (int)COUNT(chunks)];
            memset(&tally, 0, sizeof tally);
            tally.threads = threads[t];
            wm_workers_run(w, count, &tally, n);
            for (int i = 0; i < MOST_CHUNKS; i++)
                assert_int_equal(tally.times[i], i < n);
            assert_false(atomic_load(&tally.bad_worker));
            if (round % 50 == 49)
                nap_us(2000); /* the workers fall asleep, and must be woken */
        }
        wm_workers_free(w);
    }
}

static void wait_for_help(void *arg, int chunk, int worker)
{
    (void)chunk;
    atomic_bool *helped = arg;
    if (worker != 0)
        atomic_store(helped, true);
    for (int i = 0; i < 2000 && !atomic_load(helped); i++)
        nap_us(1000);
}

static void a_sleeping_worker_is_woken(void **state)
{
    (void)state;
    struct wm_workers *w;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_workers_new(2, &w, &err), WM_OK);
    for (int round = 0; round < 5; round++) {
        atomic_bool helped = false;
        nap_us(3000);
        wm_workers_run(w, wait_for_help, &helped, 2);
        assert_true(atomic_load(&helped));
    }
    wm_workers_free(w);
}

static void dawdle(void *arg, int chunk, int worker)
{
    (void)chunk;
    atomic_bool *dawdled = arg;
    if (worker != 0) {
        atomic_store(dawdled, true);
        nap_us(50000);
    } else {
        nap_us(1000);
    }
}

static void note_others(void *arg, int chunk, int worker)
{
    (void)chunk;
    if (worker != 0)
        atomic_store((atomic_bool *)arg, true);
}

static void after_a_long_wait_the_caller_works_alone_for_a_while(void **state)
{
    (void)state;
    struct wm_workers *w;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_workers_new(2, &w, &err), WM_OK);
    atomic_bool dawdled = false, others = false;
    for (int round = 0; round < 100 && !atomic_load(&dawdled); round++)
        wm_workers_run(w, dawdle, &dawdled, 2);
    assert_true(atomic_load(&dawdled));
    for (int round = 0; round < 10; round++) /* within 16 x 49 ms */
        wm_workers_run(w, note_others, &others, 100);
    assert_false(atomic_load(&others));
    wm_workers_free(w);
}

static void too_many_threads_are_cut(void **state)
{
    (void)state;
    struct wm_workers *w;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_workers_new(WM_WORKERS_MAX + 5, &w, &err), WM_OK);
    assert_int_equal(wm_workers_threads(w), WM_WORKERS_MAX);
    static struct tally tally;
    memset(&tally, 0, sizeof tally);
    tally.threads = WM_WORKERS_MAX;
    wm_workers_run(w, count, &tally, MOST_CHUNKS);
    for (int i = 0; i < MOST_CHUNKS; i++)
        assert_int_equal(tally.times[i], 1);
    wm_workers_free(w);
    wm_workers_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_is_done_once),
        cmocka_unit_test(a_sleeping_worker_is_woken),
        cmocka_unit_test(after_a_long_wait_the_caller_works_alone_for_a_while),
        cmocka_unit_test(too_many_threads_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
