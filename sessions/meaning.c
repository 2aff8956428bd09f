/* meaning.c -- see meaning.h. */
#include "sessions/meaning.h"

#include <string.h>

/* Kinds that people send: how the transcript names them, and whether their text is simply what the person said. */
static const struct {
    enum wm_event_kind kind;
    bool readable;
    const char *words;
} spoken[] = {
    {WM_EVENT_TEXT, true, NULL},
    {WM_EVENT_INTERACTIVE, true, "choice"},
    {WM_EVENT_BUTTON, true, "button"},
    {WM_EVENT_POSTBACK, true, "button"},
    {WM_EVENT_IMAGE, false, "picture"},
    {WM_EVENT_AUDIO, false, "voice message"},
    {WM_EVENT_VIDEO, false, "video"},
    {WM_EVENT_DOCUMENT, false, "document"},
    {WM_EVENT_STICKER, false, "sticker"},
    {WM_EVENT_LOCATION, false, "location"},
    {WM_EVENT_CONTACTS, false, "contact card"},
    {WM_EVENT_ORDER, false, "order"},
};

enum { SPOKEN = sizeof spoken / sizeof *spoken };

static bool written_to_us(const struct wm_event *e, const char *account)
{
    if (!e->sender || e->from_group)
        return false;
    if (account && e->account && strcmp(account, e->account) != 0)
        return false;
    const char *us = e->account ? e->account : account;
    return !us || strcmp(us, e->sender) != 0; /* our own message, come back */
}

enum wm_meaning wm_meaning_of(const struct wm_event *e, const char *account)
{
    switch (e->kind) {
    case WM_EVENT_STATUS:
        return WM_MEANS_STATUS;
    case WM_EVENT_ECHO:
        return e->sender && !e->from_group ? WM_MEANS_ECHO : WM_MEANS_NOTHING;
    case WM_EVENT_REACTION: /* not questions, whatever an adapter says of them */
    case WM_EVENT_EDIT:
    case WM_EVENT_DELETE:
    case WM_EVENT_READ:
    case WM_EVENT_DELIVERY:
    case WM_EVENT_SYSTEM:
    case WM_EVENT_HANDOVER:
    case WM_EVENT_OTHER:
    case WM_EVENT_UNPARSED:
        return WM_MEANS_NOTHING;
    default:
        break;
    }
    if (!e->wants_reply || !written_to_us(e, account))
        return WM_MEANS_NOTHING;
    if (e->text && wm_meaning_readable(wm_event_kind_name(e->kind))) {
        if (wm_words_stop(e->text))
            return WM_MEANS_STOP;
        if (wm_words_start(e->text))
            return WM_MEANS_START;
    }
    return WM_MEANS_MESSAGE;
}

void wm_meaning_words(const struct wm_event *e, struct wm_buffer *out)
{
    const char *words = "message of a kind that cannot be shown here";
    bool readable = false;
    for (int i = 0; i < SPOKEN; i++)
        if (spoken[i].kind == e->kind) {
            words = spoken[i].words;
            readable = spoken[i].readable;
        }
    if (readable && (e->text || !words))
        wm_buffer_puts(out, e->text ? e->text : "");
    else if (e->text && *e->text)
        wm_buffer_printf(out, "[%s: %s]", words, e->text);
    else
        wm_buffer_printf(out, "[%s]", words);
}

bool wm_meaning_readable(const char *kind)
{
    enum wm_event_kind k;
    if (!kind || !wm_event_kind_of(kind, &k))
        return false;
    for (int i = 0; i < SPOKEN; i++)
        if (spoken[i].kind == k)
            return spoken[i].readable;
    return false;
}

bool wm_meaning_picture(const char *kind)
{
    enum wm_event_kind k;
    return kind && wm_event_kind_of(kind, &k) && (k == WM_EVENT_IMAGE || k == WM_EVENT_STICKER);
}

void wm_meaning_unloaded(const char *kind, const char *caption, struct wm_buffer *out)
{
    enum wm_event_kind k;
    bool sticker = kind && wm_event_kind_of(kind, &k) && k == WM_EVENT_STICKER;
    wm_buffer_printf(out, "[%s: could not be loaded]%s%s", sticker ? "sticker" : "picture",
                     caption && *caption ? " " : "", caption ? caption : "");
}
