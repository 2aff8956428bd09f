/* world.h -- the simulator's state, and what its files call of each other. Private to adapters/sim/.
 *
 * Contacts are never removed but by a reset, so an index names one for good. Messages, webhooks and log entries have
 * numbers that rise from 1 and are never used again; a number whose owner has left is simply not found.
 */
#ifndef WM_SIM_WORLD_H
#define WM_SIM_WORLD_H

#include <jansson.h>

#include "adapters/sim/sim.h"

/* Whoever types on the page or posts to it is a stranger: everything has a ceiling. */
enum {
    WM_SIM_CONTACTS = 1024,
    WM_SIM_MESSAGES = 50000,         /* the oldest leave ... */
    WM_SIM_MESSAGE_BYTES = 64 << 20, /* ... also past this many bytes of text */
    WM_SIM_HOOKS = 20000,            /* webhooks not yet acknowledged; past it people cannot write */
    WM_SIM_IN_FLIGHT = 64,           /* webhooks posted at one time */
    WM_SIM_PLANS = 20000,            /* statuses that will happen; past it Graph says "overloaded" */
    WM_SIM_LOG = 400,                /* calls that the panel shows; the oldest leave */
    WM_SIM_LOG_BODY = 16 << 10,      /* bytes kept of each body */
    WM_SIM_FAULTS = 64,
    WM_SIM_MEDIA = 32,            /* files; the oldest leave */
    WM_SIM_MEDIA_BYTES = 5 << 20, /* of one file: Meta's limit for a picture */
    WM_SIM_BURST = 1000,          /* messages of one POST /sim/burst */
    WM_SIM_TEXT = 4096,           /* UTF-16 units of a text */
    WM_SIM_NAME = 64,             /* bytes of a contact's name */
    WM_SIM_REF = 512,             /* characters of biz_opaque_callback_data */
    WM_SIM_ANSWER = 48 << 20      /* bytes of our largest answer: the state with its messages */
};

/* --- people and messages: people.c --------------------------------------------------------------------------- */

struct sim_contact {
    char wa_id[16];   /* digits */
    char user_id[40]; /* business-scoped id: "US." and digits */
    char name[WM_SIM_NAME + 1];
    int64_t wrote_ms;        /* last message: opens the 24-hour window; 0: never wrote */
    int64_t typing_until_ms; /* the business "is typing"; 0: not */
    bool on_page;            /* a page has shown this chat: from then on only a look at it reads */
    uint64_t pass;           /* delivery pass that met an unfinished webhook of this contact (webhooks.c) */
    int64_t pair_since_ms, pair_paid_ms; /* the pair limit's bucket (graph.c) */
};

/* mark, word of the platform: how far a message has come. A person's: SENT (Meta has it), DELIVERED (its webhook is
 * acknowledged), READ. The business's: ACCEPTED, then as its status webhooks say. */
#define WM_SIM_MARKS(X)                                                                                      \
    X(ACCEPTED, "accepted")                                                                                  \
    X(SENT, "sent")                                                                                          \
    X(DELIVERED, "delivered")                                                                                \
    X(READ, "read")                                                                                          \
    X(FAILED, "failed")

enum sim_mark {
#define X(id, text) MARK_##id,
    WM_SIM_MARKS(X)
#undef X
};

struct sim_message {
    uint64_t seq;
    int contact;
    bool from_person;
    enum sim_mark mark;
    int32_t error; /* Graph error code with FAILED */
    int64_t at_ms;
    uint64_t media; /* media id; 0: none */
    char kind[16];  /* "text", "image" ... */
    char id[96];    /* wamid */
    char *text;     /* what the bubble shows */
    char *ref;      /* biz_opaque_callback_data; NULL: none */
};

/* --- webhooks: webhooks.c ------------------------------------------------------------------------------------ */

struct sim_hook {
    uint64_t ticket;
    uint64_t message; /* whose news this is; 0 with the handshake */
    int contact;
    char *body;
    size_t len;
    bool is_status;
    enum sim_mark mark; /* the news of a status */
    bool ordered;       /* waits for the contact's earlier ordered webhooks */
    bool in_flight;
    bool lose_answer;   /* fault: the next answer counts as none */
    bool bad_signature; /* fault: the next post is signed wrongly */
    int attempts;
    int64_t born_ms, due_ms, posted_ms;
    uint64_t log; /* entry of the post in flight */
};

struct sim_hook_counts {
    uint64_t delivered; /* acknowledged with 200 */
    uint64_t failures;  /* posts that were not */
    uint64_t given_up;  /* after seven days */
    uint64_t in_flight;
};

/* --- faults: faults.c ---------------------------------------------------------------------------------------- */

/* kind, name in the interface, what it does (the page shows it) */
#define WM_SIM_FAULT_KINDS(X)                                                                                \
    X(DUPLICATE, "duplicate", "the webhook is posted twice")                                                 \
    X(REORDER, "reorder", "the webhook comes late: later messages overtake it")                              \
    X(LOST_ACK, "lost_ack", "the gateway's 200 gets lost: the webhook comes again")                          \
    X(BAD_SIGNATURE, "bad_signature", "the webhook is signed with another key, once")                        \
    X(SLOW, "slow", "the Graph answer comes late")                                                           \
    X(SERVER_ERROR, "server_error", "Graph answers 500 with an error body")                                  \
    X(HTML_ERROR, "html_error", "Graph answers 500 with a page of HTML")                                     \
    X(RATE_LIMIT, "rate_limit", "Graph answers 130429: too many messages of this number")                    \
    X(PAIR_LIMIT, "pair_limit", "Graph answers 131056: too many messages to this person")                    \
    X(ERROR, "error", "Graph answers with the error of `code`")                                              \
    X(LOST_ANSWER, "lost_answer", "Graph accepts the message and the connection breaks before its answer")   \
    X(UNDELIVERABLE, "undeliverable", "Graph accepts the message and later reports it failed with `code`")   \
    X(WINDOW_CLOSED, "window_closed", "the 24-hour window counts as closed: failed with 131047")             \
    X(LIMITS, "limits", "Meta's real limits hold: 80 a second, one in 6 s to each person")

enum sim_fault_kind {
#define X(id, name, help) FAULT_##id,
    WM_SIM_FAULT_KINDS(X)
#undef X
        FAULT_KINDS
};

struct sim_fault {
    uint64_t seq;
    enum sim_fault_kind kind;
    int contact;   /* -1: everybody */
    int64_t left;  /* times it will still strike; -1: no limit */
    double chance; /* (0, 1] */
    int64_t delay_ms;
    int32_t code;
};

/* --- the panel: panel.c -------------------------------------------------------------------------------------- */

enum { WM_SIM_TITLE = 160 }; /* bytes; longer ones are cut */

struct sim_log {
    uint64_t seq;
    int64_t at_ms, took_ms;
    bool outward; /* from Meta to the gateway */
    int status;   /* 0: still open; -1: no answer */
    int attempt;
    int contact;              /* -1: unknown */
    char what[32];            /* "status read": what the call is about */
    char title[WM_SIM_TITLE]; /* "POST /webhooks/whatsapp" */
    char note[96];            /* what the person who reads should know: the fault, the cause */
    char *request, *answer;
};

/* --- the whole ----------------------------------------------------------------------------------------------- */

struct sim_plan { /* a status that will happen to a message of the business */
    int64_t due_ms;
    uint64_t message;
    enum sim_mark mark;
};

struct sim_media {
    uint64_t id;
    char type[64];
    char sha256[65];
    char *bytes;
    size_t len;
};

struct wm_sim {
    char *webhook_url, *app_secret, *access_token, *verify_token, *account, *public_url;
    const struct wm_sim_business *businesses;
    int n_businesses, business;
    double time_scale;
    void (*post)(void *arg, uint64_t ticket, struct wm_http_call *call);
    void (*publish)(void *arg, const char *json, size_t len);
    void *arg;
    uint64_t random; /* state of the generator */

    struct sim_contact contacts[WM_SIM_CONTACTS];
    int n_contacts;
    int open_contact; /* whose chat the page shows; -1: none */

    struct sim_message *messages[WM_SIM_MESSAGES]; /* a ring: number s is at s % WM_SIM_MESSAGES */
    uint64_t first_message, next_message;
    size_t message_bytes;

    struct sim_hook *hooks[WM_SIM_HOOKS]; /* in order of birth */
    int n_hooks;
    struct sim_hook_counts hook_counts;
    uint64_t next_ticket, pass;
    bool verified;             /* the gateway has answered the handshake */
    uint64_t handshake_ticket; /* 0: none on its way */
    uint64_t handshake_log;
    int64_t handshake_due_ms, handshake_posted_ms;
    char challenge[24];

    struct sim_plan plans[WM_SIM_PLANS];
    int n_plans;

    struct sim_fault faults[WM_SIM_FAULTS];
    int n_faults;
    uint64_t next_fault;
    int64_t second_ms; /* the number's throughput: the second that is counted ... */
    int in_second;     /* ... and its sends */

    struct sim_log *log[WM_SIM_LOG]; /* a ring, as the messages */
    uint64_t first_log, next_log;

    struct sim_media media[WM_SIM_MEDIA]; /* a ring by id */
    uint64_t next_media;
    char media_type[64]; /* of the file in the last answer */
};

/* people.c */
int wm_sim_contact_find(const struct wm_sim *sim, const char *id); /* by number or business-scoped id; -1 */
/* Finds or makes; `name` NULL: keeps the name, or "Phone N". -1: the number is malformed, or no room (`err`). */
int wm_sim_contact_get(struct wm_sim *sim, const char *wa_id, const char *name, struct wm_error *err);
int wm_sim_contact_new(struct wm_sim *sim, const char *name,
                       struct wm_error *err); /* with a number of our choice */
struct sim_message *wm_sim_message_add(struct wm_sim *sim, int64_t now_ms, int contact, bool from_person,
                                       const char *kind, const char *text);    /* NULL: no memory */
struct sim_message *wm_sim_message_at(const struct wm_sim *sim, uint64_t seq); /* NULL: gone */
struct sim_message *wm_sim_message_find(const struct wm_sim *sim, const char *wamid);
const char *wm_sim_mark_name(enum sim_mark mark);
/* A person writes: message, webhook, faults. NULL: EAGAIN when too many webhooks wait, ENOMEM. */
struct sim_message *wm_sim_write(struct wm_sim *sim, int64_t now_ms, int contact, const char *kind,
                                 const char *text, uint64_t media, struct wm_error *err);
void wm_sim_set_typing(struct wm_sim *sim, int contact, int64_t until_ms); /* 0: stops */
void wm_sim_people_reset(struct wm_sim *sim);

/* statuses.c: what becomes of a message that Graph accepted */
bool wm_sim_plan_room(const struct wm_sim *sim);
void wm_sim_plan_delivery(struct wm_sim *sim, int64_t now_ms, struct sim_message *m);
void wm_sim_plan_failure(struct wm_sim *sim, int64_t now_ms, struct sim_message *m, int32_t code);
void wm_sim_open_chat(struct wm_sim *sim, int64_t now_ms, int contact); /* -1: none is shown */
int64_t wm_sim_statuses_tick(struct wm_sim *sim, int64_t now_ms);

/* webhooks.c */
/* Takes `body` (malloc'd). NULL: no room or memory, and `body` is freed. */
struct sim_hook *wm_sim_hook_add(struct wm_sim *sim, int64_t now_ms, const struct sim_message *m,
                                 bool is_status, char *body);
int64_t wm_sim_hooks_tick(struct wm_sim *sim, int64_t now_ms);
void wm_sim_hooks_reset(struct wm_sim *sim);

/* payload.c: webhook bodies, malloc'd; NULL without memory */
char *wm_sim_payload_message(const struct wm_sim *sim, const struct sim_message *m);
char *wm_sim_payload_status(const struct wm_sim *sim, const struct sim_message *m, int64_t at_ms);

/* faults.c */
/* Does a fault of this kind strike `contact` (-1: nobody in particular) now? Uses it up. */
bool wm_sim_strikes(struct wm_sim *sim, enum sim_fault_kind kind, int contact, struct sim_fault *what);
enum wm_status wm_sim_fault_add(struct wm_sim *sim, const json_t *body, struct wm_error *err);
json_t *wm_sim_faults_json(const struct wm_sim *sim);
void wm_sim_faults_clear(struct wm_sim *sim);
double wm_sim_chance(struct wm_sim *sim); /* [0, 1) */
const char *wm_sim_fault_name(enum sim_fault_kind kind);

/* graph.c, sending.c, graph_error.c */
struct sim_call { /* a Graph call on its way through; strings are static */
    int64_t now_ms;
    int contact;      /* -1: unknown so far */
    const char *what; /* for the panel: what it is ... */
    const char *note; /* ... and what befell it */
    struct wm_sim_response *out;
};
void wm_sim_send(struct wm_sim *sim, struct sim_call *call, const json_t *json);
void wm_sim_graph(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                  struct wm_sim_response *out);
/* Writes Meta's error answer; `details` may be NULL. An unlisted code answers 400. */
void wm_sim_graph_error(struct wm_sim_response *out, int32_t code, const char *details);
const char *wm_sim_graph_error_text(int32_t code);
bool wm_sim_graph_token_ok(const struct wm_sim *sim, const struct wm_sim_request *request);

/* media.c */
uint64_t wm_sim_media_add(struct wm_sim *sim, const char *type, const char *bytes,
                          size_t len); /* 0: no memory */
const struct sim_media *wm_sim_media_find(const struct wm_sim *sim, const char *id);
void wm_sim_media_upload(struct wm_sim *sim, const struct wm_sim_request *request,
                         struct wm_sim_response *out);
void wm_sim_media_info(struct wm_sim *sim, int64_t now_ms, const struct sim_media *media,
                       struct wm_sim_response *out);
void wm_sim_media_bytes(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                        struct wm_sim_response *out);
void wm_sim_media_reset(struct wm_sim *sim);

/* panel.c */
/* `what` in words; `title`: method and path. NULL: no memory. */
struct sim_log *wm_sim_log_add(struct wm_sim *sim, int64_t now_ms, bool outward, int contact,
                               const char *what, const char *title, const char *request, size_t len);
void wm_sim_log_end(struct wm_sim *sim, int64_t now_ms, struct sim_log *entry, int status, const char *answer,
                    size_t len);
struct sim_log *wm_sim_log_at(const struct wm_sim *sim, uint64_t seq);
void wm_sim_log_reset(struct wm_sim *sim);

/* view.c: what the page and tests are shown */
void wm_sim_show_contact(struct wm_sim *sim, int contact);
void wm_sim_show_message(struct wm_sim *sim, const struct sim_message *m);
void wm_sim_show_log(struct wm_sim *sim, const struct sim_log *entry);
void wm_sim_show_hooks(struct wm_sim *sim);
void wm_sim_show_faults(struct wm_sim *sim);
void wm_sim_show_state(struct wm_sim *sim);                           /* everything anew, after a reset */
json_t *wm_sim_state_json(const struct wm_sim *sim, size_t messages); /* new; the most recent messages */
json_t *wm_sim_sends_json(const struct wm_sim *sim, uint64_t after, size_t limit);

/* verbs.c: /sim/... ; page.c: the page's files */
void wm_sim_verb(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                 struct wm_sim_response *out);
bool wm_sim_page(const struct wm_sim_request *request, struct wm_sim_response *out); /* false: no such file */
bool wm_sim_host_ok(const struct wm_sim *sim, const struct wm_sim_request *request);

/* sim.c: answers */
void wm_sim_answer_json(struct wm_sim_response *out, int status, json_t *json); /* takes json; NULL: 500 */
void wm_sim_answer_error(struct wm_sim_response *out, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
