/* tool_calls.c -- see tool_calls.h.
 *
 * HOW     The three forms in which Llama calls tools (source: Meta's tool_utils.py and prompt_format.md):
 *
 *           [get_weather(city="Paris", days=2), get_time(zone="CET")]              tool_python.c
 *           {"name": "get_weather", "parameters": {"city": "Paris"}}               one or several, also in a list
 *           <function=get_weather>{"city": "Paris"}</function>                     one or several
 *
 *         <|python_start|> and <|python_end|> around them are control tokens; where a text spells them they are left
 *         out too.
 *
 * LIMITS  64 calls, 1 MiB of text, names of 128 letters, digits and "_.-"; JSON as deep as jansson reads. Past a
 *         limit the answer is text: a person sees it, no tool runs.
 */
#include "engine/tool_calls.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_text.h"

const char wm_tools_system[] = "Environment: ipython\n";

/* --- a list of calls -------------------------------------------------------------------------------------- */

static bool is_name(const char *name, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    for (size_t i = 0; i < len; i++)
        if (name[i] == '\0' || !strchr(letters, name[i]))
            return false;
    return len > 0 && len <= WM_TOOL_NAME_MAX;
}

enum wm_status wm_tool_calls_add(struct wm_tool_calls *c, const char *name, size_t name_len,
                                 const json_t *arguments)
{
    struct wm_buffer text = WM_BUFFER(WM_TOOL_TEXT_MAX);
    if (c->n == WM_TOOL_CALLS_MAX || !is_name(name, name_len))
        return WM_ELIMIT;
    if (!json_is_object(arguments))
        return WM_EINVAL;
    struct wm_tool_call *grown = realloc(c->calls, (c->n + 1) * sizeof *grown);
    if (!grown)
        return WM_ENOMEM;
    c->calls = grown;
    enum wm_status st = wm_json_text(arguments, 0, &text);
    char *copy = st == WM_OK ? strndup(name, name_len) : NULL;
    if (!copy) {
        wm_buffer_free(&text);
        return st == WM_OK ? WM_ENOMEM : st;
    }
    c->calls[c->n++] = (struct wm_tool_call){.name = copy, .arguments = wm_buffer_take(&text, NULL)};
    return WM_OK;
}

void wm_tool_calls_free(struct wm_tool_calls *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free((char *)c->calls[i].name);
        free((char *)c->calls[i].arguments);
    }
    free(c->calls);
    *c = (struct wm_tool_calls){0};
}

/* --- reading ---------------------------------------------------------------------------------------------- */

/* {"name": "...", "parameters": {...}}; "arguments" is as good. */
static enum wm_status add_object(const json_t *object, struct wm_tool_calls *out)
{
    const json_t *name = json_object_get(object, "name"), *arguments = json_object_get(object, "parameters");
    if (!arguments)
        arguments = json_object_get(object, "arguments");
    return json_is_string(name)
               ? wm_tool_calls_add(out, json_string_value(name), json_string_length(name), arguments)
               : WM_EFORMAT;
}

static size_t skip(const char *text, size_t len, size_t at, const char *what)
{
    while (at < len && text[at] && strchr(what, text[at]))
        at++;
    return at;
}

/* Objects one behind the other, with white space, commas or semicolons between; or a list of them. */
static enum wm_status parse_json(const char *text, size_t len, struct wm_tool_calls *out)
{
    enum wm_status st = WM_OK;
    for (size_t at = 0; at < len && st == WM_OK; at = skip(text, len, at, " \t\r\n,;")) {
        json_error_t where;
        json_t *value = json_loadb(text + at, len - at, JSON_DISABLE_EOF_CHECK, &where), *item;
        size_t i;
        if (!value)
            return WM_EFORMAT;
        if (json_is_array(value)) {
            st = json_array_size(value) ? WM_OK : WM_EFORMAT;
            json_array_foreach(value, i, item)
            {
                if (st == WM_OK)
                    st = add_object(item, out);
            }
        } else {
            st = add_object(value, out);
        }
        at += (size_t)where.position; /* on success: bytes read */
        json_decref(value);
    }
    return st;
}

/* <function=NAME>{...}</function>, one behind the other. */
static enum wm_status parse_functions(const char *text, size_t len, struct wm_tool_calls *out)
{
    static const char begin[] = "<function=", end[] = "</function>";
    enum wm_status st = WM_OK;
    for (size_t at = 0; at < len && st == WM_OK; at = skip(text, len, at, " \t\r\n")) {
        const char *name = text + at + sizeof begin - 1;
        if (len - at < sizeof begin || memcmp(text + at, begin, sizeof begin - 1) != 0)
            return WM_EFORMAT;
        const char *json = memchr(name, '>', (size_t)(text + len - name));
        const char *close = json ? memmem(json, (size_t)(text + len - json), end, sizeof end - 1) : NULL;
        if (!close)
            return WM_EFORMAT;
        json_t *arguments = json_loadb(json + 1, (size_t)(close - json - 1), 0, NULL);
        st = wm_tool_calls_add(out, name, (size_t)(json - name), arguments);
        json_decref(arguments);
        at = (size_t)(close - text) + sizeof end - 1;
    }
    return st;
}

/* The text without the two marks and without white space around it. */
static enum wm_status strip(const char *text, size_t len, struct wm_buffer *out)
{
    static const char *const marks[] = {"<|python_start|>", "<|python_end|>"};
    enum wm_status st = WM_OK;
    for (size_t at = 0; at < len && st == WM_OK;) {
        size_t mark = 0;
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            if (len - at >= strlen(marks[i]) && memcmp(text + at, marks[i], strlen(marks[i])) == 0)
                mark = strlen(marks[i]);
        if (!mark && (out->len || !strchr(" \t\r\n", text[at]) || !text[at]))
            st = wm_buffer_add(out, text + at, 1);
        at += mark ? mark : 1;
    }
    while (out->len && strchr(" \t\r\n", out->data[out->len - 1]) && out->data[out->len - 1])
        out->len--;
    return st;
}

enum wm_status wm_tool_calls_parse(const char *text, size_t len, struct wm_tool_calls *out,
                                   struct wm_error *err)
{
    struct wm_buffer bare = WM_BUFFER(WM_TOOL_TEXT_MAX);
    *out = (struct wm_tool_calls){0};
    enum wm_status st = len <= WM_TOOL_TEXT_MAX ? strip(text, len, &bare) : WM_EFORMAT;
    if (st == WM_OK && bare.len == 0)
        st = WM_EFORMAT;
    if (st == WM_OK)
        st = bare.data[0] == '<'   ? parse_functions(bare.data, bare.len, out)
             : bare.data[0] == '{' ? parse_json(bare.data, bare.len, out)
             : bare.data[0] == '[' ? wm_tool_calls_parse_python(bare.data, bare.len, out)
                                   : WM_EFORMAT;
    if (st != WM_OK && st != WM_ENOMEM && bare.len && bare.data[0] == '[') {
        wm_tool_calls_free(out);
        st = parse_json(bare.data, bare.len, out); /* a list of objects begins alike */
    }
    wm_buffer_free(&bare);
    if (st != WM_OK)
        wm_tool_calls_free(out);
    return st == WM_ENOMEM ? wm_fail(err, st, "no memory to read the calls of tools") : WM_OK;
}

/* --- writing ---------------------------------------------------------------------------------------------- */

enum wm_status wm_tool_calls_text(const struct wm_tool_call *calls, size_t n, struct wm_buffer *out,
                                  struct wm_error *err)
{
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        json_t *arguments = json_loads(calls[i].arguments, 0, NULL);
        json_t *name = json_string(calls[i].name);
        if (!json_is_object(arguments) || !name)
            st = wm_fail(err, WM_EINVAL, "call %zu: its arguments must be a JSON object, its name UTF-8", i);
        if (st == WM_OK)
            st = wm_buffer_puts(out, "{\"name\": ");
        if (st == WM_OK)
            st = wm_json_text(name, 0, out);
        if (st == WM_OK)
            st = wm_buffer_puts(out, ", \"parameters\": ");
        if (st == WM_OK)
            st = wm_json_text(arguments, 0, out);
        if (st == WM_OK)
            st = wm_buffer_puts(out, "}");
        json_decref(arguments);
        json_decref(name);
    }
    return st == WM_OK ? st : wm_fail(err, st, "writing %zu calls of tools: %s", n, wm_status_name(st));
}

enum wm_status wm_tools_text(const json_t *tools, struct wm_buffer *out, struct wm_error *err)
{
    static const char how[] = "Given the following functions, please respond with a JSON for a function call "
                              "with its proper arguments that best "
                              "answers the given prompt.\n\nRespond in the format {\"name\": function name, "
                              "\"parameters\": dictionary of "
                              "argument name and its value}.Do not use variables.\n\n";
    enum { INDENT = 4 };
    size_t i;
    json_t *tool;
    if (!json_is_array(tools))
        return wm_fail(err, WM_EINVAL,
                       "\"tools\" must be a list of {\"type\": \"function\", \"function\": {...}}");
    enum wm_status st = wm_buffer_puts(out, how);
    json_array_foreach(tools, i, tool)
    {
        if (st == WM_OK)
            st = wm_json_text(tool, INDENT, out);
        if (st == WM_OK)
            st = wm_buffer_puts(out, "\n\n");
    }
    return st == WM_OK
               ? st
               : wm_fail(err, st, "writing %zu tools: %s", json_array_size(tools), wm_status_name(st));
}
