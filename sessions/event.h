/* event.h -- one thing that happened on a platform, in words that all platforms share.
 *
 * An adapter makes events from a verified body; sessions stores them and acts. Strings are UTF-8 (well-formed, no
 * NUL), NULL when the platform said nothing. A list owns its events and their strings.
 */
#ifndef WM_SESSIONS_EVENT_H
#define WM_SESSIONS_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

/* id, name as the admin interface shows it */
#define WM_EVENT_KINDS(X)                                                                                    \
    X(TEXT, "text")                                                                                          \
    X(IMAGE, "image")                                                                                        \
    X(AUDIO, "audio")                                                                                        \
    X(VIDEO, "video")                                                                                        \
    X(DOCUMENT, "document")                                                                                  \
    X(STICKER, "sticker")                                                                                    \
    X(LOCATION, "location")                                                                                  \
    X(CONTACTS, "contacts")                                                                                  \
    X(INTERACTIVE, "interactive") /* a button or list reply, a flow */                                       \
    X(BUTTON, "button")           /* quick-reply button of a template */                                     \
    X(ORDER, "order")                                                                                        \
    X(POSTBACK, "postback")                                                                                  \
    X(REACTION, "reaction")                                                                                  \
    X(SYSTEM, "system") /* number or identity change */                                                      \
    X(EDIT, "edit")                                                                                          \
    X(DELETE, "delete")                                                                                      \
    X(ECHO, "echo")     /* the business's own message, written elsewhere */                                  \
    X(STATUS, "status") /* of a message we sent */                                                           \
    X(READ, "read")                                                                                          \
    X(DELIVERY, "delivery")                                                                                  \
    X(OPTIN, "optin")                                                                                        \
    X(REFERRAL, "referral")                                                                                  \
    X(HANDOVER, "handover")                                                                                  \
    X(UNSUPPORTED, "unsupported") /* a message of a kind that we do not know */                              \
    X(OTHER, "other")             /* not a message: account, template, call ... */                           \
    X(UNPARSED, "unparsed")       /* a verified body that could not be parsed; kept whole */

enum wm_event_kind {
#define X(id, name) WM_EVENT_##id,
    WM_EVENT_KINDS(X)
#undef X
};

const char *wm_event_kind_name(enum wm_event_kind kind);
/* Returns false for a name that is no kind. */
bool wm_event_kind_of(const char *name, enum wm_event_kind *out);

/* Progress of a message we sent. Ordered: a later one never steps back; FAILED is final. */
enum wm_delivery {
    WM_DELIVERY_NONE,
    WM_DELIVERY_SENT,
    WM_DELIVERY_DELIVERED,
    WM_DELIVERY_READ,
    WM_DELIVERY_PLAYED,
    WM_DELIVERY_FAILED
};

enum { WM_EVENT_ALIASES = 4, WM_EVENT_MEDIA = 16 };

struct wm_event {
    enum wm_event_kind kind;
    bool wants_reply; /* a message that a person expects an answer to */
    bool from_group;
    char *account; /* who was written to: phone number id, page id; NULL: the channel's own */
    char *key;     /* never NULL: unique per (channel, account) for one happening; a repeat has the same */
    char *id;      /* the platform's message id */
    char *sender;  /* the other person; for echoes and statuses the person written to */
    char *aliases[WM_EVENT_ALIASES]; /* further ids of that person, most lasting first */
    char *name;                      /* display name */
    char *text;                      /* text, caption, button title; emoji of a reaction */
    char *payload;                   /* what a button carries */
    char *media[WM_EVENT_MEDIA];     /* media ids or URLs */
    char *mime;                      /* of the first medium */
    char *target;                    /* id of the message that is meant: reaction, edit, delete, reply */
    char *
        field; /* the platform's word for what this is, when the kind does not tell: "poll", "account_update" */
    char *timestamp; /* the platform's literal */
    int64_t
        at_ms; /* the same as Unix milliseconds, clamped to [0, arrival + 5 min]; arrival time when absent */
    enum wm_delivery delivery; /* with STATUS */
    char *status;              /* the platform's word: "sent", "delivered" ... */
    char *ref;                 /* our own reference that a status gives back */
    int32_t error_code;
    char *error_text;
};

struct wm_event_list {
    struct wm_event *events;
    size_t n, cap;
};

enum { WM_EVENTS_MAX = 100000 }; /* of one body: 3 MB of the shortest updates stay below */

/* A new event at the end, all zero; NULL past WM_EVENTS_MAX or without memory. Valid until the next call. */
struct wm_event *wm_event_list_add(struct wm_event_list *list);
void wm_event_list_free(struct wm_event_list *list);

#endif
