/* turn_rows.h -- a turn's beginning and end on disk: what the model is to read, and what came of it. */
#ifndef WM_SESSIONS_TURN_ROWS_H
#define WM_SESSIONS_TURN_ROWS_H

#include "sessions/job.h"
#include "sessions/prompt.h"

/* Reader: everything for the next turn of a conversation. */
struct wm_turn_load {
    struct wm_job job;
    int64_t conversation, now_ms, window_ms;
    struct wm_brain brain;
    const struct wm_shelf *shelf;
    int64_t started_ms;       /* wall time of the director's start: nobody waits for pictures before it */
    int64_t pictures_wait_ms; /* longest wait for a picture from the arrival of its message */
    bool in_words;            /* pictures are not shown: the engine has failed on them */
    int32_t *head;            /* owned copy */
    size_t n_head;
    int32_t reply_tokens;
    enum {
        WM_TURN_THINK,
        WM_TURN_CANNOT_SEE,  /* pictures and such alone: a fixed answer, no model */
        WM_TURN_CANNOT_OPEN, /* the same of recordings, where pictures are seen */
        WM_TURN_NOT_LOADED,  /* the same of pictures that could not be had */
        WM_TURN_PICTURES,    /* some are on their way: look again at pictures_until_ms, or when one comes */
        WM_TURN_REMEMBER,    /* not to be answered (taken over, opted out, too late): mark as silent */
        WM_TURN_NOTHING      /* nobody waits */
    } verdict;
    struct wm_row *rows; /* past, then this turn's */
    size_t n_rows;
    struct wm_prompt prompt;   /* with THINK */
    int64_t turn;              /* its number */
    bool more;                 /* more messages wait than one turn takes */
    int64_t pictures_until_ms; /* with PICTURES: wall time */
};
void wm_turn_load_apply(struct wm_job *job, struct wm_db *db);
void wm_turn_load_drop(struct wm_note *note);

/* Store: the finished turn, all or nothing. */
struct wm_turn_commit {
    struct wm_job job;
    struct wm_turn_load *load; /* owned: its rows are the turn's */
    int64_t now_ms;
    char *reply;             /* Markdown, as the model wrote it; NULL: only mark the rows as silent */
    struct wm_tokens tokens; /* of the assistant's row: header, reply, close */
    struct wm_usage usage;
    char **parts; /* of the outbox, in the platform's dialect */
    size_t n_parts;
    enum {
        WM_COMMIT_DONE,
        WM_COMMIT_WITHHELD, /* taken over or opted out meanwhile: the messages are remembered, the reply is not */
        WM_COMMIT_STALE     /* the rows are no longer this conversation's to answer: nothing was written */
    } verdict;
};
void wm_turn_commit_apply(struct wm_job *job, struct wm_db *db);
void wm_turn_commit_drop(struct wm_note *note);

#endif
