/* lines.c -- see lines.h. */
#include "sessions/lines.h"

#include <stdlib.h>
#include <string.h>

enum { REPLY_TOKENS = 512 };

static void empty_line(struct wm_line *line)
{
    free(line->name);
    free(line->account);
    free(line->head);
}

void wm_lines_free(struct wm_line *lines)
{
    for (struct wm_line *line = lines, *next; line; line = next) {
        next = line->next;
        empty_line(line);
        free(line);
    }
}

static enum wm_status render_head(const struct wm_brain *brain, const struct wm_bot_config *bot,
                                  struct wm_line *line, struct wm_error *err)
{
    struct wm_tokens head = {0};
    struct wm_chat_message system = {
        .role = WM_ROLE_SYSTEM, .text = bot->system, .len = bot->system ? strlen(bot->system) : 0};
    enum wm_status st = brain->render(brain->self, bot->system ? &system : NULL, bot->system ? 1 : 0, true,
                                      false, &head, err);
    if (st != WM_OK) {
        wm_tokens_free(&head);
        return st;
    }
    line->head = head.ids;
    line->n_head = head.n;
    return WM_OK;
}

static enum wm_status fill(const struct wm_brain *brain, const struct wm_channel_binding *b,
                           struct wm_line *line, struct wm_error *err)
{
    *line =
        (struct wm_line){.adapter = b->adapter,
                         .channel = b->channel,
                         .brain = brain,
                         .sampling = b->bot.sampling,
                         .reply_tokens = b->bot.max_reply_tokens > 0 ? b->bot.max_reply_tokens : REPLY_TOKENS,
                         .settle_quiet_ms = b->settle_quiet_ms,
                         .settle_at_most_ms = b->settle_at_most_ms};
    line->name = strdup(b->name);
    line->account = b->account ? strdup(b->account) : NULL;
    if (!line->name || (b->account && !line->account))
        return wm_fail(err, WM_ENOMEM, "no memory for channel %s", b->name);
    return render_head(brain, &b->bot, line, err);
}

enum wm_status wm_lines_new(const struct wm_channel_binding *channels, const struct wm_brain *const *brains,
                            size_t n, struct wm_line **out, struct wm_error *err)
{
    struct wm_line *lines = NULL;
    for (size_t i = 0; i < n; i++) {
        struct wm_line *line = calloc(1, sizeof *line);
        enum wm_status st = line ? fill(brains[i], &channels[i], line, err)
                                 : wm_fail(err, WM_ENOMEM, "no memory for channel %s", channels[i].name);
        if (line) {
            line->next = lines;
            lines = line;
        }
        if (st != WM_OK) {
            wm_lines_free(lines);
            return st;
        }
    }
    *out = lines;
    return WM_OK;
}

struct wm_line *wm_lines_find(struct wm_line *lines, const char *name)
{
    while (lines && strcmp(lines->name, name) != 0)
        lines = lines->next;
    return lines;
}

void wm_lines_replace(struct wm_line **lines, struct wm_line *fresh)
{
    for (struct wm_line *line = *lines; line; line = line->next)
        line->gone = true;
    while (fresh) {
        struct wm_line *line = fresh, *old = wm_lines_find(*lines, line->name);
        fresh = line->next;
        if (!old) {
            line->next = *lines;
            *lines = line;
            continue;
        }
        struct wm_line *next = old->next;
        empty_line(old);
        *old = *line;
        old->next = next;
        free(line);
    }
}
