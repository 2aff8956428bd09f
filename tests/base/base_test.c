/* base_test.c -- what every folder stands on: errors, buffers, UTF-8, mailboxes. */
#include "tests/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/buffer.h"
#include "kernels/base/mailbox.h"
#include "kernels/base/utf8.h"

static void the_first_cause_wins(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_fail(&err, WM_EIO, "open %s", "a"), WM_EIO);
    assert_int_equal(wm_fail(&err, WM_EINVAL, "later"), WM_EINVAL);
    assert_int_equal(err.code, WM_EIO);
    assert_string_equal(err.text, "open a");
}

static void a_buffer_refuses_what_passes_its_ceiling_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct wm_buffer b = WM_BUFFER(10);
    assert_int_equal(wm_buffer_puts(&b, "12345678"), WM_OK);
    assert_int_equal(wm_buffer_puts(&b, "901"), WM_ELIMIT);
    assert_true(b.failed);
    assert_string_equal(b.data, "12345678");
    wm_buffer_free(&b);
    assert_int_equal(wm_buffer_printf(&b, "%010d", 7), WM_OK);
    assert_int_equal(b.len, 10);
    wm_buffer_consume(&b, 9);
    assert_string_equal(b.data, "7");
    wm_buffer_free(&b);
}

static void utf8_counts_each_ill_formed_part_once(void **state)
{
    (void)state;
    /* bytes, what they become: Unicode 15, section 3.9, tables 3-8 to 3-11 */
    static const struct {
        const char *bytes, *want;
    } cases[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "????????A"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "????????A"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "?????A??B"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "????A"},
        {"", ""},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_buffer got = WM_BUFFER(100), want = WM_BUFFER(100);
        for (const char *c = cases[i].want; *c; c++)
            wm_buffer_add(&want, *c == '?' ? "\xEF\xBF\xBD" : c, *c == '?' ? 3 : 1);
        wm_utf8_sanitize(&got, cases[i].bytes, strlen(cases[i].bytes));
        wm_buffer_puts(&want, "");
        assert_string_equal(got.data, want.data);
        assert_true(wm_utf8_valid(got.data, got.len));
        wm_buffer_free(&got);
        wm_buffer_free(&want);
    }
}

static void utf8_round_trips_every_scalar_value(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        char bytes[4];
        uint32_t back;
        bool ok;
        size_t n = wm_utf8_encode(c, bytes);
        assert_int_equal(wm_utf8_decode(bytes, n, &back, &ok), n);
        assert_true(ok && back == c);
        for (size_t cut = 1; cut < n; cut++)
            assert_int_equal(wm_utf8_incomplete_tail(bytes, cut), cut);
        assert_int_equal(wm_utf8_incomplete_tail(bytes, n), 0);
    }
}

struct note {
    struct wm_letter letter;
    int from, number;
};

enum { POSTERS = 4, NOTES = 2000 };

struct poster {
    struct wm_mailbox *box;
    int from;
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < NOTES; i++) {
        struct note *n = malloc(sizeof *n);
        n->from = p->from;
        n->number = i;
        while (wm_mailbox_post(p->box, &n->letter) == WM_EAGAIN) {
        }
    }
    return NULL;
}

static void a_mailbox_keeps_each_posters_order_and_loses_nothing(void **state)
{
    (void)state;
    struct wm_mailbox *box;
    assert_int_equal(wm_mailbox_new(64, NULL, NULL, &box, NULL), WM_OK);
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    int next[POSTERS] = {0}, total = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){box, i};
        pthread_create(&threads[i], NULL, post_all, &posters[i]);
    }
    while (total < POSTERS * NOTES) {
        for (struct wm_letter *l = wm_mailbox_wait(box, -1), *after; l; l = after) {
            after = l->next;
            struct note *n = (struct note *)l;
            assert_int_equal(n->number, next[n->from]++);
            total++;
            free(n);
        }
    }
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    wm_mailbox_free(box);
}

static void a_full_mailbox_says_so_and_a_closed_one_lets_nobody_wait(void **state)
{
    (void)state;
    struct wm_mailbox *box;
    struct wm_letter a, b, c;
    assert_int_equal(wm_mailbox_new(1, NULL, NULL, &box, NULL), WM_OK);
    assert_int_equal(wm_mailbox_post(box, &a), WM_OK);
    assert_int_equal(wm_mailbox_post(box, &b), WM_EAGAIN);
    assert_int_equal(wm_mailbox_post_reply(box, &b), WM_OK);
    wm_mailbox_close(box);
    assert_int_equal(wm_mailbox_post(box, &c), WM_ECANCELED);
    struct wm_letter *l = wm_mailbox_wait(box, -1);
    assert_ptr_equal(l, &a);
    assert_ptr_equal(l->next, &b);
    assert_null(wm_mailbox_wait(box, -1));
    wm_mailbox_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_cause_wins),
        cmocka_unit_test(a_buffer_refuses_what_passes_its_ceiling_and_keeps_what_it_has),
        cmocka_unit_test(utf8_counts_each_ill_formed_part_once),
        cmocka_unit_test(utf8_round_trips_every_scalar_value),
        cmocka_unit_test(a_mailbox_keeps_each_posters_order_and_loses_nothing),
        cmocka_unit_test(a_full_mailbox_says_so_and_a_closed_one_lets_nobody_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
