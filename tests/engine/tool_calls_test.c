/* tool_calls_test.c -- what models write when they call tools, what we write, and what is only text. */
#include "tests/check.h"

#include <string.h>

#include "engine/json_text.h"
#include "engine/tool_calls.h"

/* calls: "name{arguments};..." in order; NULL: text, no call. */
static const struct {
    const char *answer, *calls;
} answers[] = {
    /* Python's syntax */
    {"[get_weather(city=\"Paris\")]", "get_weather{\"city\": \"Paris\"};"},
    {"[a(), b(x=1)]", "a{};b{\"x\": 1};"},
    {" [ a ( x = 1 , y = 'two' , ) , ] \n", "a{\"x\": 1, \"y\": \"two\"};"},
    {"[brave_search.call(query=\"llamas\")]", "brave_search.call{\"query\": \"llamas\"};"},
    {"[a(b=True, c=False, d=None, e=-1.5, f=1e3, g=[1, (2,)], h={'k': [], \"l\": {}})]",
     "a{\"b\": true, \"c\": false, \"d\": null, \"e\": -1.5, \"f\": 1000.0, \"g\": [1, [2]], \"h\": {\"k\": "
     "[], \"l\": {}}};"},
    {"[a(s='it\\'s\\n\\x41\\u00e9\\q')]", "a{\"s\": \"it's\\nA\xc3\xa9\\\\q\"};"},
    {"[a(n=99999999999999999999)]", "a{\"n\": 1e+20};"},
    {"<|python_start|>[a(x=1)]<|python_end|>", "a{\"x\": 1};"},
    /* JSON */
    {"{\"name\": \"a\", \"parameters\": {\"x\": [1, 2.5]}}", "a{\"x\": [1, 2.5]};"},
    {"{\"name\": \"a\", \"arguments\": {}}\n{\"type\": \"function\", \"name\": \"b\", \"parameters\": {}}",
     "a{};b{};"},
    {"{\"name\": \"a\", \"parameters\": {}}; {\"name\": \"b\", \"parameters\": {}}", "a{};b{};"},
    {"[{\"name\": \"a\", \"parameters\": {}}, {\"name\": \"b\", \"parameters\": {}}]", "a{};b{};"},
    /* tags */
    {"<function=a>{\"x\": 1}</function>", "a{\"x\": 1};"},
    {"<function=a>{}</function>\n<function=b.c>{}</function>", "a{};b.c{};"},
    /* text */
    {"", NULL},
    {"   ", NULL},
    {"Hello", NULL},
    {"Sure: [a(x=1)]", NULL},
    {"[a(x=1)] is what I would call", NULL},
    {"[]", NULL},
    {"[1, 2]", NULL},
    {"[a(1)]", NULL}, /* which parameter? */
    {"[a(x=1, x=2)]", NULL},
    {"[a(x=b)]", NULL}, /* variables */
    {"[a(x=open('f'))]", NULL},
    {"[a(x=1]", NULL},
    {"[a(x=1)", NULL},
    {"[a(x='1)]", NULL},
    {"[a(x='\n')]", NULL},
    {"[a(x=1.2.3)]", NULL},
    {"[a(x=1e999)]", NULL},
    {"[a(x='\\xff')]", "a{\"x\": \"\xc3\xbf\"};"},
    {"[a(x='\\x00')]", NULL},
    {"[a(x='\xff')]", NULL}, /* not UTF-8 */
    {"[a(x={1: 2})]", NULL},
    {"{\"name\": \"a\"}", NULL},
    {"{\"name\": \"a\", \"parameters\": [1]}", NULL},
    {"{\"name\": \"no spaces\", \"parameters\": {}}", NULL},
    {"{\"name\": \"\", \"parameters\": {}}", NULL},
    {"{\"name\": \"a\", \"parameters\": {}} and so on", NULL},
    {"<function=a>{\"x\": 1}", NULL},
    {"<function=a>1</function>", NULL},
    {"<function=>{}</function>", NULL},
    {"<b>bold</b>", NULL},
};

static void an_answer_is_calls_or_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct wm_error err = WM_ERROR_INIT;
        struct wm_tool_calls calls;
        struct wm_buffer got = WM_BUFFER(1 << 16);
        assert_int_equal(wm_tool_calls_parse(answers[i].answer, strlen(answers[i].answer), &calls, &err),
                         WM_OK);
        for (size_t c = 0; c < calls.n; c++)
            assert_int_equal(wm_buffer_printf(&got, "%s%s;", calls.calls[c].name, calls.calls[c].arguments),
                             WM_OK);
        if (strcmp(got.data ? got.data : "", answers[i].calls ? answers[i].calls : "") != 0)
            fail_msg("'%s' gives '%s'", answers[i].answer, got.data ? got.data : "");
        wm_buffer_free(&got);
        wm_tool_calls_free(&calls);
    }
}

/* `before`, `n` times `unit`, `behind`. */
static struct wm_buffer repeated(const char *before, const char *unit, size_t n, const char *behind)
{
    struct wm_buffer b = WM_BUFFER(4u << 20);
    assert_int_equal(wm_buffer_puts(&b, before), WM_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(wm_buffer_puts(&b, unit), WM_OK);
    assert_int_equal(wm_buffer_puts(&b, behind), WM_OK);
    return b;
}

static const struct {
    const char *before, *unit, *behind;
    size_t most; /* units with which it still is calls; one more is text */
} limits[] = {
    {"[", "a(),", "]", WM_TOOL_CALLS_MAX},
    {"[", "a", "()]", WM_TOOL_NAME_MAX},
    {"{\"name\": \"", "a", "\", \"parameters\": {}}", WM_TOOL_NAME_MAX},
    {"", "{\"name\": \"a\", \"parameters\": {}}", "", WM_TOOL_CALLS_MAX},
    {"", "<function=a>{}</function>", "", WM_TOOL_CALLS_MAX},
};

static void past_a_limit_an_answer_is_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++)
        for (size_t more = 0; more <= 1; more++) {
            struct wm_error err = WM_ERROR_INIT;
            struct wm_tool_calls calls;
            struct wm_buffer text =
                repeated(limits[i].before, limits[i].unit, limits[i].most + more, limits[i].behind);
            assert_int_equal(wm_tool_calls_parse(text.data, text.len, &calls, &err), WM_OK);
            if ((calls.n == 0) != (more == 1))
                fail_msg("limit %zu with %zu more: %zu calls", i, more, calls.n);
            wm_tool_calls_free(&calls);
            wm_buffer_free(&text);
        }
}

static void nesting_without_end_is_text(void **state)
{
    (void)state;
    static const char *const units[] = {"[", "(", "{'a':", "{\"a\":"};
    for (size_t i = 0; i < COUNT(units); i++) {
        struct wm_error err = WM_ERROR_INIT;
        struct wm_tool_calls calls;
        struct wm_buffer text = repeated(i < 3 ? "[a(x=" : "", units[i], 100000, "");
        assert_int_equal(wm_tool_calls_parse(text.data, text.len, &calls, &err), WM_OK);
        assert_int_equal(calls.n, 0);
        wm_buffer_free(&text);
    }
}

static void calls_written_down_are_read_again(void **state)
{
    (void)state;
    static struct wm_tool_call calls[] = {{"get_weather", "{\"city\":\"K\xc3\xb6ln\",\"days\":2}"},
                                          {"stop", "{}"}};
    struct wm_error err = WM_ERROR_INIT;
    struct wm_buffer text = WM_BUFFER(4096);
    struct wm_tool_calls read;
    assert_int_equal(wm_tool_calls_text(calls, COUNT(calls), &text, &err), WM_OK);
    assert_string_equal(
        text.data, "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"K\xc3\xb6ln\", \"days\": 2}}"
                   "{\"name\": \"stop\", \"parameters\": {}}");
    assert_int_equal(wm_tool_calls_parse(text.data, text.len, &read, &err), WM_OK);
    assert_int_equal(read.n, 2);
    assert_string_equal(read.calls[1].name, "stop");
    wm_tool_calls_free(&read);
    text.len = 0;
    struct wm_tool_call bad = {"a", "[]"};
    assert_int_equal(wm_tool_calls_text(&bad, 1, &text, &err), WM_EINVAL);
    wm_buffer_free(&text);
}

static void tools_are_told_as_the_model_was_trained(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_buffer text = WM_BUFFER(4096);
    json_t *tools = json_loads(
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{},\"tags\":[1,2]}}]", 0, NULL);
    assert_int_equal(wm_tools_text(tools, &text, &err), WM_OK);
    const char *list = strstr(text.data, "variables.\n\n");
    assert_non_null(list);
    assert_string_equal(list + 12, "{\n"
                                   "    \"type\": \"function\",\n"
                                   "    \"function\": {\n"
                                   "        \"name\": \"f\",\n"
                                   "        \"parameters\": {},\n"
                                   "        \"tags\": [\n"
                                   "            1,\n"
                                   "            2\n"
                                   "        ]\n"
                                   "    }\n"
                                   "}\n\n");
    assert_int_equal(wm_tools_text(NULL, &text, &err), WM_EINVAL);
    json_decref(tools);
    wm_buffer_free(&text);
}

/* As Python's json.dumps prints them. */
static const struct {
    const char *json, *text;
} jsons[] = {
    {"[0.1,1.0,100.0,1e16,1.5e-7,0.0001,123456789012345.6,-0.0,1e22]",
     "[0.1, 1.0, 100.0, 1e+16, 1.5e-07, 0.0001, 123456789012345.6, -0.0, 1e+22]"},
    {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u001f\\u00e9\"", "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\xc3\xa9\""},
    {"{\"b\":null,\"a\":[true,false,{}],\"c\":[]}", "{\"b\": null, \"a\": [true, false, {}], \"c\": []}"},
    {"9223372036854775807", "9223372036854775807"},
};

static void json_is_written_as_python_writes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(jsons); i++) {
        struct wm_buffer text = WM_BUFFER(4096);
        json_t *value = json_loads(jsons[i].json, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        assert_int_equal(wm_json_text(value, 0, &text), WM_OK);
        assert_string_equal(text.data, jsons[i].text);
        json_decref(value);
        wm_buffer_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_calls_or_text),
        cmocka_unit_test(past_a_limit_an_answer_is_text),
        cmocka_unit_test(nesting_without_end_is_text),
        cmocka_unit_test(calls_written_down_are_read_again),
        cmocka_unit_test(tools_are_told_as_the_model_was_trained),
        cmocka_unit_test(json_is_written_as_python_writes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
