/* contacts.c -- which conversation a person's ids belong to.
 *
 * WHY     A person on WhatsApp has a phone number and a business-scoped id, and a webhook may carry one, the other or
 *         both. Two conversations of one person would be two memories and two replies.
 *
 * HOW     `aliases` maps every id ever seen to a conversation. An event that carries ids of two conversations joins
 *         them: the older one takes the ids, the flags and the messages that wait; what the younger one has already
 *         said stays where it is, as an archive, and what it is sending goes on.
 *
 * ALWAYS  An id belongs to one conversation. Opting out survives a join.
 */
#include "sessions/contacts.h"

#include <string.h>

enum { IDS = WM_EVENT_ALIASES + 1 };

static int64_t owner_of(struct wm_db *db, int64_t channel, const char *account, const char *id)
{
    return wm_db_number(db, 0,
                        "SELECT conversation FROM aliases WHERE channel = ? AND account = ? AND alias = ?",
                        "itt", channel, account, id);
}

static void join(struct wm_db *db, int64_t keep, int64_t join)
{
    wm_db_do(db, "UPDATE aliases SET conversation = ? WHERE conversation = ?", "ii", keep, join);
    wm_db_do(db, "UPDATE transcript SET conversation = ? WHERE conversation = ? AND turn IS NULL", "ii", keep,
             join);
    wm_db_do(db,
             "UPDATE conversations SET last_user_ms = max(last_user_ms, other.last), stopped = max(stopped, "
             "other.stop),"
             " human_until_ms = max(human_until_ms, other.human) FROM (SELECT last_user_ms AS last, stopped "
             "AS stop,"
             " human_until_ms AS human FROM conversations WHERE id = ?2) AS other WHERE id = ?1",
             "ii", keep, join);
}

int64_t wm_contact_conversation(struct wm_db *db, int64_t channel, const char *account,
                                const struct wm_event *e, bool make)
{
    const char *ids[IDS];
    int64_t owners[IDS], found = 0;
    int n = 0;
    if (!e->sender)
        return 0;
    ids[n++] = e->sender;
    for (int i = 0; i < WM_EVENT_ALIASES && e->aliases[i]; i++)
        if (strcmp(e->aliases[i], e->sender) != 0)
            ids[n++] = e->aliases[i];
    for (int i = 0; i < n; i++) {
        owners[i] = owner_of(db, channel, account, ids[i]);
        if (owners[i] && (!found || owners[i] < found))
            found = owners[i];
    }
    if (!found) {
        if (!make)
            return 0;
        wm_db_do(db, "INSERT INTO conversations(channel, account, contact, name) VALUES(?, ?, ?, ?)", "ittt",
                 channel, account, e->sender, e->name);
        found = sqlite3_last_insert_rowid(db->sql);
    }
    for (int i = 0; i < n; i++) {
        if (owners[i] == 0)
            wm_db_do(db, "INSERT OR IGNORE INTO aliases VALUES(?, ?, ?, ?)", "itti", channel, account, ids[i],
                     found);
        else if (owners[i] != found)
            join(db, found, owners[i]);
    }
    return found;
}
