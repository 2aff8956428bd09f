/* meaning.h -- what an event asks of a conversation, and what it looks like in the transcript. Pure functions. */
#ifndef WM_SESSIONS_MEANING_H
#define WM_SESSIONS_MEANING_H

#include "kernels/base/buffer.h"
#include "sessions/event.h"

enum wm_meaning {
    WM_MEANS_NOTHING, /* kept as an event, no more */
    WM_MEANS_MESSAGE, /* wants an answer */
    WM_MEANS_STOP,    /* the person opts out ... */
    WM_MEANS_START,   /* ... and in again; a message like others when not out */
    WM_MEANS_ECHO,    /* a person of the business wrote */
    WM_MEANS_STATUS   /* of a message that we sent */
};

/* `account`: the channel's own; NULL: any. */
enum wm_meaning wm_meaning_of(const struct wm_event *e, const char *account);

/* Appends the message as the model reads it: its text, or in square brackets what came. */
void wm_meaning_words(const struct wm_event *e, struct wm_buffer *out);

/* Whether the model can read a message of that kind (by name) for itself; if not, its words stand for it. */
bool wm_meaning_readable(const char *kind);

/* Whether that kind is a picture, which a model that sees looks at for itself. */
bool wm_meaning_picture(const char *kind);

/* Appends the words for a picture of that kind which cannot be shown; `caption` may be NULL. */
void wm_meaning_unloaded(const char *kind, const char *caption, struct wm_buffer *out);

/* Whole-message words of opting out or in; `text` as the person wrote it. */
bool wm_words_stop(const char *text);
bool wm_words_start(const char *text);

/* What wingman itself says. */
extern const char wm_words_stopped[];     /* confirms STOP */
extern const char wm_words_started[];     /* confirms START */
extern const char wm_words_cannot_see[];  /* answers a turn of pictures and such alone ... */
extern const char wm_words_cannot_open[]; /* ... of recordings and such, where the model sees pictures ... */
extern const char wm_words_not_loaded[];  /* ... and of a picture that could not be had */
extern const char wm_words_trouble[];     /* answers when the model could not */

#endif
