/* claims.c -- cmocka's table of tests, made from claims and faces. */
#include "tests/kernels/claims.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TESTS = 256, MOST_KINDS = 8, NAME_BYTES = 128 };

struct test {
    const struct claim *claim;
    struct face_kind kind;
    char name[NAME_BYTES];
};

struct face open_kind(const struct face_kind *kind, int threads)
{
    struct face f = {kind->ops, NULL, kind->path ? kind->path : kind->ops->name};
    struct wm_error err = WM_ERROR_INIT;
    if (kind->path)
        return open_cpu(kind->path, threads);
    if (kind->ops->open(&(struct wm_backend_options){threads}, &f.be, &err) != WM_OK)
        fail_msg("%s", err.text);
    return f;
}

static size_t list_kinds(struct face_kind *kinds)
{
    size_t n = 0;
    for (int i = 0; wm_faces[i]; i++) {
        bool has_paths = strcmp(wm_faces[i]->name, "cpu") == 0;
        for (size_t p = 0; p < (has_paths ? CPU_PATHS : 1); p++) {
            assert_true(n < MOST_KINDS);
            kinds[n++] = (struct face_kind){wm_faces[i], has_paths ? cpu_paths[p] : NULL};
        }
    }
    return n;
}

static bool runs_here(const struct face_kind *kind)
{
    if (kind->path) {
        struct face f = open_cpu(kind->path, 1);
        close_face(&f);
        return f.ops;
    }
    struct wm_error err = WM_ERROR_INIT;
    struct wm_backend *be;
    enum wm_status st = kind->ops->open(&(struct wm_backend_options){1}, &be, &err);
    if (st == WM_OK)
        kind->ops->close(be);
    return st != WM_EUNSUPPORTED;
}

static void check_one(void **state)
{
    const struct test *test = *state;
    if (!runs_here(&test->kind))
        SKIP(test->name);
    test->claim->check(&test->kind);
}

int check_claims(const struct claim *claims, size_t n)
{
    static struct test tests[MOST_TESTS];
    static struct CMUnitTest table[MOST_TESTS];
    struct face_kind kinds[MOST_KINDS];
    size_t n_kinds = list_kinds(kinds), all = 0;
    for (size_t c = 0; c < n; c++)
        for (size_t k = 0; k < n_kinds; k++, all++) {
            if (all == MOST_TESTS) {
                fprintf(stderr, "check_claims: more than %d tests: raise MOST_TESTS\n", MOST_TESTS);
                return 1;
            }
            struct test *test = &tests[all];
            *test = (struct test){&claims[c], kinds[k], ""};
            snprintf(test->name, sizeof test->name, "%s_%s", claims[c].name,
                     kinds[k].path ? kinds[k].path : kinds[k].ops->name);
            table[all] =
                (struct CMUnitTest){.name = test->name, .test_func = check_one, .initial_state = test};
        }
    return _cmocka_run_group_tests("claims", table, all, NULL, NULL);
}
