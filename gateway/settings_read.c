/* settings_read.c -- from the tree to the structs, row by row of the schema.
 *
 * A function here returns false after it has added a finding; reading then goes on with the next entry, so that one
 * check shows every mistake. What was refused or did not come gets its default. Secrets are copied once, into the slot
 * that wm_settings_free wipes, and never into a finding.
 */
#include "gateway/settings_parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

enum { SECRET_MAX = 4096 };

static bool error_at(struct wm_settings_reader *r, int line, const char *key, const char *what,
                     const char *advice)
{
    wm_finding_add(r->findings, WM_FINDING_ERROR, line, "%s %s; %s", key, what, advice);
    return false;
}

static bool no_memory(struct wm_settings_reader *r)
{
    r->findings->no_memory = true;
    return false;
}

/* --- values --------------------------------------------------------------------------------------------------- */

static bool set_text(struct wm_settings_reader *r, char **slot, char *text)
{
    if (!text)
        return no_memory(r);
    free(*slot);
    *slot = text;
    return true;
}

static char *copy_url(const char *text, char *why)
{
    size_t len = strlen(text);
    size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;
    snprintf(why, WM_VALUE_WHY, "is not a URL");
    if (!scheme || text[strcspn(text, " \t\r\n\"<>\\^`{|}@?#")])
        return NULL;
    while (len && text[len - 1] == '/')
        len--;
    return len > scheme ? strndup(text, len) : NULL;
}

/* Into the first free place of the row's array; takes `text`. */
static bool add_text(struct wm_settings_reader *r, const struct wm_row *row, char **slots, int line,
                     char *text)
{
    if (!text)
        return no_memory(r);
    for (int64_t i = 0; i < row->max; i++)
        if (!slots[i]) {
            slots[i] = text;
            return true;
        }
    char what[64];
    if (row->max > 1)
        snprintf(what, sizeof what, "has more than %lld values", (long long)row->max);
    else
        snprintf(what, sizeof what, "gives a second value");
    explicit_bzero(text, strlen(text));
    free(text);
    return error_at(r, line, row->key, what,
                    row->max > 1 ? "keep those in use"
                                 : "give it once: in the file itself or by its _file key");
}

/* A secret that came from somewhere; `text` is copied. */
static bool add_secret(struct wm_settings_reader *r, const struct wm_row *row, char **slots, int line,
                       const char *text)
{
    size_t len = strlen(text);
    if (len == 0)
        return error_at(r, line, row->key, "is empty", "write the secret there");
    if ((int64_t)len < row->min)
        return error_at(r, line, row->key, "is shorter than 16 bytes",
                        "a short secret can be guessed: use a longer one");
    if (len < WM_SETTINGS_SECRET_MIN)
        wm_finding_add(r->findings, WM_FINDING_WARNING, line,
                       "%s: is shorter than 16 bytes and can be guessed; use a longer one", row->key);
    if (len > SECRET_MAX)
        return error_at(r, line, row->key, "is longer than 4096 bytes", "is this the right file?");
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7F)
            return error_at(r, line, row->key, "holds a blank, a line break or a byte that is not ASCII",
                            "write the bare secret");
    return add_text(r, row, slots, line, strdup(text));
}

static bool read_secret(struct wm_settings_reader *r, const struct wm_row *row, char **slots,
                        const struct wm_tree *node)
{
    const char *text = node->text;
    size_t len = strlen(text);
    if (strncmp(text, "${", 2) != 0) {
        if (!r->inline_secret_line)
            r->inline_secret_line = node->line;
        return add_secret(r, row, slots, node->line, text);
    }
    char name[128];
    if (text[len - 1] != '}' || len - 3 >= sizeof name || len == 3)
        return error_at(r, node->line, row->key, "is not of the form ${ENV_NAME}",
                        "write the whole value as one variable");
    snprintf(name, sizeof name, "%.*s", (int)(len - 3), text + 2);
    const char *value = getenv(name);
    if (!value || !*value) {
        wm_finding_add(r->findings, WM_FINDING_ERROR, node->line,
                       "%s: the environment has no variable %s; set it before starting, or use %s_file",
                       row->key, name, row->key);
        return false;
    }
    return add_secret(r, row, slots, node->line, value);
}

static bool read_secret_file(struct wm_settings_reader *r, const struct wm_row *row, char **slots,
                             const struct wm_tree *node)
{
    char why[WM_VALUE_WHY];
    unsigned mode = 0;
    struct wm_buffer bytes;
    char *path = wm_file_path(r->folder, node->text);
    if (!path)
        return no_memory(r);
    bool ok = false;
    if (wm_file_read(path, SECRET_MAX + 2, &bytes, &mode, why) != WM_OK) {
        wm_finding_add(r->findings, WM_FINDING_ERROR, node->line,
                       "%s: %s: %s; write the secret into that file (mode 0600)", row->key, path, why);
        goto free_path;
    }
    if (mode & 077)
        wm_finding_add(r->findings, WM_FINDING_WARNING, node->line,
                       "%s: %s has mode %04o, so others on this machine may read it; chmod 600 %s", row->key,
                       path, mode, path);
    if (bytes.len && bytes.data[bytes.len - 1] == '\n')
        bytes.data[--bytes.len] = '\0';
    if (bytes.len && bytes.data[bytes.len - 1] == '\r')
        bytes.data[--bytes.len] = '\0';
    if (bytes.len && memchr(bytes.data, '\0', bytes.len))
        error_at(r, node->line, row->key, "names a file with a NUL byte in it", "is this the right file?");
    else
        ok = add_secret(r, row, slots, node->line, bytes.data ? bytes.data : "");
    if (bytes.data)
        explicit_bzero(bytes.data, bytes.len);
    wm_buffer_free(&bytes);
free_path:
    free(path);
    return ok;
}

static bool in_bytes(const struct wm_row *row, const char *text, char *why)
{
    int64_t len = (int64_t)strlen(text), min = row->kind == WM_ROW_TEXT ? row->min : 1;
    snprintf(why, WM_VALUE_WHY, len < min ? "is empty" : "is longer than %lld bytes", (long long)row->max);
    return len >= min && len <= row->max;
}

/* One scalar by its row. False: a finding was added. */
static bool read_scalar(struct wm_settings_reader *r, const struct wm_row *row, char *base,
                        const struct wm_tree *node)
{
    char why[WM_VALUE_WHY];
    void *slot = base + row->offset;
    const char *text = node->text;
    char *url = NULL;
    bool ok = false;

    switch (row->kind) {
    case WM_ROW_SECRET:
        return read_secret(r, row, slot, node);
    case WM_ROW_SECRET_FILE:
        return read_secret_file(r, row, slot, node);
    case WM_ROW_TEXTS:
        return add_text(r, row, slot, node->line, strdup(text));
    case WM_ROW_PATHS:
        return add_text(r, row, slot, node->line, wm_file_path(r->folder, text));
    case WM_ROW_TEXT:
        ok = in_bytes(row, text, why);
        break;
    case WM_ROW_NAME:
        ok = wm_value_name(text, why);
        break;
    case WM_ROW_CHOICE:
        ok = wm_value_choice(text, row->choices, why);
        break;
    case WM_ROW_PATH:
        if (in_bytes(row, text, why))
            return set_text(r, slot, wm_file_path(r->folder, text));
        break;
    case WM_ROW_URL:
        if (in_bytes(row, text, why) && (url = copy_url(text, why)))
            return set_text(r, slot, url);
        break;
    case WM_ROW_SIZE:
        if (wm_value_size(text, row->min, row->max, slot, why))
            return true;
        break;
    case WM_ROW_DURATION:
        if (wm_value_duration(text, row->min, row->max, slot, why))
            return true;
        break;
    case WM_ROW_INTEGER:
        if (wm_value_integer(text, row->min, row->max, slot, why))
            return true;
        break;
    case WM_ROW_NUMBER:
        if (wm_value_number(text, (double)row->min, (double)row->max, slot, why))
            return true;
        break;
    case WM_ROW_LISTEN:
        if (wm_value_listen(text, slot, why))
            return true;
        break;
    default:
        snprintf(why, sizeof why, "cannot be a single value");
    }
    if (ok)
        return set_text(r, slot, strdup(text));
    wm_finding_add(r->findings, WM_FINDING_ERROR, node->line, "%s: \"%.80s\" %s; write %s", row->key, text,
                   why, wm_row_form(row));
    return false;
}

/* --- sections --------------------------------------------------------------------------------------------------- */

static bool takes_list(const struct wm_row *row)
{
    bool many = row->kind == WM_ROW_SECRET || row->kind == WM_ROW_SECRET_FILE;
    return row->kind == WM_ROW_TEXTS || row->kind == WM_ROW_PATHS || (many && row->max > 1);
}

static bool wrong_form(struct wm_settings_reader *r, const struct wm_row *row, const struct wm_tree *node)
{
    static const char *const forms[] = {"is a single value", "is a map", "is a list"};
    wm_finding_add(r->findings, WM_FINDING_ERROR, node->line, "%s %s; write %s", row->key, forms[node->kind],
                   wm_row_form(row));
    return false;
}

static bool read_entries(struct wm_settings_reader *r, const struct wm_row *row, char *base,
                         const struct wm_tree *list)
{
    bool ok = true;
    int64_t n = 0;
    for (const struct wm_tree *e = list->first; e && n <= row->max; e = e->next, n++)
        if (e->kind != WM_TREE_SCALAR || wm_tree_is_null(e))
            ok = wrong_form(r, row, e);
        else
            ok = read_scalar(r, row, base, e) && ok;
    return ok;
}

static void read_knowledge(struct wm_settings_reader *r, struct wm_settings_bot *b, const struct wm_tree *map)
{
    const struct wm_tree *node = wm_tree_find(map, "knowledge");
    struct wm_buffer system = WM_BUFFER(WM_SETTINGS_SYSTEM_BYTES);
    if (b->system)
        wm_buffer_puts(&system, b->system);
    for (int i = 0; i < WM_SETTINGS_KNOWLEDGE && b->knowledge[i]; i++) {
        char why[WM_VALUE_WHY];
        struct wm_buffer text;
        const char *path = b->knowledge[i], *slash = strrchr(path, '/');
        enum wm_status st = wm_file_read(path, WM_SETTINGS_SYSTEM_BYTES, &text, NULL, why);
        if (st == WM_OK && (!wm_utf8_valid(text.data, text.len) || memchr(text.data, '\0', text.len))) {
            snprintf(why, sizeof why, "is not UTF-8 text");
            st = WM_EFORMAT;
        }
        if (st == WM_OK) {
            wm_buffer_printf(&system, "%s# %s\n\n", system.len ? "\n\n" : "", slash ? slash + 1 : path);
            if (wm_buffer_add(&system, text.data, text.len) != WM_OK) {
                snprintf(why, sizeof why, "makes the system prompt longer than %d bytes",
                         WM_SETTINGS_SYSTEM_BYTES);
                st = WM_ELIMIT;
            }
        }
        if (st != WM_OK)
            wm_finding_add(r->findings, WM_FINDING_ERROR, node ? node->line : 0,
                           "knowledge: %s: %s; name UTF-8 text files that exist", path, why);
        wm_buffer_free(&text);
    }
    if (b->knowledge[0])
        set_text(r, &b->system, wm_buffer_take(&system, NULL));
    if (b->system && !*b->system) {
        free(b->system);
        b->system = NULL;
    }
    wm_buffer_free(&system);
}

/* bots or channels: one struct of `size` bytes for each entry, also for a broken one, so that positions agree. */
static bool read_maps(struct wm_settings_reader *r, const struct wm_row *row, const struct wm_tree *list,
                      size_t size, char **items, size_t *n)
{
    if ((int64_t)list->count > row->max) {
        wm_finding_add(r->findings, WM_FINDING_ERROR, list->line,
                       "%s has %zu entries, at most %lld are taken; remove some", row->key, list->count,
                       (long long)row->max);
        return false;
    }
    *items = list->count ? calloc(list->count, size) : NULL;
    if (list->count && !*items)
        return no_memory(r);
    *n = list->count;
    size_t i = 0;
    for (const struct wm_tree *e = list->first; e; e = e->next, i++) {
        if (e->kind != WM_TREE_MAP)
            wrong_form(r, row, e);
        wm_settings_read(r, row->below, *items + i * size, e->kind == WM_TREE_MAP ? e : NULL);
    }
    return true;
}

static bool read_bots(struct wm_settings_reader *r, const struct wm_row *row, const struct wm_tree *list)
{
    char *items = NULL;
    bool ok = read_maps(r, row, list, sizeof *r->s->bots, &items, &r->s->n_bots);
    r->s->bots = (struct wm_settings_bot *)(void *)items;
    const struct wm_tree *e = list->first;
    for (size_t i = 0; i < r->s->n_bots; i++, e = e->next) {
        r->s->bots[i].line = e->line;
        read_knowledge(r, &r->s->bots[i], e);
    }
    return ok;
}

static bool read_channels(struct wm_settings_reader *r, const struct wm_row *row, const struct wm_tree *list)
{
    char *items = NULL;
    bool ok = read_maps(r, row, list, sizeof *r->s->channels, &items, &r->s->n_channels);
    r->s->channels = (struct wm_settings_channel *)(void *)items;
    const struct wm_tree *e = list->first;
    for (size_t i = 0; i < r->s->n_channels; i++, e = e->next)
        r->s->channels[i].line = e->line;
    return ok;
}

static bool read_row(struct wm_settings_reader *r, const struct wm_row *row, char *base,
                     const struct wm_tree *node)
{
    if (row->kind == WM_ROW_REFUSED) {
        wm_finding_add(r->findings, WM_FINDING_ERROR, node->line, "%s: %s", row->key, row->help);
        return false;
    }
    if (wm_tree_is_null(node)) {
        if (row->below)
            return false; /* `bots:` with nothing below it: as if it were not there */
        return error_at(r, node->line, row->key, "has no value", "give one or remove the line");
    }
    switch (row->kind) {
    case WM_ROW_SECTION:
        if (node->kind != WM_TREE_MAP)
            return wrong_form(r, row, node);
        wm_settings_read(r, row->below, base, node);
        return true;
    case WM_ROW_BOTS:
        return node->kind == WM_TREE_LIST ? read_bots(r, row, node) : wrong_form(r, row, node);
    case WM_ROW_CHANNELS:
        return node->kind == WM_TREE_LIST ? read_channels(r, row, node) : wrong_form(r, row, node);
    default:
        if (node->kind == WM_TREE_LIST && takes_list(row))
            return read_entries(r, row, base, node);
        return node->kind == WM_TREE_SCALAR ? read_scalar(r, row, base, node) : wrong_form(r, row, node);
    }
}

static void unknown_key(struct wm_settings_reader *r, const struct wm_schema *schema,
                        const struct wm_tree *entry)
{
    const char *nearest = "";
    int best = INT32_MAX;
    for (size_t i = 0; i < schema->n; i++) {
        int distance = wm_value_distance(entry->key, schema->rows[i].key);
        if (distance < best) {
            best = distance;
            nearest = schema->rows[i].key;
        }
    }
    wm_finding_add(
        r->findings, WM_FINDING_ERROR, entry->line,
        "unknown key \"%.80s\"; the nearest known one is \"%s\" (`wingman check --keys` lists all)",
        entry->key, nearest);
}

void wm_settings_read(struct wm_settings_reader *r, const struct wm_schema *schema, char *base,
                      const struct wm_tree *map)
{
    enum { ROWS = 32 };
    int line[ROWS] = {0}; /* where a row's key came; 0: not yet */
    bool good[ROWS] = {false};
    assert(schema->n <= ROWS);
    for (const struct wm_tree *e = map ? map->first : NULL; e; e = e->next) {
        size_t i = 0;
        while (i < schema->n && strcmp(schema->rows[i].key, e->key) != 0)
            i++;
        if (i == schema->n) {
            unknown_key(r, schema, e);
        } else if (line[i]) {
            wm_finding_add(r->findings, WM_FINDING_ERROR, e->line,
                           "\"%s\" comes twice, first in line %d; keep one of them", e->key, line[i]);
        } else {
            line[i] = e->line;
            good[i] = read_row(r, &schema->rows[i], base, e);
        }
    }
    for (size_t i = 0; i < schema->n; i++) {
        const struct wm_row *row = &schema->rows[i];
        if (good[i])
            continue;
        if (row->kind == WM_ROW_SECTION)
            wm_settings_read(r, row->below, base, NULL);
        else if (row->fallback)
            read_scalar(r, row, base,
                        &(struct wm_tree){.kind = WM_TREE_SCALAR, .text = (char *)row->fallback});
    }
}
