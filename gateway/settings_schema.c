/* settings_schema.c -- every key there is: name, type, bounds, default, meaning. The one list.
 *
 * A new setting is a field in settings.h and a row here. Defaults are written as a person would write them and go
 * through the same reader, so that no default can be out of its own bounds.
 */
#include "gateway/settings_parts.h"

enum { MS = 1, SECOND = 1000 * MS, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define MIB ((int64_t)1 << 20)
#define TIB ((int64_t)1 << 40)

#define IN(member)         offsetof(struct wm_settings, member)
#define IN_BOT(member)     offsetof(struct wm_settings_bot, member)
#define IN_CHANNEL(member) offsetof(struct wm_settings_channel, member)
#define SCHEMA(table)                                                                                        \
    {                                                                                                        \
        (table), sizeof(table) / sizeof *(table)                                                             \
    }

/* One row, one or two lines: read it as a table. */
// clang-format off
static const struct wm_row tls_rows[] = {
    {.key = "certificate", .kind = WM_ROW_PATH, .offset = IN(tls_certificate), .max = 4096,
     .help = "PEM file with the certificate chain; SIGHUP reads it again"},
    {.key = "key", .kind = WM_ROW_PATH, .offset = IN(tls_key), .max = 4096,
     .help = "PEM file with the private key"},
};
static const struct wm_schema tls = SCHEMA(tls_rows);

static const struct wm_row admin_rows[] = {
    {.key = "listen", .kind = WM_ROW_LISTEN, .offset = IN(admin), .fallback = "127.0.0.1:8081",
     .help = "console, metrics and the admin interface"},
    {.key = "token_file", .kind = WM_ROW_SECRET_FILE, .offset = IN(admin_token), .max = 1,
     .help = "the bearer token of the admin interface; needed when it listens to more than this machine"},
};
static const struct wm_schema admin = SCHEMA(admin_rows);

/* The rows of a model, twice: at the top level with defaults, and of a bot, where the top level is the default. */
#define MODEL_ROWS(at, otherwise, path_help)                                                                 \
    {.key = "path", .kind = WM_ROW_PATH, .offset = at(model.path), .max = 4096, .help = path_help},          \
    {.key = "projector", .kind = WM_ROW_PATH, .offset = at(model.projector), .max = 4096,                    \
     .help = "GGUF file with the part that sees, where the model's file is without"},                        \
    {.key = "backend", .kind = WM_ROW_CHOICE, .offset = at(model.backend), .fallback = otherwise("auto"),    \
     .choices = "auto|cpu|cuda|reference",                                                                   \
     .help = "what computes; auto takes the fastest that is here"},                                          \
    {.key = "context", .kind = WM_ROW_INTEGER, .offset = at(model.context), .min = 256,                      \
     .max = 10 * 1024 * 1024, .fallback = otherwise("8192"),                                                 \
     .help = "longest conversation in tokens, cut to what the model can"},                                   \
    {.key = "threads", .kind = WM_ROW_INTEGER, .offset = at(model.threads), .min = 1, .max = 1024,           \
     .help = "threads that compute; default: one for each core we may use"},                                 \
    {.key = "chat_format", .kind = WM_ROW_CHOICE, .offset = at(model.chat_format),                           \
     .fallback = otherwise("auto"), .choices = "auto|chatml|llama3|llama4",                                  \
     .help = "how turns are written for the model; auto: as its files say"},                                 \
    {.key = "remote", .kind = WM_ROW_REFUSED,                                                                \
     .help = "a remote engine is not in this version; name a model file with model.path"}
#define GIVEN(text)  text
#define ABSENT(text) NULL

static const struct wm_row model_rows[] = {
    MODEL_ROWS(IN, GIVEN, "model file or folder; default: the small model that `sh gateway/demo.sh --build` fetches"),
};
static const struct wm_schema model = SCHEMA(model_rows);

static const struct wm_row kv_rows[] = {
    {.key = "device", .kind = WM_ROW_SIZE, .offset = IN(kv.device), .min = 16 * MIB, .max = 16 * TIB,
     .fallback = "2GiB", .help = "conversation memory where the model computes"},
    {.key = "host", .kind = WM_ROW_SIZE, .offset = IN(kv.host), .min = 0, .max = 64 * TIB, .fallback = "4GiB",
     .help = "conversation memory in the machine's own memory, behind the device"},
    {.key = "disk", .kind = WM_ROW_SIZE, .offset = IN(kv.disk), .min = 0, .max = 1024 * TIB,
     .fallback = "20GiB", .help = "conversation memory on disk, behind the host"},
};
static const struct wm_schema kv = SCHEMA(kv_rows);

static const struct wm_row delivery_rows[] = {
    {.key = "unknown_wait", .kind = WM_ROW_DURATION, .offset = IN(delivery.unknown_wait_ms), .min = 100 * MS,
     .max = 24 * HOUR, .fallback = "60s",
     .help = "how long to wait for a status before a send whose answer was lost is sent again"},
};
static const struct wm_schema delivery = SCHEMA(delivery_rows);

static const struct wm_row media_rows[] = {
    {.key = "max_bytes", .kind = WM_ROW_SIZE, .offset = IN(media.max_bytes), .min = 1024, .max = 32 * MIB,
     .fallback = "16MiB", .help = "a larger picture is not fetched"},
};
static const struct wm_schema media = SCHEMA(media_rows);

static const struct wm_row log_rows[] = {
    {.key = "level", .kind = WM_ROW_CHOICE, .offset = IN(log.level), .fallback = "info",
     .choices = "error|warn|info|debug", .help = "what is logged; debug may name contacts"},
    {.key = "format", .kind = WM_ROW_CHOICE, .offset = IN(log.format), .fallback = "text",
     .choices = "text|json", .help = "how a line looks"},
};
static const struct wm_schema log_schema = SCHEMA(log_rows);

static const struct wm_row bot_model_rows[] = {
    MODEL_ROWS(IN_BOT, ABSENT, "model file or folder of this bot; other keys that are not here: as under model:"),
};
static const struct wm_schema bot_model = SCHEMA(bot_model_rows);

static const struct wm_row bot_rows[] = {
    {.key = "name", .kind = WM_ROW_NAME, .offset = IN_BOT(name), .help = "what channels call it"},
    {.key = "system", .kind = WM_ROW_TEXT, .offset = IN_BOT(system), .min = 0,
     .max = WM_SETTINGS_SYSTEM_BYTES, .help = "the system prompt; default: the model's own"},
    {.key = "knowledge", .kind = WM_ROW_PATHS, .offset = IN_BOT(knowledge), .max = WM_SETTINGS_KNOWLEDGE,
     .help = "text files that the bot knows by heart"},
    {.key = "max_reply_tokens", .kind = WM_ROW_INTEGER, .offset = IN_BOT(max_reply_tokens), .min = 1,
     .max = 65536, .fallback = "512", .help = "a reply ends here at the latest"},
    {.key = "temperature", .kind = WM_ROW_NUMBER, .offset = IN_BOT(temperature), .min = 0, .max = 2,
     .fallback = "0.6", .help = "0: always the likeliest word"},
    {.key = "top_p", .kind = WM_ROW_NUMBER, .offset = IN_BOT(top_p), .min = 0, .max = 1, .fallback = "0.9",
     .help = "keep the likeliest words up to this sum; 0 or 1: off"},
    {.key = "min_p", .kind = WM_ROW_NUMBER, .offset = IN_BOT(min_p), .min = 0, .max = 1, .fallback = "0",
     .help = "drop words less likely than this share of the likeliest; 0: off"},
    {.key = "top_k", .kind = WM_ROW_INTEGER, .offset = IN_BOT(top_k), .min = 0, .max = 1000000,
     .fallback = "0", .help = "keep this many likeliest words; 0: off"},
    {.key = "seed", .kind = WM_ROW_INTEGER, .offset = IN_BOT(seed), .min = 0, .max = INT64_MAX,
     .fallback = "0", .help = "same seed and conversation, same reply"},
    {.key = "model", .kind = WM_ROW_SECTION, .below = &bot_model,
     .help = "what thinks for this bot; default: the one under model:"},
};
static const struct wm_schema bot = SCHEMA(bot_rows);

static const struct wm_row settle_rows[] = {
    {.key = "quiet", .kind = WM_ROW_DURATION, .offset = IN_CHANNEL(settle_quiet_ms), .min = 0, .max = HOUR,
     .fallback = "1200ms", .help = "a burst of messages is over after this silence ..."},
    {.key = "at_most", .kind = WM_ROW_DURATION, .offset = IN_CHANNEL(settle_at_most_ms), .min = 0,
     .max = HOUR, .fallback = "8s", .help = "... or this long after its first message"},
};
static const struct wm_schema settle = SCHEMA(settle_rows);

/* A secret stands in the file itself (better as ${ENV_NAME}) or in a file of its own. `least` bytes are demanded of what
 * we could have chosen badly ourselves: the key that all webhooks are signed with. Short tokens get a warning. */
#define SECRET_ROWS(name, member, least, count, text)                                                        \
    {.key = name, .kind = WM_ROW_SECRET, .offset = IN_CHANNEL(member), .min = (least), .max = (count),       \
     .help = text},                                                                                          \
    {                                                                                                        \
        .key = name "_file", .kind = WM_ROW_SECRET_FILE, .offset = IN_CHANNEL(member), .min = (least),       \
        .max = (count), .help = "the same from a file of its own, mode 0600"                                 \
    }

static const struct wm_row channel_rows[] = {
    {.key = "name", .kind = WM_ROW_NAME, .offset = IN_CHANNEL(name),
     .help = "its webhooks come to /webhooks/NAME"},
    {.key = "platform", .kind = WM_ROW_CHOICE, .offset = IN_CHANNEL(platform),
     .choices = "whatsapp|messenger|instagram|web|api", .help = "who speaks there"},
    {.key = "bot", .kind = WM_ROW_NAME, .offset = IN_CHANNEL(bot),
     .help = "who answers; default: the first bot"},
    SECRET_ROWS("app_secret", app_secrets, WM_SETTINGS_SECRET_MIN, WM_SETTINGS_SECRETS,
                "signs the webhooks; a list of several while it is being changed"),
    SECRET_ROWS("verify_token", verify_token, 1, 1, "our own word for the platform's first call"),
    SECRET_ROWS("access_token", access_token, 1, 1, "what we call the platform with"),
    SECRET_ROWS("key", key, 1, 1, "what callers of an api channel must bring"),
    {.key = "account", .kind = WM_ROW_TEXT, .offset = IN_CHANNEL(account), .min = 1, .max = 64,
     .help = "phone number id, page id or Instagram id"},
    {.key = "graph_url", .kind = WM_ROW_URL, .offset = IN_CHANNEL(graph_url), .max = 1024,
     .fallback = "https://graph.facebook.com/v25.0", .help = "where the platform is called"},
    {.key = "settle", .kind = WM_ROW_SECTION, .below = &settle, .help = "the burst window"},
    {.key = "origins", .kind = WM_ROW_TEXTS, .offset = IN_CHANNEL(origins), .min = 1,
     .max = WM_SETTINGS_ORIGINS, .help = "web pages that may hold the chat of a web channel"},
};
static const struct wm_schema channel = SCHEMA(channel_rows);

static const struct wm_row top_rows[] = {
    {.key = "data", .kind = WM_ROW_PATH, .offset = IN(data), .max = 4096, .fallback = WM_SETTINGS_DATA,
     .help = "the store, media, conversation memory: one folder to back up"},
    {.key = "listen", .kind = WM_ROW_LISTEN, .offset = IN(listen), .fallback = "127.0.0.1:8080",
     .help = "webhooks, the interface for programs, the web chat"},
    {.key = "tls", .kind = WM_ROW_SECTION, .below = &tls,
     .help = "https on `listen`; without it plain http"},
    {.key = "admin", .kind = WM_ROW_SECTION, .below = &admin, .help = "the operator's side"},
    {.key = "model", .kind = WM_ROW_SECTION, .below = &model, .help = "what answers"},
    {.key = "kv", .kind = WM_ROW_SECTION, .below = &kv, .help = "memory for conversations"},
    {.key = "delivery", .kind = WM_ROW_SECTION, .below = &delivery, .help = "sending replies"},
    {.key = "media", .kind = WM_ROW_SECTION, .below = &media, .help = "pictures that people send"},
    {.key = "log", .kind = WM_ROW_SECTION, .below = &log_schema, .help = "lines on standard error"},
    {.key = "bots", .kind = WM_ROW_BOTS, .max = WM_SETTINGS_BOTS, .below = &bot,
     .help = "who answers; default: one named `default`"},
    {.key = "channels", .kind = WM_ROW_CHANNELS, .max = WM_SETTINGS_CHANNELS, .below = &channel,
     .help = "where people write"},
};
const struct wm_schema wm_settings_schema = SCHEMA(top_rows);
// clang-format on

const char *wm_row_form(const struct wm_row *row)
{
    switch (row->kind) {
    case WM_ROW_TEXT:
        return "a text";
    case WM_ROW_NAME:
        return "a name of 1 to 64 of a-z, 0-9 and -";
    case WM_ROW_PATH:
        return "a path";
    case WM_ROW_CHOICE:
        return row->choices;
    case WM_ROW_URL:
        return "a URL as https://HOST/PATH";
    case WM_ROW_SIZE:
        return "a size as 4096, 64KiB, 512MiB or 2GiB";
    case WM_ROW_DURATION:
        return "a duration as 1200ms, 8s, 5m or 24h";
    case WM_ROW_INTEGER:
        return "a whole number";
    case WM_ROW_NUMBER:
        return "a number as 0.7";
    case WM_ROW_LISTEN:
        return "an address and port as 127.0.0.1:8080 or [::1]:8080";
    case WM_ROW_SECRET:
        return row->max > 1 ? "a secret as ${ENV_NAME}, or a list of them" : "a secret as ${ENV_NAME}";
    case WM_ROW_SECRET_FILE:
        return row->max > 1 ? "the path of a file that holds it, or a list of them"
                            : "the path of a file that holds it";
    case WM_ROW_TEXTS:
        return "a list of texts as [one, two]";
    case WM_ROW_PATHS:
        return "a list of paths as [one.md, two.md]";
    case WM_ROW_SECTION:
        return "a map of its own keys";
    case WM_ROW_BOTS:
    case WM_ROW_CHANNELS:
        return "a list whose entries begin with - name: NAME";
    case WM_ROW_REFUSED:
        break;
    }
    return "not in this version";
}

/* Keys with a default stand as they are, the others behind a #: the whole is a valid file that changes nothing. */
static void describe(const struct wm_schema *schema, int indent, bool comment, bool item,
                     struct wm_buffer *out)
{
    enum { HELP_COLUMN = 46 };
    for (size_t i = 0; i < schema->n; i++) {
        const struct wm_row *row = &schema->rows[i];
        if (row->kind == WM_ROW_REFUSED)
            continue;
        bool list = row->kind == WM_ROW_BOTS || row->kind == WM_ROW_CHANNELS;
        bool off = comment || (!row->fallback && (!row->below || list));
        size_t start = out->len;
        const char *dash = !item ? "" : i == 0 ? "- " : "  ";
        wm_buffer_printf(out, "%s%*s%s%s:", off ? "# " : "", indent, "", dash, row->key);
        if (row->fallback || !row->below)
            wm_buffer_printf(out, " %s", row->fallback ? row->fallback : wm_row_form(row));
        int used = (int)(out->len - start);
        wm_buffer_printf(out, "%*s # %s\n", used < HELP_COLUMN ? HELP_COLUMN - used : 0, "", row->help);
        if (row->below)
            describe(row->below, indent + (item ? 4 : 2), off, list, out);
    }
}

enum wm_status wm_settings_describe(struct wm_buffer *out)
{
    describe(&wm_settings_schema, 0, false, false, out);
    return out->failed ? WM_ENOMEM : WM_OK;
}
