/* sim_world.h -- the simulator with a gateway's place beside it: what it posts is kept until a test answers, and time
 * passes when a test says so. For the sim_*_test.c files.
 */
#ifndef WM_TESTS_SIM_WORLD_H
#define WM_TESTS_SIM_WORLD_H

#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "adapters/sim/sim.h"

enum { POSTS_MAX = 4096 };

#define WORLD_BEGIN        1767225600000 /* Unix ms */
#define WORLD_SECRET       "0123456789abcdef0123456789abcdef"
#define WORLD_TOKEN        "EAATESTTOKEN1234567890"
#define WORLD_VERIFY_TOKEN "verify/token&more=1+2%3"
#define WORLD_ACCOUNT      "100000000000001"
#define WORLD_PHONE        "15550100001"

struct posted {
    uint64_t ticket;
    struct wm_http_call *call;
    int64_t at_ms;
    bool answered;
};

/* The gateway's place: keeps what is posted until a test answers. */
struct world {
    struct wm_sim *sim;
    int64_t now;
    struct posted posts[POSTS_MAX];
    int n_posts;
    int published;
    struct wm_sim_response last;
};

struct wm_sim_options options_of(struct world *w); /* usable ones; strings are static */
struct world *world_new(double time_scale);
struct world *verified_world(double time_scale); /* the handshake is done; its posts begin at 1 */
void world_free(struct world *w);

/* --- the gateway's side --- */
void answer(struct world *w, int i, int status); /* to post i */
void answer_body(struct world *w, int i, int status, const char *body);
void answer_all(struct world *w);       /* 200 to everything that is open, until nothing is */
void pass(struct world *w, int64_t ms); /* time passes; everything is acknowledged at once */
void challenge_of(const struct world *w, int i, char out[32]);
const char *header_of(const struct wm_http_call *call, const char *name); /* "Name: "; NULL: none */
bool signed_rightly(const struct wm_http_call *call);
json_t *value_of(const struct world *w, int i); /* of the first change in post i; new */
void assert_text(const struct world *w, int i, const char *want);

/* --- requests: the status; the answer stays in w->last --- */
int request(struct world *w, const struct wm_sim_request *r);
int verb(struct world *w, const char *path, const char *body);
int get(struct world *w, const char *path, const char *query);
int graph(struct world *w, const char *body);                /* POST .../messages with the right token */
extern const char *const send_hello;                         /* such a body, with reference job-1 */
char *send_body(const char *piece, int pieces, int ref_len); /* a text of so many pieces; malloc'd */
json_t *last_json(const struct world *w);                    /* new */
int last_code(const struct world *w);                        /* Graph's error code */
void write_and_acknowledge(struct world *w);                 /* a person writes; the window is open */

/* --- what the simulator shows --- */
int sends_with(struct world *w, const char *ref);
void assert_mark(struct world *w, const char *from,
                 const char *want); /* of the latest from "person" or "business" */
bool typing_shows(struct world *w); /* to the first contact */

#endif
