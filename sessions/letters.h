/* letters.h -- letters taken from a mailbox, in order, while their owner works through them. */
#ifndef WM_SESSIONS_LETTERS_H
#define WM_SESSIONS_LETTERS_H

#include "kernels/base/mailbox.h"

struct wm_letters {
    struct wm_letter *first, **last; /* *last is where the next one goes */
};

static inline void wm_letters_init(struct wm_letters *l)
{
    l->first = NULL;
    l->last = &l->first;
}

/* Appends a letter, or a whole list as a mailbox gives it; NULL is fine. */
static inline void wm_letters_add(struct wm_letters *l, struct wm_letter *letters)
{
    *l->last = letters;
    while (*l->last)
        l->last = &(*l->last)->next;
}

/* The oldest, alone; NULL when there is none. */
static inline struct wm_letter *wm_letters_pop(struct wm_letters *l)
{
    struct wm_letter *letter = l->first;
    if (!letter)
        return NULL;
    l->first = letter->next;
    if (!l->first)
        l->last = &l->first;
    letter->next = NULL;
    return letter;
}

/* Puts `front` before what is in `l`, and leaves `front` empty. */
static inline void wm_letters_put_back(struct wm_letters *l, struct wm_letters *front)
{
    if (!front->first)
        return;
    *front->last = l->first;
    if (!l->first)
        l->last = front->last;
    l->first = front->first;
    wm_letters_init(front);
}

#endif
