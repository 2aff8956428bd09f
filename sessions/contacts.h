/* contacts.h -- which conversation a person's ids belong to. Store thread, inside a transaction. */
#ifndef WM_SESSIONS_CONTACTS_H
#define WM_SESSIONS_CONTACTS_H

#include "sessions/db.h"
#include "sessions/event.h"

/* The conversation of the event's person with `account` of that channel; 0 when there is none and `make` is false, or
 * the event names nobody. Learns ids that are new, and joins two conversations when one event shows that they are of
 * one person. */
int64_t wm_contact_conversation(struct wm_db *db, int64_t channel, const char *account,
                                const struct wm_event *e, bool make);

#endif
