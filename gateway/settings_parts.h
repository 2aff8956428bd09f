/* settings_parts.h -- what the settings_*.c files say to each other. Nobody else includes it but their tests.
 *
 *   text --settings_tree.c--> tree with lines --settings_read.c--> structs, by the table in settings_schema.c,
 *                                                   |           with settings_values.c and files.c
 *                                                   '--> settings_rules.c: what the values mean together
 *
 * All of them report into one wm_findings_list; none stops at the first bad value.
 */
#ifndef WM_GATEWAY_SETTINGS_PARTS_H
#define WM_GATEWAY_SETTINGS_PARTS_H

#include "gateway/files.h"
#include "gateway/settings.h"

/* --- findings (settings_findings.c) --------------------------------------------------------------------------- */

enum { WM_FINDINGS_KEPT = 100 }; /* later ones are counted, not kept */

enum wm_severity { WM_FINDING_ERROR, WM_FINDING_WARNING };

struct wm_finding {
    int line; /* 0: of the whole file */
    int order;
    enum wm_severity severity;
    char *text;
};

struct wm_findings_list {
    struct wm_finding kept[WM_FINDINGS_KEPT];
    int n, errors, warnings;
    bool no_memory;
};

/* "what; what to do". Control characters become '?': the words may hold pieces of the file. */
void wm_finding_add(struct wm_findings_list *list, enum wm_severity severity, int line, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* Sorts by line, writes "FILE:LINE: error: ..." lines into `out`, and empties the list. */
enum wm_status wm_findings_print(struct wm_findings_list *list, const char *file, struct wm_findings *out);

/* --- YAML as a tree (settings_tree.c) ------------------------------------------------------------------------- */

enum { WM_TREE_DEPTH = 8, WM_TREE_NODES = 16384 };

enum wm_tree_kind { WM_TREE_SCALAR, WM_TREE_MAP, WM_TREE_LIST };

struct wm_tree {
    enum wm_tree_kind kind;
    int line;     /* where the value starts; of a map's entry, where its key stands. From 1 */
    bool quoted;  /* scalar in quotes or a block: never a null */
    char *key;    /* of a map's entry; else NULL */
    char *text;   /* scalar, no NUL inside */
    size_t count; /* children */
    struct wm_tree *first, *last, *next;
};

/* One document of YAML without aliases. *out is NULL for a file of comments only. On failure (WM_EFORMAT, WM_ELIMIT,
 * WM_ENOMEM) one finding says where and why. The tree is the caller's. */
enum wm_status wm_tree_parse(const char *text, size_t len, struct wm_tree **out,
                             struct wm_findings_list *findings);

/* The entry of a map, or NULL; `map` may be NULL or something else than a map. */
const struct wm_tree *wm_tree_find(const struct wm_tree *map, const char *key);

/* Nothing was written behind the colon, or ~ or null. */
bool wm_tree_is_null(const struct wm_tree *node);

/* Wipes (a settings file may hold secrets), then frees. NULL is fine. */
void wm_tree_free(struct wm_tree *tree);

/* --- values (settings_values.c): true, or `why` (WM_VALUE_WHY bytes) says what is wrong -------------------------- */

enum { WM_VALUE_WHY = WM_FILE_WHY };

bool wm_value_integer(const char *text, int64_t min, int64_t max, int64_t *out, char *why);
bool wm_value_number(const char *text, double min, double max, double *out, char *why);
bool wm_value_size(const char *text, int64_t min, int64_t max, int64_t *out,
                   char *why); /* 64KiB, 2GiB, 4096 */
bool wm_value_duration(const char *text, int64_t min_ms, int64_t max_ms, int64_t *out,
                       char *why); /* 1200ms, 8s, 5m, 24h */
bool wm_value_listen(const char *text, struct wm_settings_listen *out,
                     char *why);                                        /* out->address is malloc'd */
bool wm_value_name(const char *text, char *why);                        /* [a-z0-9-]{1,64} */
bool wm_value_choice(const char *text, const char *choices, char *why); /* choices: "a|b|c" */

/* 127.0.0.0/8, ::1 or localhost. */
bool wm_value_loopback(const char *address);

/* Edits (insert, delete, replace, swap neighbours) from a to b; only the first 64 bytes count. */
int wm_value_distance(const char *a, const char *b);

/* --- the table (settings_schema.c) ---------------------------------------------------------------------------- */

enum wm_row_kind {
    WM_ROW_TEXT,        /* char *: min..max bytes */
    WM_ROW_NAME,        /* char *: [a-z0-9-] */
    WM_ROW_PATH,        /* char *: seen from the settings file's folder */
    WM_ROW_CHOICE,      /* char *: one of `choices` */
    WM_ROW_URL,         /* char *: http(s), no slash at the end */
    WM_ROW_SIZE,        /* int64_t: bytes */
    WM_ROW_DURATION,    /* int64_t: ms */
    WM_ROW_INTEGER,     /* int64_t */
    WM_ROW_NUMBER,      /* double */
    WM_ROW_LISTEN,      /* struct wm_settings_listen */
    WM_ROW_SECRET,      /* char *[max]: the text or ${ENV_NAME}; one, or a list where max > 1 */
    WM_ROW_SECRET_FILE, /* the same from a file, last newline cut */
    WM_ROW_TEXTS,       /* char *[max] */
    WM_ROW_PATHS,       /* char *[max] */
    WM_ROW_SECTION,     /* a map of its own: `below`, from `offset` on */
    WM_ROW_BOTS,        /* a list of maps */
    WM_ROW_CHANNELS,
    WM_ROW_REFUSED /* known, but not in this version: `help` says so */
};

struct wm_schema;

struct wm_row {
    const char *key;
    enum wm_row_kind kind;
    size_t offset;        /* in wm_settings, or in the bot or channel that the row belongs to */
    int64_t min, max;     /* of the value, its bytes, or its entries */
    const char *fallback; /* the default, as it would be written; NULL: none */
    const char *choices;
    const struct wm_schema *below;
    const char *help; /* one line */
};

struct wm_schema {
    const struct wm_row *rows;
    size_t n;
};

extern const struct wm_schema wm_settings_schema; /* the top level */

/* What a value of that row looks like, for error texts and help: "a size as 64KiB or 2GiB". */
const char *wm_row_form(const struct wm_row *row);

/* --- reading (settings_read.c) -------------------------------------------------------------------------------- */

struct wm_settings_reader {
    struct wm_settings *s;
    const char *folder; /* relative paths are seen from here */
    struct wm_findings_list *findings;
    int inline_secret_line; /* of the first secret that stands in the file itself; 0: none */
};

/* Fills the fields of one section from `map`; NULL: only the defaults. `base` is what the rows' offsets count from. */
void wm_settings_read(struct wm_settings_reader *r, const struct wm_schema *schema, char *base,
                      const struct wm_tree *map);

/* --- rules (settings_rules.c) --------------------------------------------------------------------------------- */

/* What no single value can tell: unique names, what a platform needs, dangerous combinations, files on disk. `tree`
 * gives the lines; NULL for the built-in defaults. */
void wm_settings_rules(const struct wm_settings *s, const struct wm_tree *tree,
                       const struct wm_adapter *(*find)(const char *platform),
                       struct wm_findings_list *findings);

/* --- the loader without its file (settings.c), for tests and the fuzzer ------------------------------------------ */

/* As wm_settings_load, for `len` bytes of text that came from `file`, with paths seen from `folder`. `mode` holds the
 * file's permission bits. */
enum wm_status wm_settings_parse(const char *file, const char *folder, unsigned mode, const char *text,
                                 size_t len, const struct wm_adapter *(*find)(const char *platform),
                                 struct wm_settings **out, struct wm_findings *findings);

#endif
