/* template_test.c -- templates give what Jinja gives, and those that run away are stopped. Cases:
 * template_cases.json, made by template_cases.py. */
#include "tests/check.h"

#include <jansson.h>
#include <string.h>

#include "engine/template.h"

static const int64_t now = 1750000000; /* in 2025 */

static json_t *cases(void)
{
    json_error_t error;
    json_t *list = json_load_file("tests/engine/template_cases.json", 0, &error);
    if (!list)
        fail_msg("template_cases.json:%d: %s", error.line, error.text);
    return list;
}

static enum wm_status render(const json_t *c, struct wm_buffer *out, struct wm_error *err)
{
    const json_t *text = json_object_get(c, "template");
    struct wm_template *t = NULL;
    enum wm_status st = wm_template_new("case", json_string_value(text), json_string_length(text), &t, err);
    if (st == WM_OK)
        st = wm_template_render(t, json_object_get(c, "variables"), now, out, err);
    wm_template_free(t);
    return st;
}

static void templates_give_what_jinja_gives(void **state)
{
    (void)state;
    json_t *list = cases(), *c;
    size_t i, n = 0, bad = 0;
    json_array_foreach(list, i, c)
    {
        const char *want = json_string_value(json_object_get(c, "text"));
        struct wm_error err = WM_ERROR_INIT;
        struct wm_buffer out = WM_BUFFER(1 << 20);
        if (!want)
            continue;
        enum wm_status st = render(c, &out, &err);
        if (st != WM_OK || strcmp(out.data ? out.data : "", want) != 0) {
            print_error("'%s'\n gives '%s'\n want  '%s' %s\n",
                        json_string_value(json_object_get(c, "template")), out.data ? out.data : "", want,
                        err.text);
            bad++;
        }
        wm_buffer_free(&out);
        n++;
    }
    json_decref(list);
    assert_int_equal(bad, 0);
    assert_true(n > 40);
}

static void what_jinja_refuses_is_one_sentence(void **state)
{
    (void)state;
    json_t *list = cases(), *c;
    size_t i;
    json_array_foreach(list, i, c)
    {
        struct wm_error err = WM_ERROR_INIT;
        struct wm_buffer out = WM_BUFFER(1 << 20);
        if (!json_object_get(c, "raises"))
            continue;
        if (render(c, &out, &err) == WM_OK || strncmp(err.text, "case: line ", 11) != 0)
            fail_msg("'%s' gives '%s' and '%s'", json_string_value(json_object_get(c, "template")), out.data,
                     err.text);
        wm_buffer_free(&out);
    }
    json_decref(list);
}

static void templates_that_run_away_are_stopped(void **state)
{
    (void)state;
    json_t *list = cases(), *c;
    size_t i;
    json_array_foreach(list, i, c)
    {
        struct wm_error err = WM_ERROR_INIT;
        struct wm_buffer out = WM_BUFFER(1 << 20);
        if (!json_object_get(c, "limits"))
            continue;
        if (render(c, &out, &err) == WM_OK)
            fail_msg("'%s' runs", json_string_value(json_object_get(c, "template")));
        wm_buffer_free(&out);
    }
    json_decref(list);
}

static void output_stops_at_its_ceiling(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_buffer out = WM_BUFFER(5);
    json_t *c = json_pack("{s:s,s:{}}", "template", "abc{{ 'def' }}", "variables");
    assert_int_equal(render(c, &out, &err), WM_ELIMIT);
    wm_buffer_free(&out);
    json_decref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_give_what_jinja_gives),
        cmocka_unit_test(what_jinja_refuses_is_one_sentence),
        cmocka_unit_test(templates_that_run_away_are_stopped),
        cmocka_unit_test(output_stops_at_its_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
