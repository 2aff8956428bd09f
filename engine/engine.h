/* engine.h -- a model that answers many conversations at once.
 *
 * One thread of its own runs the batch loop and owns the model, the KV blocks and the running sequences;
 * everything here may be called from any thread unless said otherwise. The contract is also meant for an
 * engine on another machine, so it says nothing of weights or blocks.
 *
 * Residency is a matter of cost, never of correctness: every request brings its whole token list, the engine
 * reuses what it still holds of the longest equal prefix of that owner and computes the rest.
 */
#ifndef WM_ENGINE_ENGINE_H
#define WM_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/tokens.h"
#include "kernels/base/error.h"

struct wm_engine;

struct wm_engine_options {
    const char *model;     /* a GGUF file, or a folder as Hugging Face has them */
    const char *projector; /* a GGUF file with the vision tower of a GGUF model; NULL: none beside `model` */
    const char *backend;   /* "auto", "cpu", "reference" */
    const char *chat_format; /* "chatml", "llama3", "llama4"; NULL or "auto": as the model's files say */
    int threads;             /* 0: as many as the machine has cores, at most 8 */
    int context;     /* tokens a conversation may hold; 0: 8192, cut to what the model was trained for */
    size_t kv_bytes; /* ceiling of the KV cache; 0: 2 GiB */
    int max_running; /* sequences in one step; 0: 64 */
    int max_queued;  /* requests waiting beyond those; 0: 4096 */
    int step_rows;   /* token budget of one step: decodes plus prefill slices; 0: 256 */
};

/* Maps the file, packs the weights, starts the thread. `progress` (may be NULL) is called with 0..100 on the
 * calling thread. A malformed file is one sentence and WM_EFORMAT. */
enum wm_status wm_engine_open(const struct wm_engine_options *options,
                              void (*progress)(void *arg, int percent), void *arg, struct wm_engine **out,
                              struct wm_error *err);

/* Cancels what runs (each request gets its last event), joins the thread, frees. NULL is fine. */
void wm_engine_close(struct wm_engine *e);

struct wm_engine_info {
    const char *name;         /* of the model, from its file */
    const char *architecture; /* "llama", "llama4" */
    const char *backend;      /* one line, as wm_ops.describe */
    const char
        *fingerprint; /* hex; changes with the model, its tokenizer and the chat format: token lists and
                                 KV made under another fingerprint are not comparable */
    int context;      /* tokens */
    int vocabulary;
    bool sees_pictures;
};

/* Borrowed, valid until close. */
const struct wm_engine_info *wm_engine_info(const struct wm_engine *e);

/* --- chat to tokens ------------------------------------------------------------------------------------- */

enum { WM_PICTURE_HASH = 32 };

/* A picture that the engine has looked at once. The file stays where it is for as long as a prompt may name
 * it. */
struct wm_picture {
    uint8_t hash[WM_PICTURE_HASH]; /* SHA-256 of the file's bytes: its name in every cache */
    int32_t rows, cols;            /* the grid of tiles that it is cut into */
    const char *path;              /* borrowed */
};

/* Reads, decodes and checks a picture file and fills `out`, which borrows `path`. WM_EFORMAT: damaged or of
 * no known kind; WM_ELIMIT: too large; WM_EUNSUPPORTED: the model does not see. Takes up to some hundred
 * milliseconds; any thread that nobody waits for. */
enum wm_status wm_engine_look(const struct wm_engine *e, const char *path, struct wm_picture *out,
                              struct wm_error *err);

enum wm_role {
    WM_ROLE_SYSTEM,
    WM_ROLE_USER,
    WM_ROLE_ASSISTANT,
    WM_ROLE_TOOL /* what a tool that the model called has answered */
};

/* A picture within a message: it stands before the text's byte `at`. Without a picture it is a joint only:
 * what stands before and behind it are two texts, tokenized apart. */
struct wm_chat_picture {
    size_t at;
    const struct wm_picture *picture; /* NULL: a joint */
};

struct wm_chat_message {
    enum wm_role role;
    const char *text; /* UTF-8; never becomes control tokens, whatever it spells */
    size_t len;
    const struct wm_chat_picture *pictures; /* by rising `at`; only of a user */
    size_t n_pictures;
    bool calls; /* an assistant's text is calls of tools: their answers follow (tool_calls.h) */
};

/* Appends what the model's chat format says for these messages. The pieces concatenate: rendering a list
 * equals rendering its messages one by one (`first` on the first call only), so a transcript's token list may
 * be kept and continued. `first`: the format's head, with its default system message when messages[0] is not
 * one. `open_reply`: the header behind which the model writes its answer. */
enum wm_status wm_engine_render(const struct wm_engine *e, const struct wm_chat_message *messages, size_t n,
                                bool first, bool open_reply, struct wm_tokens *out, struct wm_error *err);

/* Appends what closes a generated reply (its end token and what the format puts behind it), so that the next
 * message may follow. The reply's own tokens come from the generate events, end token not included. */
enum wm_status wm_engine_close_reply(const struct wm_engine *e, struct wm_tokens *out, struct wm_error *err);

/* --- generation ----------------------------------------------------------------------------------------- */

struct wm_sampling {
    float temperature; /* 0: greedy */
    float top_p;       /* 0 or 1: off */
    float min_p;       /* 0: off */
    int32_t top_k;     /* 0: off */
    uint64_t seed;     /* same seed, prompt and face: same tokens, whoever else is in the batch */
};

enum wm_priority {
    WM_PRIORITY_STREAM, /* somebody watches the tokens appear */
    WM_PRIORITY_MESSAGE /* only the whole answer counts */
};

enum wm_finish { WM_FINISH_NONE, WM_FINISH_STOP, WM_FINISH_LENGTH, WM_FINISH_CANCELED, WM_FINISH_ERROR };

struct wm_usage {
    int32_t prompt_tokens;
    int32_t cached_tokens; /* of the prompt, found in the cache */
    int32_t completion_tokens;
    int32_t first_token_ms; /* from submit to the first token; -1 without one */
};

/* One call per step that gave this request something, and one last with finish != NONE. */
struct wm_generated {
    uint64_t request;
    const int32_t *ids; /* new tokens of the reply, stop token not included; borrowed */
    size_t n_ids;
    const char *text; /* their text as far as it is whole UTF-8 (the last call flushes); borrowed */
    size_t text_len;
    enum wm_finish finish;
    struct wm_usage usage;        /* valid with finish */
    const struct wm_error *error; /* with WM_FINISH_ERROR */
};

struct wm_generate {
    uint64_t owner;        /* conversation whose cache this is; 0: nobody's, nothing is kept */
    const int32_t *prompt; /* copied */
    size_t prompt_len;     /* >= 1; with max_tokens it may not pass the context: WM_ELIMIT */
    /* The pictures whose slots the prompt holds, in order; copied, paths too. More or fewer slots than they
     * fill: WM_EINVAL. */
    const struct wm_picture *pictures;
    size_t n_pictures;
    int32_t max_tokens; /* 0: only prefill, to have it ready */
    struct wm_sampling sampling;
    bool ignore_eos; /* stop tokens are ordinary tokens */
    enum wm_priority priority;
    /* Engine thread; must not block and must not call wm_engine_close. Required. */
    void (*event)(void *arg, const struct wm_generated *g);
    void *arg;
};

/* Queues. WM_EAGAIN: the queue is full. WM_ELIMIT: too long for the context. On WM_OK the last event comes
 * for certain, and *request names it. Two requests of one owner run one after the other. */
enum wm_status wm_engine_submit(struct wm_engine *e, const struct wm_generate *g, uint64_t *request,
                                struct wm_error *err);

/* Takes effect at the next step; the last event says WM_FINISH_CANCELED. Unknown or finished: nothing. */
void wm_engine_cancel(struct wm_engine *e, uint64_t request);

/* Drops what the cache holds of that owner (erased, or past its service window). */
void wm_engine_forget(struct wm_engine *e, uint64_t owner);

/* --- what it is doing ----------------------------------------------------------------------------------- */

struct wm_kv_bytes {
    uint64_t device, host, disk;
};

/* KV bytes held for that owner now. */
struct wm_kv_bytes wm_engine_kv_of(struct wm_engine *e, uint64_t owner);

/* Of the layers that see the whole history, or of those that see the current chunk only. */
struct wm_kv_stats {
    uint64_t used_bytes, total_bytes;
};

struct wm_engine_stats {
    uint64_t steps, prompt_tokens, cached_tokens, computed_tokens, completion_tokens;
    uint64_t requests, finished, canceled, failed;
    uint32_t running, queued;
    uint64_t kv_used_bytes, kv_total_bytes, weight_bytes;
    struct wm_kv_stats kv_global, kv_local; /* both together are the two above */
    uint64_t evicted_blocks;                /* to make room */
    uint64_t ended_blocks;                  /* freed because their chunk had ended */
    uint64_t pictures_encoded, pictures_reused;
    uint64_t picture_bytes; /* of rows kept */
};

/* A consistent copy. */
void wm_engine_stats(struct wm_engine *e, struct wm_engine_stats *out);

#endif
