/* settings.c -- reads the settings file into structs, by the table in settings_schema.c.
 *
 * WHY     A wrong setting found at three in the morning must cost a minute: FILE:LINE, what is wrong, which key was
 *         probably meant, what to do. Mapping libraries (libcyaml) fill structs from a schema too, but they stop at the
 *         first error, know no line once a value is read, and cannot suggest a key. So libyaml parses, and the rest
 *         is here: a few small files around one table. The map is at the head of settings_parts.h.
 *
 * HOW     Every entry of a YAML map is looked up in the section's rows; its row says how to read it and where it goes.
 *         Rows that did not come are read from their default text by the same code. Then knowledge files are read, and
 *         settings_rules.c judges what the values mean together.
 *
 * ALWAYS  (1) Reading goes on after an error: all findings come at once. Only broken YAML ends it.
 *         (2) The caller gets settings only when there is no error at all.
 *         (3) A secret's value is in no finding, and is wiped wherever this code has copied it.
 *
 * LIMITS  The file WM_SETTINGS_BYTES, secrets 4096 bytes each, knowledge and system prompt together
 *         WM_SETTINGS_SYSTEM_BYTES per bot, lists as settings.h says.
 */
#include "gateway/settings_parts.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As `sh gateway/demo.sh` leaves it: seen from the working directory, not from the settings file. */
#define DEFAULT_MODEL "build/models/SmolLM2-135M-Instruct.Q4_1.gguf"
#define DEFAULTS_NAME "built-in defaults"

static int64_t cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

static void no_memory(struct wm_settings_reader *r)
{
    r->findings->no_memory = true;
}

static void put(struct wm_settings_reader *r, char **slot, const char *text)
{
    if (!(*slot = strdup(text)))
        no_memory(r);
}

/* What a bot's model section does not say, the top level does; but a projector and a chat format belong to their path. */
static void complete_model(struct wm_settings_reader *r, struct wm_settings_model *m)
{
    const struct wm_settings_model *top = &r->s->model;
    bool own = m->path != NULL;
    if (!own && top->path)
        put(r, &m->path, top->path);
    if (!own && !m->projector && top->projector)
        put(r, &m->projector, top->projector);
    if (!m->chat_format)
        put(r, &m->chat_format, own || !top->chat_format ? "auto" : top->chat_format);
    if (!m->backend && top->backend)
        put(r, &m->backend, top->backend);
    m->context = m->context ? m->context : top->context;
    m->threads = m->threads ? m->threads : top->threads;
}

/* What the table cannot say: defaults that depend on the machine or on other values. */
static void complete(struct wm_settings_reader *r)
{
    struct wm_settings *s = r->s;
    if (!s->model.path)
        put(r, &s->model.path, DEFAULT_MODEL);
    if (s->model.threads == 0)
        s->model.threads = cores();
    if (s->n_bots == 0 && (s->bots = calloc(1, sizeof *s->bots))) {
        const struct wm_row *rows = wm_settings_schema.rows;
        while (rows->kind != WM_ROW_BOTS)
            rows++;
        s->n_bots = 1;
        wm_settings_read(r, rows->below, (char *)s->bots, NULL);
        put(r, &s->bots[0].name, "default");
    }
    if (!s->bots)
        no_memory(r);
    for (size_t i = 0; s->bots && i < s->n_bots; i++)
        complete_model(r, &s->bots[i].model);
    for (size_t i = 0; i < s->n_channels; i++)
        if (!s->channels[i].bot && s->bots && s->bots[0].name)
            put(r, &s->channels[i].bot, s->bots[0].name);
}

enum wm_status wm_settings_parse(const char *file, const char *folder, unsigned mode, const char *text,
                                 size_t len, const struct wm_adapter *(*find)(const char *platform),
                                 struct wm_settings **out, struct wm_findings *findings)
{
    const char *name = file ? file : DEFAULTS_NAME;
    struct wm_findings_list list = {0};
    struct wm_tree *tree = NULL;
    struct wm_settings_reader r = {.folder = folder, .findings = &list};

    r.s = calloc(1, sizeof *r.s);
    if (!r.s) {
        no_memory(&r);
        goto print;
    }
    if (wm_tree_parse(text, len, &tree, &list) != WM_OK)
        goto print;
    if (tree && tree->kind != WM_TREE_MAP && !wm_tree_is_null(tree)) {
        wm_finding_add(&list, WM_FINDING_ERROR, tree->line,
                       "the file is not a map of settings; begin with a line as `listen: 127.0.0.1:8080`");
        goto print;
    }
    if (file && !(r.s->file = strdup(file)))
        no_memory(&r);
    const struct wm_tree *map = tree && tree->kind == WM_TREE_MAP ? tree : NULL;
    wm_settings_read(&r, &wm_settings_schema, (char *)r.s, map);
    complete(&r);
    if (r.inline_secret_line && (mode & 077))
        wm_finding_add(&list, WM_FINDING_WARNING, r.inline_secret_line,
                       "this file holds a secret and has mode %04o, so others on this machine may read it; "
                       "chmod 600 it, or use a _file key or ${ENV_NAME}",
                       mode);
    if (!list.no_memory)
        wm_settings_rules(r.s, map, find, &list);

print:;
    bool failed = list.errors > 0;
    enum wm_status st = wm_findings_print(&list, name, findings);
    if (st == WM_OK && failed)
        st = WM_EINVAL;
    if (st == WM_OK)
        *out = r.s;
    else
        wm_settings_free(r.s);
    wm_tree_free(tree);
    return st;
}

enum wm_status wm_settings_load(const char *file, const struct wm_adapter *(*find)(const char *platform),
                                struct wm_settings **out, struct wm_findings *findings)
{
    if (!file)
        return wm_settings_parse(NULL, ".", 0600, "", 0, find, out, findings);

    char why[WM_VALUE_WHY];
    struct wm_buffer text;
    unsigned mode = 0;
    enum wm_status st = wm_file_read(file, WM_SETTINGS_BYTES, &text, &mode, why);
    if (st != WM_OK) {
        struct wm_findings_list list = {0};
        wm_finding_add(&list, WM_FINDING_ERROR, 0,
                       "the settings cannot be read: %s; name a YAML file with -c", why);
        wm_findings_print(&list, file, findings);
        return st == WM_ENOMEM ? st : WM_EINVAL;
    }
    const char *slash = strrchr(file, '/');
    char *folder = !slash ? strdup(".") : slash == file ? strdup("/") : strndup(file, (size_t)(slash - file));
    st = folder ? wm_settings_parse(file, folder, mode, text.data, text.len, find, out, findings) : WM_ENOMEM;
    free(folder);
    if (text.data)
        explicit_bzero(text.data, text.len);
    wm_buffer_free(&text);
    return st;
}

static void free_secret(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void free_model(struct wm_settings_model *m)
{
    free(m->path);
    free(m->projector);
    free(m->backend);
    free(m->chat_format);
}

static void free_bot(struct wm_settings_bot *b)
{
    for (size_t i = 0; i < WM_SETTINGS_KNOWLEDGE; i++)
        free(b->knowledge[i]);
    free(b->name);
    free(b->system);
    free_model(&b->model);
}

static void free_channel(struct wm_settings_channel *c)
{
    for (size_t i = 0; i < WM_SETTINGS_SECRETS; i++)
        free_secret(c->app_secrets[i]);
    for (size_t i = 0; i < WM_SETTINGS_ORIGINS; i++)
        free(c->origins[i]);
    free_secret(c->verify_token);
    free_secret(c->access_token);
    free_secret(c->key);
    free(c->name);
    free(c->platform);
    free(c->bot);
    free(c->account);
    free(c->graph_url);
}

void wm_settings_free(struct wm_settings *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_bots; i++)
        free_bot(&s->bots[i]);
    for (size_t i = 0; i < s->n_channels; i++)
        free_channel(&s->channels[i]);
    free_secret(s->admin_token);
    free(s->bots);
    free(s->channels);
    free(s->file);
    free(s->data);
    free(s->listen.address);
    free(s->admin.address);
    free(s->tls_certificate);
    free(s->tls_key);
    free_model(&s->model);
    free(s->log.level);
    free(s->log.format);
    free(s);
}
