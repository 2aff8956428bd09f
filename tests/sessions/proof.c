/* proof.c -- see proof.h. */
#include "tests/check.h"

#include "tests/sessions/proof.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* The number of a message: "7", "[picture: 7]", "[picture: could not be loaded] 7". `end` is where its digits end. */
static int number_of(const char *text, const char **end)
{
    static const char *const openings[] = {"[picture: could not be loaded] ", "[picture: "};
    for (size_t i = 0; i < COUNT(openings); i++)
        if (strncmp(text, openings[i], strlen(openings[i])) == 0) {
            text += strlen(openings[i]);
            break;
        }
    char *after;
    long number = strtol(text, &after, 10);
    *end = after;
    return after == text ? -1 : (int)number;
}

void prove_transcript(const char *dir, const char *contact, int n)
{
    char path[256];
    sqlite3 *db;
    sqlite3_stmt *s;
    snprintf(path, sizeof path, "%s/wingman.db", dir);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT role, text, turn FROM transcript WHERE conversation = (SELECT"
                                        " conversation FROM aliases WHERE alias = ?) ORDER BY turn, place",
                                        -1, &s, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(s, 1, contact, -1, SQLITE_STATIC);
    int next = 0, turn = 0;
    const char *last = "assistant";
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *role = (const char *)sqlite3_column_text(s, 0);
        int of_turn = sqlite3_column_int(s, 2);
        if (strcmp(role, "assistant") == 0) {
            assert_string_equal(last, "user");
            assert_int_equal(of_turn, turn);
            last = "assistant";
            continue;
        }
        const char *end;
        int number = number_of((const char *)sqlite3_column_text(s, 1), &end);
        if (number != next)
            fail_msg("%s: message %d where %d belongs", contact, number, next);
        next++;
        assert_int_equal(of_turn, strcmp(last, "user") == 0 ? turn : turn + 1);
        turn = of_turn;
        last = "user";
    }
    assert_int_equal(next, n);
    assert_string_equal(last, "assistant");
    sqlite3_finalize(s);
    sqlite3_close(db);
}

void prove_replies(const char *contact, const char *const *replies, size_t n_replies, int n)
{
    int next = 0;
    for (size_t i = 0; i < n_replies; i++) {
        if (strncmp(replies[i], "re: ", 4) != 0)
            fail_msg("%s got '%s'", contact, replies[i]);
        const char *at = replies[i] + 4;
        for (;;) {
            const char *end;
            if (number_of(at, &end) != next)
                fail_msg("%s: reply %zu is '%s' where %d belongs", contact, i, replies[i], next);
            next++;
            if (*end != ',')
                break;
            at = end + 1;
        }
    }
    if (next != n)
        fail_msg("%s: %d messages were answered, not %d", contact, next, n);
}
