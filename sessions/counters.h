/* counters.h -- figures that several threads write and wm_sessions_stats copies. */
#ifndef WM_SESSIONS_COUNTERS_H
#define WM_SESSIONS_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct wm_counters {
    /* store */
    _Atomic uint64_t bodies, body_bytes, commits, ingest_refused, store_errors;
    _Atomic uint64_t commit_us_sum, commit_us_max;
    _Atomic bool store_ok;
    _Atomic int64_t committed_id; /* newest body on disk */
    _Atomic int64_t recorded_id;  /* newest body that has become events */
    _Atomic int64_t oldest_ms;    /* arrival of the oldest body between the two, while there is one */
    _Atomic int64_t refused_ms;   /* wall time of the last body we did not take; 0: never */
    /* director */
    _Atomic uint64_t read, read_us; /* bodies made into events, and the time it took */
    _Atomic uint64_t events, duplicates, unparsed;
    _Atomic uint64_t turns_started, turns_finished, turns_failed, active;
    _Atomic int64_t queued, unknown; /* rows of the outbox, now */
    _Atomic uint64_t sent, failed, retries;
    _Atomic int64_t unanswered_since_ms; /* wall time; 0: nobody waits */
    _Atomic uint64_t media_wanted, media_fetched, media_failed, media_bytes;
};

#endif
