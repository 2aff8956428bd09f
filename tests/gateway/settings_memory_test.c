/* settings_memory_test.c -- memory runs out at each allocation in turn: the loader says so, and leaves nothing behind.
 * The linker's --wrap leads the loader's allocations through here; what leaks is the sanitizer's to find.
 */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/settings_parts.h"

static long countdown; /* 0: the next allocation fails; below: none does */

static bool fails(void)
{
    return countdown-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t n)
{
    return fails() ? NULL : __real_strndup(text, n);
}

static const char whole[] = "model: {path: CMakeLists.txt}\n"
                            "listen: 0.0.0.0:80\n"
                            "bots:\n"
                            "  - {name: a, system: You help., knowledge: [LICENSE]}\n"
                            "channels:\n"
                            "  - name: w\n"
                            "    platform: whatsapp\n"
                            "    app_secret: [0123456789abcdef, fedcba9876543210]\n"
                            "    verify_token: 0123456789abcdef\n"
                            "    access_token: 0123456789abcdef\n"
                            "    account: '1'\n"
                            "    graph_url: https://graph.example/v1/\n"
                            "    origins: [https://shop.example]\n";
static const char broken[] = "model: {path: none}\nlisen: x\nkv: {device: x}\nbots: [{name: a}, {name: a}]\n";

static void each_allocation_that_fails_ends_in_out_of_memory_and_no_settings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum wm_status want;
    } cases[] = {{whole, WM_OK}, {broken, WM_EINVAL}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool reached = true; /* the failing allocation */
        long n = 0;
        for (; reached && n < 10000; n++) {
            struct wm_settings *s = NULL;
            struct wm_findings f = {0};
            countdown = n;
            enum wm_status st =
                wm_settings_parse("f", ".", 0600, cases[i].text, strlen(cases[i].text), NULL, &s, &f);
            reached = countdown < 0;
            countdown = -1;
            if ((st == WM_OK) != (s != NULL) || st == (reached ? WM_OK : WM_ENOMEM) ||
                (!reached && st != cases[i].want))
                fail_msg("case %zu, allocation %ld: %s", i, n, wm_status_name(st));
            wm_settings_free(s);
            wm_findings_free(&f);
        }
        assert_true(n > 20 && !reached);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_that_fails_ends_in_out_of_memory_and_no_settings),
    };
    countdown = -1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
