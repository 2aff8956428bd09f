/* fake_brain.c -- a model that repeats what it reads. A token is a byte (256 + value) or a mark:
 * 1 user, 2 assistant, 3 end, 4 system, 5 a picture, 6 one more tile of it. It also checks what the real cache lives from: each prompt of an owner begins
 * with the last one and its reply, unless turns were cut.
 */
#include "tests/sessions/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USER = 1, ASSISTANT, END, SYSTEM, PICTURE, TILE, BYTE = 256, CONTEXT = 8192 };

struct thought {
    struct thought *next;
    struct wm_generate g;
    int32_t *prompt;
    char (*names)[64]; /* of its pictures: what their files hold */
    uint64_t request;
    bool canceled;
};

struct past {
    struct past *next;
    uint64_t owner;
    struct wm_tokens tokens; /* prompt, reply, end */
};

static void add_mark(struct wm_tokens *t, int32_t id)
{
    wm_tokens_add(t, &id, 1);
}

static void add_text(struct wm_tokens *t, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        add_mark(t, BYTE + (unsigned char)text[i]);
}

static enum wm_status render(void *self, const struct wm_chat_message *messages, size_t n, bool first,
                             bool open_reply, struct wm_tokens *out, struct wm_error *err)
{
    (void)self, (void)err;
    static const int32_t marks[] = {
        [WM_ROLE_SYSTEM] = SYSTEM, [WM_ROLE_USER] = USER, [WM_ROLE_ASSISTANT] = ASSISTANT};
    if (first && (n == 0 || messages[0].role != WM_ROLE_SYSTEM)) {
        add_mark(out, SYSTEM);
        add_mark(out, END);
    }
    for (size_t i = 0; i < n; i++) {
        add_mark(out, marks[messages[i].role]);
        for (size_t k = 0; k < messages[i].n_pictures; k++) {
            const struct wm_picture *picture = messages[i].pictures[k].picture;
            add_mark(out, PICTURE);
            for (int32_t t = 1; t < picture->rows * picture->cols; t++)
                add_mark(out, TILE);
        }
        add_text(out, messages[i].text, messages[i].len);
        add_mark(out, END);
    }
    if (open_reply)
        add_mark(out, ASSISTANT);
    return WM_OK;
}

static enum wm_status close_reply(void *self, struct wm_tokens *out, struct wm_error *err)
{
    (void)self, (void)err;
    add_mark(out, END);
    return WM_OK;
}

/* "re: " and the texts behind the last whole reply, with commas. */
static void answer(const struct thought *t, struct wm_buffer *text)
{
    const int32_t *prompt = t->prompt;
    size_t n = t->g.prompt_len, from = 0, picture = 0;
    for (size_t i = 0; i + 1 < n; i++)
        if (prompt[i] == ASSISTANT)
            from = i;
    for (size_t i = 0; i < from; i++)
        picture += prompt[i] == PICTURE;
    const char *comma = "re: ";
    for (size_t i = from; i < n; i++) {
        if (prompt[i] != USER)
            continue;
        wm_buffer_puts(text, comma);
        comma = ",";
        for (i++; i < n && prompt[i] != END; i++) {
            char c = (char)(prompt[i] - BYTE);
            if (prompt[i] >= BYTE)
                wm_buffer_add(text, &c, 1);
            else if (prompt[i] == PICTURE && t->names[picture++][0] != '~')
                wm_buffer_printf(text, "<%s>", t->names[picture - 1]);
        }
    }
    char *parts = text->data ? strstr(text->data, "parts:") : NULL;
    if (parts) { /* "parts:N" asks for a reply of N parts */
        int count = (int)strtol(parts + 6, NULL, 10);
        wm_buffer_free(text);
        for (int i = 1; i <= count; i++)
            wm_buffer_printf(text, "%spart %d", i > 1 ? "~" : "", i);
    }
}

static void check_prefix(struct model *m, struct thought *t, const struct wm_buffer *reply)
{
    struct past *p = m->past;
    while (p && p->owner != t->g.owner)
        p = p->next;
    if (!p) {
        p = calloc(1, sizeof *p);
        p->owner = t->g.owner;
        p->next = m->past;
        m->past = p;
    } else if (t->g.prompt_len < p->tokens.n ||
               memcmp(t->prompt, p->tokens.ids, p->tokens.n * sizeof *t->prompt) != 0) {
        m->prompts_broken++;
    }
    wm_tokens_free(&p->tokens);
    wm_tokens_add(&p->tokens, t->prompt, t->g.prompt_len);
    add_text(&p->tokens, reply->data ? reply->data : "", reply->len);
    add_mark(&p->tokens, END);
}

static void finish(struct model *m, struct thought *t)
{
    struct wm_buffer text = WM_BUFFER(1 << 20);
    struct wm_error err = WM_ERROR_INIT;
    struct wm_generated g = {.request = t->request, .finish = WM_FINISH_STOP};
    pthread_mutex_lock(&m->lock);
    if (t->canceled) {
        g.finish = WM_FINISH_CANCELED;
    } else if (m->errors > 0) {
        m->errors--;
        wm_fail(&err, WM_EIO, "the model has a headache");
        g.finish = WM_FINISH_ERROR;
        g.error = &err;
    } else if (m->picture_errors > 0 && t->g.n_pictures > 0) {
        m->picture_errors--;
        wm_fail(&err, WM_EFORMAT, "the picture hurts");
        g.finish = WM_FINISH_ERROR;
        g.error = &err;
    } else if (m->silences > 0) {
        m->silences--;
    } else {
        answer(t, &text);
        check_prefix(m, t, &text);
    }
    pthread_mutex_unlock(&m->lock);
    struct wm_tokens ids = {0};
    add_text(&ids, text.data ? text.data : "", text.len);
    size_t half = text.len / 2; /* in two events, as it streams */
    struct wm_generated begin = {
        .request = t->request, .ids = ids.ids, .n_ids = half, .text = text.data, .text_len = half};
    if (half > 0)
        t->g.event(t->g.arg, &begin);
    g.ids = ids.ids ? ids.ids + half : NULL;
    g.n_ids = ids.n - half;
    g.text = text.data ? text.data + half : "";
    g.text_len = text.len - half;
    g.usage = (struct wm_usage){.prompt_tokens = (int32_t)t->g.prompt_len,
                                .cached_tokens = 1,
                                .completion_tokens = (int32_t)ids.n,
                                .first_token_ms = 2};
    t->g.event(t->g.arg, &g);
    wm_tokens_free(&ids);
    wm_buffer_free(&text);
    free(t->prompt);
    free(t->names);
    free(t);
}

/* The next thought that may end now; the lock is held. */
static struct thought *next_thought(struct model *m)
{
    for (struct thought **at = &m->first; *at; at = &(*at)->next)
        if (!m->hold || (*at)->canceled || m->stop) {
            struct thought *t = *at;
            *at = t->next;
            return t;
        }
    return NULL;
}

static void *think(void *arg)
{
    struct model *m = arg;
    pthread_mutex_lock(&m->lock);
    for (;;) {
        struct thought *t = next_thought(m);
        if (t) {
            pthread_mutex_unlock(&m->lock);
            finish(m, t);
            pthread_mutex_lock(&m->lock);
        } else if (m->stop) {
            break;
        } else {
            pthread_cond_wait(&m->work, &m->lock);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* The file of a picture, without the three bytes at its beginning; "?" when it cannot be read. */
static void read_name(const char *path, char name[64])
{
    char bytes[128] = "";
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(bytes, 1, sizeof bytes - 1, f) : 0;
    if (f)
        fclose(f);
    snprintf(name, 64, "%.60s", n > 3 ? bytes + 3 : "?");
}

/* "wide..." has two tiles; "damaged..." is none, "huge..." too large. */
static enum wm_status look(void *self, const char *path, struct wm_picture *out, struct wm_error *err)
{
    struct model *m = self;
    char name[64];
    m->looks++;
    read_name(path, name);
    if (strncmp(name, "damaged", 7) == 0)
        return wm_fail(err, WM_EFORMAT, "it is damaged");
    if (strncmp(name, "huge", 4) == 0)
        return wm_fail(err, WM_ELIMIT, "it has too many pixels");
    out->rows = 1;
    out->cols = strncmp(name, "wide", 4) == 0 ? 2 : 1;
    return WM_OK;
}

/* As the engine: the slots of the prompt are those of the pictures. */
static bool slots_fit(const struct wm_generate *g)
{
    int64_t slots = 0, tiles = 0;
    for (size_t i = 0; i < g->prompt_len; i++)
        slots += g->prompt[i] == PICTURE || g->prompt[i] == TILE;
    for (size_t i = 0; i < g->n_pictures; i++)
        tiles += g->pictures[i].rows * g->pictures[i].cols;
    return slots == tiles;
}

static enum wm_status submit(void *self, const struct wm_generate *g, uint64_t *request, struct wm_error *err)
{
    struct model *m = self;
    if (g->prompt_len + (size_t)g->max_tokens > (size_t)m->context)
        return wm_fail(err, WM_ELIMIT, "too long for the context");
    if (!slots_fit(g)) {
        m->prompts_broken++;
        return wm_fail(err, WM_EINVAL, "slots and pictures do not agree");
    }
    struct thought *t = calloc(1, sizeof *t);
    t->names = calloc(g->n_pictures + 1, sizeof *t->names);
    for (size_t i = 0; i < g->n_pictures; i++)
        read_name(g->pictures[i].path, t->names[i]);
    m->pictures_last = g->n_pictures;
    t->g = *g;
    t->prompt = malloc(g->prompt_len * sizeof *t->prompt);
    memcpy(t->prompt, g->prompt, g->prompt_len * sizeof *t->prompt);
    pthread_mutex_lock(&m->lock);
    *request = t->request = ++m->requests;
    struct thought **at = &m->first;
    while (*at)
        at = &(*at)->next;
    *at = t;
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
    return WM_OK;
}

static void cancel(void *self, uint64_t request)
{
    struct model *m = self;
    pthread_mutex_lock(&m->lock);
    for (struct thought *t = m->first; t; t = t->next)
        if (t->request == request)
            t->canceled = true;
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
}

static struct wm_kv_bytes kv_of(void *self, uint64_t owner)
{
    (void)self;
    return (struct wm_kv_bytes){.device = owner * 1024};
}

void model_start(struct model *m)
{
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->work, NULL);
    if (!m->context)
        m->context = CONTEXT;
    pthread_create(&m->thread, NULL, think, m);
}

void model_hold(struct model *m, bool hold)
{
    pthread_mutex_lock(&m->lock);
    m->hold = hold;
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
}

void model_stop(struct model *m)
{
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    for (struct past *p = m->past, *next; p; p = next) {
        next = p->next;
        wm_tokens_free(&p->tokens);
        free(p);
    }
    pthread_cond_destroy(&m->work);
    pthread_mutex_destroy(&m->lock);
}

struct wm_brain model_brain(struct model *m)
{
    return (struct wm_brain){.self = m,
                             .fingerprint = "fake",
                             .context = m->context,
                             .render = render,
                             .close_reply = close_reply,
                             .submit = submit,
                             .cancel = cancel,
                             .kv_of = kv_of,
                             .sees_pictures = m->sees,
                             .look = look};
}
