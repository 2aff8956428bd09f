/* settings_rules.c -- what no single value can tell: who refers to whom, what a platform needs, what is dangerous.
 *
 * Runs after every value was read, also when some were refused: what is missing because it was refused (its key stands
 * in the file) is not reported again.
 */
#include "gateway/settings_parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct rules {
    const struct wm_settings *s;
    struct wm_findings_list *findings;
};

/* The line of a key; of the map itself when the key is not in it; 0 without a map. */
static int line_of(const struct wm_tree *map, const char *key)
{
    const struct wm_tree *node = wm_tree_find(map, key);
    return node ? node->line : map ? map->line : 0;
}

/* --- addresses and files ----------------------------------------------------------------------------------------- */

static bool is_open(const struct wm_settings_listen *l)
{
    return l->address && !wm_value_loopback(l->address);
}

static void check_listeners(struct rules *r, const struct wm_tree *top)
{
    const struct wm_settings *s = r->s;
    const struct wm_tree *admin = wm_tree_find(top, "admin");
    if (is_open(&s->admin) && !s->admin_token && !wm_tree_find(admin, "token_file"))
        wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(admin, "listen"),
                       "the admin interface would listen on %s without a token; add admin.token_file, or "
                       "listen on 127.0.0.1",
                       s->admin.address);
    if (is_open(&s->listen) && !wm_tree_find(top, "tls"))
        wm_finding_add(r->findings, WM_FINDING_WARNING, line_of(top, "listen"),
                       "listens on %s without TLS; fine behind a proxy that ends TLS, otherwise add tls: "
                       "{certificate, key}",
                       s->listen.address);
    if (s->listen.address && s->admin.address && s->listen.port && s->listen.port == s->admin.port &&
        strcmp(s->listen.address, s->admin.address) == 0)
        wm_finding_add(r->findings, WM_FINDING_ERROR,
                       admin ? line_of(admin, "listen") : line_of(top, "listen"),
                       "listen and admin.listen are both %s port %d; give them two ports", s->listen.address,
                       s->listen.port);
}

static void check_tls_file(struct rules *r, const struct wm_tree *tls, const char *key, const char *path)
{
    struct stat info;
    if (!path) {
        if (!wm_tree_find(tls, key))
            wm_finding_add(r->findings, WM_FINDING_ERROR, tls->line, "tls needs a %s too; add tls.%s: FILE",
                           key, key);
        return;
    }
    int line = line_of(tls, key);
    if (stat(path, &info) != 0)
        wm_finding_add(r->findings, WM_FINDING_ERROR, line, "tls.%s: there is no file %s; name a PEM file",
                       key, path);
    else if (strcmp(key, "key") == 0 && (info.st_mode & 077))
        wm_finding_add(r->findings, WM_FINDING_WARNING, line,
                       "tls.key: %s has mode %04o, so others on this machine may read it; chmod 600 %s", path,
                       (unsigned)info.st_mode & 07777, path);
}

static bool thinks_with(const struct wm_settings *s, const char *path)
{
    for (size_t i = 0; i < s->n_bots; i++)
        if (s->bots[i].model.path && strcmp(s->bots[i].model.path, path) == 0)
            return true;
    return false;
}

/* The files of a model that some bot thinks with. `inherited`: where values that stand not in `map` came from. */
static void check_model(struct rules *r, const struct wm_tree *map, const struct wm_settings_model *m,
                        const struct wm_settings_model *inherited)
{
    struct stat info;
    bool own = !inherited || wm_tree_find(map, "path");
    if (own && m->path && thinks_with(r->s, m->path) && stat(m->path, &info) != 0)
        wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(map, "path"),
                       "there is no model at %s; `sh gateway/demo.sh --build` fetches the small one, "
                       "model.path names another",
                       m->path);
    if (m->projector && wm_tree_find(map, "projector") && stat(m->projector, &info) != 0)
        wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(map, "projector"),
                       "there is no projector at %s; name the GGUF file that came with the model, or remove "
                       "the key",
                       m->projector);
}

static void check_paths(struct rules *r, const struct wm_tree *top)
{
    const struct wm_settings *s = r->s;
    const struct wm_tree *tls = wm_tree_find(top, "tls"), *model = wm_tree_find(top, "model");
    struct stat info;
    if (tls && tls->kind == WM_TREE_MAP) {
        check_tls_file(r, tls, "certificate", s->tls_certificate);
        check_tls_file(r, tls, "key", s->tls_key);
    }
    check_model(r, model ? model : top, &s->model, NULL);
    const struct wm_tree *bots = wm_tree_find(top, "bots"), *bot = bots ? bots->first : NULL;
    for (size_t i = 0; bot && i < s->n_bots; i++, bot = bot->next)
        if (wm_tree_find(bot, "model"))
            check_model(r, wm_tree_find(bot, "model"), &s->bots[i].model, &s->model);
    if (s->data && stat(s->data, &info) == 0 && !S_ISDIR(info.st_mode))
        wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(top, "data"),
                       "data: %s is a file; name a folder, or a name that is free", s->data);
}

/* --- bots and channels -------------------------------------------------------------------------------------------- */

static const struct wm_settings_bot *find_bot(const struct wm_settings *s, const char *name)
{
    for (size_t i = 0; i < s->n_bots; i++)
        if (s->bots[i].name && strcmp(s->bots[i].name, name) == 0)
            return &s->bots[i];
    return NULL;
}

static void check_bots(struct rules *r, const struct wm_tree *list)
{
    const struct wm_tree *node = list ? list->first : NULL;
    for (size_t i = 0; node && i < r->s->n_bots; i++, node = node->next) {
        const struct wm_settings_bot *b = &r->s->bots[i];
        if (node->kind != WM_TREE_MAP)
            continue;
        if (!b->name) {
            if (!wm_tree_find(node, "name"))
                wm_finding_add(r->findings, WM_FINDING_ERROR, b->line,
                               "this bot has no name; add name: NAME");
            continue;
        }
        const struct wm_settings_bot *first = find_bot(r->s, b->name);
        if (first != b)
            wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(node, "name"),
                           "two bots are called \"%s\", the first in line %d; rename one", b->name,
                           first->line);
    }
}

static void check_name(struct rules *r, const struct wm_tree *node, size_t i)
{
    const struct wm_settings_channel *c = &r->s->channels[i];
    if (!c->name) {
        if (!wm_tree_find(node, "name"))
            wm_finding_add(r->findings, WM_FINDING_ERROR, c->line,
                           "this channel has no name; add name: NAME");
        return;
    }
    for (size_t j = 0; j < i; j++)
        if (r->s->channels[j].name && strcmp(r->s->channels[j].name, c->name) == 0) {
            wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(node, "name"),
                           "two channels are called \"%s\", the first in line %d; rename one", c->name,
                           r->s->channels[j].line);
            return;
        }
}

/* The keys that one of Meta's platforms cannot do without. */
static void check_needs(struct rules *r, const struct wm_tree *node, const struct wm_settings_channel *c)
{
    const struct {
        const char *key, *file_key, *why;
        bool there;
    } needs[] = {
        {"app_secret", "app_secret_file", "without it nobody can tell the platform from a stranger",
         c->app_secrets[0]},
        {"verify_token", "verify_token_file", "the platform shows it when the webhook is set up",
         c->verify_token},
        {"access_token", "access_token_file", "without it no reply can be sent", c->access_token},
        {"account", "account", "it says which number or page this is", c->account},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (!needs[i].there && !wm_tree_find(node, needs[i].key) && !wm_tree_find(node, needs[i].file_key))
            wm_finding_add(r->findings, WM_FINDING_ERROR, c->line, "channel \"%s\" needs %s: %s; add %s",
                           c->name ? c->name : "?", needs[i].key, needs[i].why, needs[i].file_key);
}

static void check_graph_url(struct rules *r, const struct wm_tree *node, const struct wm_settings_channel *c)
{
    char host[256];
    if (!c->graph_url || strncmp(c->graph_url, "http://", 7) != 0)
        return;
    const char *start = c->graph_url + 7;
    bool bracket = *start == '[';
    start += bracket;
    snprintf(host, sizeof host, "%.*s", (int)strcspn(start, bracket ? "]" : ":/"), start);
    if (!wm_value_loopback(host))
        wm_finding_add(r->findings, WM_FINDING_WARNING, line_of(node, "graph_url"),
                       "graph_url sends the access token to %s in the clear; use https://", host);
}

static void check_channel(struct rules *r, const struct wm_tree *node, size_t i,
                          const struct wm_adapter *(*find)(const char *platform))
{
    const struct wm_settings_channel *c = &r->s->channels[i];
    check_name(r, node, i);
    if (c->bot && wm_tree_find(node, "bot") && !find_bot(r->s, c->bot))
        wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(node, "bot"),
                       "there is no bot \"%s\"; name one of those under bots:", c->bot);
    if (c->settle_quiet_ms > c->settle_at_most_ms)
        wm_finding_add(
            r->findings, WM_FINDING_ERROR, line_of(node, "settle"),
            "settle.quiet (%lld ms) is longer than settle.at_most (%lld ms); quiet must fit into at_most",
            (long long)c->settle_quiet_ms, (long long)c->settle_at_most_ms);
    check_graph_url(r, node, c);
    if (!c->platform) {
        if (!wm_tree_find(node, "platform"))
            wm_finding_add(r->findings, WM_FINDING_ERROR, c->line,
                           "this channel has no platform; add platform: whatsapp");
        return;
    }
    if (find && !find(c->platform)) {
        wm_finding_add(r->findings, WM_FINDING_ERROR, line_of(node, "platform"),
                       "this version of wingman does not speak %s yet; remove the channel", c->platform);
        return;
    }
    if (strcmp(c->platform, "web") != 0 && strcmp(c->platform, "api") != 0)
        check_needs(r, node, c);
    if (strcmp(c->platform, "api") == 0 && !c->key && !wm_tree_find(node, "key") &&
        !wm_tree_find(node, "key_file"))
        wm_finding_add(r->findings, WM_FINDING_ERROR, c->line,
                       "channel \"%s\" needs a key for its callers; add key_file", c->name ? c->name : "?");
}

void wm_settings_rules(const struct wm_settings *s, const struct wm_tree *tree,
                       const struct wm_adapter *(*find)(const char *platform),
                       struct wm_findings_list *findings)
{
    struct rules r = {s, findings};
    const struct wm_tree *channels = wm_tree_find(tree, "channels");
    check_listeners(&r, tree);
    check_paths(&r, tree);
    check_bots(&r, wm_tree_find(tree, "bots"));
    const struct wm_tree *node = channels ? channels->first : NULL;
    for (size_t i = 0; node && i < s->n_channels; i++, node = node->next)
        if (node->kind == WM_TREE_MAP)
            check_channel(&r, node, i, find);
}
