/* cmd_tokenize.c -- `wingman tokenize MODEL`: JSON lines in, JSON lines out. MODEL is a model file, a folder, or a
 * tokenizer alone: a tokenizer.json, or Meta's tokenizer.model.
 *
 * Each line is an object with "text" (plain: no special tokens), "messages" or "ids"; each gives one line {"ids":
 * [...]} or {"error": "..."}. A bad line does not end the run, but the exit code tells of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/prompt_json.h"
#include "gateway/command.h"
#include "gateway/files.h"

enum { MAX_TOKENIZER = 256 << 20 }; /* bytes */

struct tokenize {
    struct wm_model_file *file;
    struct wm_tokenizer *tokenizer;
    struct wm_chat *chat;
    struct wm_error chat_error;
};

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum wm_status open_tokenizer(struct tokenize *t, const char *path, struct wm_error *err)
{
    struct wm_buffer bytes = {0};
    char why[WM_FILE_WHY];
    enum wm_status st = wm_file_read(path, MAX_TOKENIZER, &bytes, NULL, why);
    if (st == WM_OK)
        st = wm_tokenizer_parse(path, bytes.data ? bytes.data : "", bytes.len, &t->tokenizer, err);
    else
        wm_fail(err, st, "%s %s", path, why);
    wm_buffer_free(&bytes);
    return st;
}

static enum wm_status open_model(struct tokenize *t, const char *path, struct wm_error *err)
{
    if (ends_in(path, ".json") || ends_in(path, ".model"))
        return open_tokenizer(t, path, err);
    enum wm_status st = wm_model_file_open(path, &t->file, err);
    return st == WM_OK ? wm_tokenizer_new(t->file, &t->tokenizer, err) : st;
}

/* Prints the answer to one line; was it a good one? */
static int answer(const struct tokenize *t, const char *line, size_t len)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_prompt_reader reader = {
        .tokenizer = t->tokenizer, .chat = t->chat, .chat_error = &t->chat_error};
    struct wm_prompt read = {0};
    json_error_t where;
    json_t *prompt = json_loadb(line, len, JSON_ALLOW_NUL, &where);
    enum wm_status st = prompt
                            ? wm_prompt_from_json(&reader, prompt, &read, &err)
                            : wm_fail(&err, WM_EFORMAT, "not JSON: %s (column %d)", where.text, where.column);
    json_t *out = st == WM_OK ? json_pack("{s:o*}", "ids", wm_ids_to_json(read.tokens.ids, read.tokens.n))
                              : json_pack("{s:s}", "error", err.text);
    if (out)
        json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(out);
    json_decref(prompt);
    wm_prompt_free(&read);
    return st == WM_OK;
}

int wm_cmd_tokenize(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: wingman tokenize MODEL < lines of {\"text\"} or {\"messages\"}\n");
        return WM_EXIT_MISUSED;
    }
    struct tokenize t = {0};
    struct wm_error err = WM_ERROR_INIT;
    char *line = NULL;
    size_t room = 0;
    int code = WM_EXIT_OK;
    if (open_model(&t, argv[1], &err) != WM_OK) {
        fprintf(stderr, "wingman tokenize: %s\n", err.text);
        code = WM_EXIT_FAILED;
        goto close;
    }
    /* A model whose chats we cannot write: only lines with messages miss it. */
    (void)wm_chat_new(t.file, &(struct wm_chat_options){0}, t.tokenizer, &t.chat, &t.chat_error);
    if (t.chat && wm_chat_warning(t.chat))
        fprintf(stderr, "wingman tokenize: %s\n", wm_chat_warning(t.chat));
    for (ssize_t len; (len = getline(&line, &room, stdin)) >= 0;) {
        if (strspn(line, " \t\r\n") == (size_t)len)
            continue;
        if (!answer(&t, line, (size_t)len))
            code = WM_EXIT_FAILED;
    }
    if (fflush(stdout) != 0)
        code = WM_EXIT_FAILED;
close:
    free(line);
    wm_chat_free(t.chat);
    wm_tokenizer_free(t.tokenizer);
    wm_model_file_close(t.file);
    return code;
}
