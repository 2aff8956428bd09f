/* prompt.c -- a conversation as the model's token list.
 *
 * WHY     The engine keeps the KV cache of a token prefix. The same conversation must therefore give the same tokens
 *         each time, and a generated reply must come back as the tokens that were generated: text rendered anew may
 *         split differently, and one different token throws the cache of all that follows away.
 *
 * HOW     Each row of the transcript keeps its tokens once they were used; a prompt is
 *
 *           head | row row row ... | rows of this turn | header of the reply
 *
 *         When that and the reply pass the context, the oldest turns leave in one step, until the past fills at most
 *         half of what it may: then many turns follow before the next step, and between steps the prefix is stable.
 *         If the messages of this turn are too long by themselves, the oldest of them are left out, and the last one
 *         is shortened: first its text, then, when its pictures alone are too many, it is given in words.
 *
 *         A row's pictures travel with its tokens: the prompt lists them in the order of their slots, and a row that
 *         leaves takes its pictures with it.
 *
 * ALWAYS  At least the last message is in the prompt, whole or shortened, with room for a reply.
 */
#include "sessions/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"
#include "sessions/media_rows.h"

enum {
    LONGEST_TEXT = 1 << 16
}; /* bytes of one message that the model may see; more would stall the tokenizer */

/* What the row says: its caption where pictures stand before it, else its text. */
static const char *words_of(const struct wm_row *row)
{
    return row->n_pictures == 0 ? row->text : row->caption ? row->caption : "";
}

static size_t whole_utf8(const char *text, size_t len)
{
    return len - wm_utf8_incomplete_tail(text, len);
}

static enum wm_status render_row(const struct wm_brain *brain, struct wm_row *row, size_t len,
                                 struct wm_error *err)
{
    struct wm_tokens tokens = {0};
    struct wm_chat_picture *pictures = calloc(row->n_pictures + 1, sizeof *pictures);
    const char *words = words_of(row);
    struct wm_chat_message message = {.role = row->role,
                                      .text = words,
                                      .len = whole_utf8(words, len),
                                      .pictures = pictures,
                                      .n_pictures = row->n_pictures};
    for (size_t i = 0; pictures && i < row->n_pictures; i++)
        pictures[i].picture = &row->pictures[i]; /* before the first byte */
    enum wm_status st = pictures ? brain->render(brain->self, &message, 1, false, false, &tokens, err)
                                 : wm_fail(err, WM_ENOMEM, "no memory to render a message");
    free(pictures);
    if (st != WM_OK) {
        wm_tokens_free(&tokens);
        return st;
    }
    free(row->tokens);
    row->tokens = tokens.ids;
    row->n_tokens = tokens.n;
    row->rendered = true;
    return WM_OK;
}

static enum wm_status render_missing(const struct wm_prompt_ask *ask, struct wm_error *err)
{
    for (size_t i = 0; i < ask->n_rows; i++) {
        struct wm_row *row = &ask->rows[i];
        if (row->tokens)
            continue;
        size_t len = strlen(words_of(row));
        enum wm_status st = render_row(ask->brain, row, len < LONGEST_TEXT ? len : LONGEST_TEXT, err);
        if (st != WM_OK)
            return st;
    }
    return WM_OK;
}

static size_t tokens_of(const struct wm_row *rows, size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        n += rows[i].n_tokens;
    return n;
}

/* The row leaves this prompt, with its pictures. */
static void leave_out(struct wm_row *row)
{
    row->n_tokens = 0; /* in the transcript, not in the context */
    wm_media_pictures_free(row->pictures, row->n_pictures);
    row->pictures = NULL;
    row->n_pictures = 0;
    row->rendered = true;
}

/* Shortens the text of the row until its tokens fit into `room`, or nothing is left of it. */
static enum wm_status shorten(const struct wm_brain *brain, struct wm_row *row, size_t room,
                              struct wm_error *err)
{
    size_t len = strlen(words_of(row));
    if (len > LONGEST_TEXT)
        len = LONGEST_TEXT;
    enum wm_status st = WM_OK;
    while (row->n_tokens > room && len > 0 && st == WM_OK) {
        len = len * room / (row->n_tokens + 1); /* shrinks: room < n_tokens */
        st = render_row(brain, row, len, err);
    }
    return st;
}

/* The first row of this turn that stays, so that the rest fits into `room`; the last one is shortened if it must. */
static enum wm_status fit_turn(const struct wm_prompt_ask *ask, size_t first, size_t room, size_t *out,
                               struct wm_error *err)
{
    while (first + 1 < ask->n_rows && tokens_of(ask->rows, first, ask->n_rows) > room) {
        leave_out(&ask->rows[first]);
        first++;
    }
    struct wm_row *last = &ask->rows[ask->n_rows - 1];
    enum wm_status st = shorten(ask->brain, last, room, err);
    if (st == WM_OK && last->n_tokens > room && last->n_pictures > 0) {
        leave_out(last);
        st = render_row(ask->brain, last, whole_utf8(last->text, strlen(last->text)), err);
        if (st == WM_OK)
            st = shorten(ask->brain, last, room, err);
    }
    if (st != WM_OK)
        return st;
    *out = first;
    return last->n_tokens <= room
               ? WM_OK
               : wm_fail(err, WM_ELIMIT, "the system prompt leaves no room in the context of %d tokens",
                         ask->brain->context);
}

/* The first row of the past that stays. */
static size_t fit_past(const struct wm_prompt_ask *ask, size_t n_past, size_t room)
{
    if (tokens_of(ask->rows, 0, n_past) <= room)
        return 0;
    size_t first = 0;
    while (first < n_past && tokens_of(ask->rows, first, n_past) > room / 2) {
        int64_t turn = ask->rows[first].turn;
        while (first < n_past && ask->rows[first].turn == turn)
            first++;
    }
    return first;
}

/* The pictures of the rows from `first` on, in order. */
static enum wm_status list_pictures(const struct wm_prompt_ask *ask, size_t first, struct wm_picture **out,
                                    size_t *n)
{
    size_t all = 0;
    for (size_t i = first; i < ask->n_rows; i++)
        all += ask->rows[i].n_pictures;
    *n = 0;
    *out = all > 0 ? malloc(all * sizeof **out) : NULL;
    if (all > 0 && !*out)
        return WM_ENOMEM;
    for (size_t i = first; i < ask->n_rows; i++)
        for (size_t k = 0; k < ask->rows[i].n_pictures; k++)
            (*out)[(*n)++] = ask->rows[i].pictures[k];
    return WM_OK;
}

void wm_prompt_drop(struct wm_prompt *prompt)
{
    wm_tokens_free(&prompt->tokens);
    free(prompt->pictures);
    *prompt = (struct wm_prompt){0};
}

enum wm_status wm_prompt_build(const struct wm_prompt_ask *ask, struct wm_prompt *out, struct wm_error *err)
{
    const struct wm_brain *brain = ask->brain;
    struct wm_tokens header = {0}, all = {0};
    struct wm_picture *pictures = NULL;
    size_t n_pictures = 0;
    size_t context = (size_t)brain->context, n_past = 0, first_past = 0, first_now = 0;
    size_t reply = (size_t)ask->reply_tokens < context / 2 ? (size_t)ask->reply_tokens : context / 2;
    while (n_past < ask->n_rows && ask->rows[n_past].turn != 0)
        n_past++;
    enum wm_status st = n_past < ask->n_rows ? WM_OK : wm_fail(err, WM_EINVAL, "a turn without a message");
    if (st == WM_OK)
        st = render_missing(ask, err);
    if (st == WM_OK)
        st = brain->render(brain->self, NULL, 0, false, true, &header, err);
    if (st != WM_OK)
        goto done;
    size_t fixed = ask->n_head + header.n + reply;
    if (fixed >= context) {
        st = wm_fail(err, WM_ELIMIT,
                     "the system prompt (%zu tokens) leaves no room in the context of %d tokens", ask->n_head,
                     brain->context);
        goto done;
    }
    st = fit_turn(ask, n_past, context - fixed, &first_now, err);
    if (st != WM_OK)
        goto done;
    first_past = fit_past(ask, n_past, context - fixed - tokens_of(ask->rows, first_now, ask->n_rows));

    st = wm_tokens_add(&all, ask->head, ask->n_head);
    for (size_t i = first_past; i < ask->n_rows && st == WM_OK; i++)
        if (ask->rows[i].n_tokens > 0)
            st = wm_tokens_add(&all, ask->rows[i].tokens, ask->rows[i].n_tokens);
    if (st == WM_OK)
        st = wm_tokens_add(&all, header.ids, header.n);
    if (st == WM_OK)
        st = list_pictures(ask, first_past, &pictures, &n_pictures);
    if (st != WM_OK) {
        wm_fail(err, st, "no memory for a prompt");
        goto done;
    }
    *out = (struct wm_prompt){.tokens = all,
                              .n_header = header.n,
                              .pictures = pictures,
                              .n_pictures = n_pictures,
                              .cut = first_past > 0 ? ask->rows[first_past - 1].turn : 0,
                              .max_tokens = (int32_t)reply};
    all = (struct wm_tokens){0};

done:
    wm_tokens_free(&all);
    wm_tokens_free(&header);
    return st;
}
