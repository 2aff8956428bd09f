/* distill.c -- teacher output: the likeliest tokens of every position of many conversations.
 *
 * WHY     A student learns more from what its teacher nearly said than from what it said. The teacher is
 *         large and slow, so its opinion is written down once, in a form that any training script reads.
 *
 * HOW     All conversations are read first: a mistake in the last line is better told before hours of work
 *         than after them, and their lengths are what the head of a safetensors file needs. Then they are
 *         scored one by one; each position's row is written to its place in the file.
 *
 *           ids.N         I32 [n]       the tokens of conversation N, counted from 0
 *           top_ids.N     I32 [n, K]    the likeliest next tokens behind each, falling
 *           top_logits.N  F32 [n, K]    their logits, as the model gives them
 *           __metadata__  model, fingerprint, top_k
 *
 * ALWAYS  The file is written under another name beside `path`, and renamed when it is whole and on disk.
 *
 * LIMITS  MAX_CONVERSATIONS and MAX_TOKENS of them all together: their tokens are kept in memory. Of the
 *         output one row is.
 */
#include "gateway/distill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_CONVERSATIONS = 1 << 20,
    MAX_TOKENS = 1 << 28,
    MAX_LINE = 64 << 20,
    MAX_HEAD = 100 << 20,
    HEAD_ALIGN = 8
};

struct distilling {
    struct wm_score *score;
    int32_t top;
    struct wm_prompt *prompts;
    size_t n_prompts, cap, tokens;
    char *temporary; /* path */
    FILE *file;
    uint64_t data;            /* where tensors begin in the file */
    struct wm_ranked *ranked; /* [top] */
    /* of the conversation at hand */
    uint64_t ids_at, logits_at;
    int32_t *row_ids; /* [top] */
    float *row_logits;
};

/* --- reading -------------------------------------------------------------------------------------------- */

/* One more place in the list. */
static struct wm_prompt *add_prompt(struct distilling *d)
{
    if (d->n_prompts == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 64;
        struct wm_prompt *more = realloc(d->prompts, cap * sizeof *more);
        if (!more)
            return NULL;
        d->prompts = more;
        d->cap = cap;
    }
    d->prompts[d->n_prompts] = (struct wm_prompt){0};
    return &d->prompts[d->n_prompts++];
}

static enum wm_status read_line(struct distilling *d, const char *line, size_t len, size_t number,
                                struct wm_error *err)
{
    json_error_t where;
    struct wm_error why = WM_ERROR_INIT;
    int32_t context = wm_score_model(d->score)->arch->context;
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
    if (!object)
        return wm_fail(err, WM_EFORMAT, "line %zu is not JSON: %s", number, where.text);
    struct wm_prompt *prompt = d->n_prompts < MAX_CONVERSATIONS ? add_prompt(d) : NULL;
    enum wm_status st = prompt ? wm_score_prompt(d->score, object, prompt, &why)
                               : wm_fail(&why, WM_ELIMIT, "more than %d conversations, or no memory for them",
                                         MAX_CONVERSATIONS);
    json_decref(object);
    if (st == WM_OK && (prompt->tokens.n < 1 || prompt->tokens.n > (size_t)context))
        st = wm_fail(&why, WM_ELIMIT, "%zu tokens, the model takes 1 to %d", prompt->tokens.n, context);
    if (st == WM_OK && (d->tokens += prompt->tokens.n) > MAX_TOKENS)
        st = wm_fail(&why, WM_ELIMIT, "more than %d tokens in all: split the input", MAX_TOKENS);
    return st == WM_OK ? st : wm_fail(err, st, "line %zu: %s", number, why.text);
}

/* Empty lines are passed over. */
static enum wm_status read_all(struct distilling *d, FILE *in, struct wm_error *err)
{
    char *line = NULL;
    size_t cap = 0, number = 0;
    ssize_t len;
    enum wm_status st = WM_OK;
    while (st == WM_OK && (len = getline(&line, &cap, in)) >= 0) {
        number++;
        if (len > MAX_LINE)
            st = wm_fail(err, WM_ELIMIT, "line %zu has more than %d bytes", number, MAX_LINE);
        else if (strspn(line, " \t\r\n") < (size_t)len)
            st = read_line(d, line, (size_t)len, number, err);
    }
    if (st == WM_OK && ferror(in))
        st = wm_fail(err, WM_EIO, "the conversations cannot be read: %s", strerror(errno));
    if (st == WM_OK && d->n_prompts == 0)
        st = wm_fail(err, WM_EINVAL, "no conversations: one JSON object a line is expected");
    free(line);
    return st;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static enum wm_status write_at(struct distilling *d, uint64_t at, const void *bytes, size_t len,
                               struct wm_error *err)
{
    if (fseeko(d->file, (off_t)at, SEEK_SET) != 0 || fwrite(bytes, 1, len, d->file) != len)
        return wm_fail(err, WM_EIO, "%s cannot be written: %s", d->temporary, strerror(errno));
    return WM_OK;
}

static uint64_t add_tensor(struct wm_buffer *head, const char *name, size_t number, const char *type,
                           size_t rows, int32_t cols, uint64_t at)
{
    uint64_t bytes = (uint64_t)rows * (uint64_t)(cols ? cols : 1) * sizeof(int32_t);
    wm_buffer_printf(head, ",\"%s.%zu\":{\"dtype\":\"%s\",\"shape\":[%zu", name, number, type, rows);
    if (cols)
        wm_buffer_printf(head, ",%d", cols);
    wm_buffer_printf(head, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                     (unsigned long long)(at + bytes));
    return at + bytes;
}

/* The length of the head, the head, then the tensors in the order of the conversations. */
static enum wm_status write_head(struct distilling *d, struct wm_error *err)
{
    const struct wm_model *m = wm_score_model(d->score);
    struct wm_buffer head = WM_BUFFER(MAX_HEAD);
    char top[16];
    uint64_t at = 0;
    snprintf(top, sizeof top, "%d", d->top);
    json_t *about = json_pack("{s:s,s:s,s:s}", "model", m->name, "fingerprint", m->fingerprint, "top_k", top);
    char *text = about ? json_dumps(about, JSON_COMPACT) : NULL;
    wm_buffer_printf(&head, "{\"__metadata__\":%s", text ? text : "{}");
    for (size_t i = 0; i < d->n_prompts; i++) {
        size_t n = d->prompts[i].tokens.n;
        at = add_tensor(&head, "ids", i, "I32", n, 0, at);
        at = add_tensor(&head, "top_ids", i, "I32", n, d->top, at);
        at = add_tensor(&head, "top_logits", i, "F32", n, d->top, at);
    }
    wm_buffer_puts(&head, "}");
    while (head.len % HEAD_ALIGN && !head.failed)
        wm_buffer_puts(&head, " ");
    uint8_t length[HEAD_ALIGN];
    for (int i = 0; i < HEAD_ALIGN; i++)
        length[i] = (uint8_t)(head.len >> (8 * i));
    enum wm_status st = text && !head.failed ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for the head");
    if (st == WM_OK)
        st = write_at(d, 0, length, sizeof length, err);
    if (st == WM_OK)
        st = write_at(d, sizeof length, head.data, head.len, err);
    d->data = sizeof length + head.len;
    wm_buffer_free(&head);
    json_decref(about);
    free(text);
    return st;
}

static enum wm_status take_row(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    struct distilling *d = arg;
    size_t bytes = (size_t)d->top * sizeof *d->row_ids;
    wm_top_k(logits, wm_score_model(d->score)->arch->vocabulary, d->ranked, d->top);
    for (int32_t i = 0; i < d->top; i++) {
        d->row_ids[i] = d->ranked[i].id;
        d->row_logits[i] = d->ranked[i].logit;
    }
    enum wm_status st = write_at(d, d->ids_at + (uint64_t)position * bytes, d->row_ids, bytes, err);
    return st == WM_OK ? write_at(d, d->logits_at + (uint64_t)position * bytes, d->row_logits, bytes, err)
                       : st;
}

static enum wm_status distill_all(struct distilling *d, struct wm_error *err)
{
    struct wm_tokens none = {0};
    enum wm_status st = WM_OK;
    uint64_t at = d->data;
    for (size_t i = 0; i < d->n_prompts && st == WM_OK; i++) {
        const struct wm_prompt *p = &d->prompts[i];
        size_t n = p->tokens.n, each = sizeof *p->tokens.ids;
        d->ids_at = at + n * each;
        d->logits_at = d->ids_at + n * (size_t)d->top * each;
        st = write_at(d, at, p->tokens.ids, n * each, err);
        if (st == WM_OK)
            st = wm_score_show(d->score, p->pictures, p->n_pictures, err);
        if (st == WM_OK)
            st = wm_score_run(d->score, p->tokens.ids, (int32_t)n, 0, take_row, d, &none, err);
        at = d->logits_at + n * (size_t)d->top * each;
    }
    return st;
}

/* The whole file, under its temporary name, and then under its own. */
static enum wm_status write_file(struct distilling *d, const char *path, struct wm_error *err)
{
    int fd = mkstemp(d->temporary);
    d->file = fd >= 0 && fchmod(fd, 0644) == 0 ? fdopen(fd, "wb") : NULL; /* as other outputs are */
    if (!d->file) {
        if (fd >= 0)
            close(fd);
        return wm_fail(err, WM_EIO, "%s cannot be created: %s", d->temporary, strerror(errno));
    }
    enum wm_status st = write_head(d, err);
    if (st == WM_OK)
        st = distill_all(d, err);
    if (st == WM_OK && (fflush(d->file) != 0 || fsync(fd) != 0))
        st = wm_fail(err, WM_EIO, "%s cannot be written: %s", d->temporary, strerror(errno));
    if (fclose(d->file) != 0 && st == WM_OK)
        st = wm_fail(err, WM_EIO, "%s cannot be written: %s", d->temporary, strerror(errno));
    if (st == WM_OK && rename(d->temporary, path) != 0)
        st = wm_fail(err, WM_EIO, "%s cannot be renamed to %s: %s", d->temporary, path, strerror(errno));
    if (st != WM_OK)
        unlink(d->temporary);
    return st;
}

enum wm_status wm_distill(struct wm_score *score, FILE *in, int32_t top, const char *path,
                          struct wm_error *err)
{
    static const char suffix[] = ".XXXXXX";
    int32_t vocabulary = wm_score_model(score)->arch->vocabulary;
    struct distilling d = {.score = score, .top = top < vocabulary ? top : vocabulary};
    size_t room = (size_t)d.top;
    d.temporary = malloc(strlen(path) + sizeof suffix);
    d.ranked = calloc(room, sizeof *d.ranked);
    d.row_ids = calloc(room, sizeof *d.row_ids);
    d.row_logits = calloc(room, sizeof *d.row_logits);
    enum wm_status st = d.temporary && d.ranked && d.row_ids && d.row_logits
                            ? WM_OK
                            : wm_fail(err, WM_ENOMEM, "no memory for rows of %d", d.top);
    if (st == WM_OK) {
        snprintf(d.temporary, strlen(path) + sizeof suffix, "%s%s", path, suffix);
        st = read_all(&d, in, err);
    }
    if (st == WM_OK)
        st = write_file(&d, path, err);
    if (st == WM_OK)
        printf("%s: %zu conversations, %zu tokens, the %d likeliest of each position\n", path, d.n_prompts,
               d.tokens, d.top);
    for (size_t i = 0; i < d.n_prompts; i++)
        wm_prompt_free(&d.prompts[i]);
    free(d.prompts);
    free(d.temporary);
    free(d.ranked);
    free(d.row_ids);
    free(d.row_logits);
    return st;
}
