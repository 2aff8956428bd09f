/* cmd_chat.c -- `wingman chat MODEL`: a conversation in the terminal, or through pipes (one line, one message).
 *
 * The engine is the same as behind the gateway: the conversation is one owner, so every turn finds the earlier ones
 * in the cache. Ctrl-C ends a reply that is being written, or the program at the prompt; /image FILE puts a picture
 * before the next message,
 * /reset starts anew, /quit leaves.
 */
#include <errno.h>
#include <getopt.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "gateway/command.h"

enum { OWNER = 1, DEFAULT_REPLY = 512, MAX_PICTURES = 64 };

struct chat {
    struct wm_engine *engine;
    const char *model, *projector, *chat_format, *backend, *system;
    int threads, max_tokens;
    struct wm_sampling sampling;
    bool terminal;
    struct wm_tokens history; /* all that was said, as tokens */
    struct wm_picture pictures
        [MAX_PICTURES]; /* those in the history, then those for the next message; their paths are ours */
    size_t n_pictures, n_said;
    /* of the reply being written; the engine thread fills these until `ended` is posted */
    struct wm_tokens reply;
    struct wm_usage usage;
    enum wm_finish finish;
    atomic_bool over;
};

static sem_t ended; /* posted by the last event and by Ctrl-C: a signal handler may do no more */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
    sem_post(&ended);
}

static const char usage[] =
    "usage: wingman chat MODEL [--projector FILE] [--chat-format NAME] [--backend auto|cpu|reference]\n"
    "                    [--threads N] [--system TEXT] [--max-tokens N] [--temperature T] [--top-p P] "
    "[--seed N]\n";

static int read_options(int argc, char **argv, struct chat *c)
{
    static const struct option longs[] = {
        {"backend", required_argument, NULL, 'b'},     {"threads", required_argument, NULL, 't'},
        {"system", required_argument, NULL, 's'},      {"max-tokens", required_argument, NULL, 'm'},
        {"temperature", required_argument, NULL, 'T'}, {"top-p", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 'S'},        {"projector", required_argument, NULL, 'j'},
        {"chat-format", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0},
    };
    int option, bad = 0;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        char *end = NULL;
        switch (option) {
        case 'b':
            c->backend = optarg;
            continue;
        case 's':
            c->system = optarg;
            continue;
        case 'j':
            c->projector = optarg;
            continue;
        case 'f':
            c->chat_format = optarg;
            continue;
        case 't':
            c->threads = (int)strtol(optarg, &end, 10);
            break;
        case 'm':
            c->max_tokens = (int)strtol(optarg, &end, 10);
            break;
        case 'T':
            c->sampling.temperature = strtof(optarg, &end);
            break;
        case 'p':
            c->sampling.top_p = strtof(optarg, &end);
            break;
        case 'S':
            c->sampling.seed = strtoull(optarg, &end, 10);
            break;
        default:
            return -1;
        }
        bad |= end == optarg || *end;
    }
    if (bad || optind + 1 != argc || c->max_tokens < 1)
        return -1;
    c->model = argv[optind];
    return 0;
}

/* Engine thread. */
static void on_event(void *arg, const struct wm_generated *g)
{
    struct chat *c = arg;
    fwrite(g->text, 1, g->text_len, stdout);
    fflush(stdout);
    (void)wm_tokens_add(&c->reply, g->ids,
                        g->n_ids); /* without memory the history lacks it: the next turn differs */
    if (g->finish == WM_FINISH_NONE)
        return;
    if (g->finish == WM_FINISH_ERROR)
        fprintf(stderr, "\nwingman chat: %s\n", g->error->text);
    c->usage = g->usage;
    c->finish = g->finish;
    atomic_store(&c->over, true);
    sem_post(&ended);
}

static void drop_pictures(struct chat *c)
{
    while (c->n_pictures > 0)
        free((char *)c->pictures[--c->n_pictures].path);
    c->n_said = 0;
}

/* The picture stands before the next message. What is wrong with it is told, and the conversation goes on. */
static void add_picture(struct chat *c, const char *path)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_picture *p = &c->pictures[c->n_pictures];
    if (c->n_pictures == MAX_PICTURES) {
        fprintf(stderr, "wingman chat: a conversation has at most %d pictures: /reset starts anew\n",
                MAX_PICTURES);
        return;
    }
    char *own = strdup(path);
    if (!own || wm_engine_look(c->engine, own, p, &err) != WM_OK) {
        fprintf(stderr, "wingman chat: %s\n", own ? err.text : "no memory for a picture");
        free(own);
        return;
    }
    p->path = own;
    c->n_pictures++;
    if (c->terminal)
        printf("\033[2m%s: %d x %d tiles, before your next message\033[0m\n", path, p->rows, p->cols);
}

static enum wm_status begin(struct chat *c, struct wm_error *err)
{
    c->history.n = 0;
    drop_pictures(c);
    if (!c->system)
        return wm_engine_render(c->engine, NULL, 0, true, false, &c->history, err);
    struct wm_chat_message system = {.role = WM_ROLE_SYSTEM, .text = c->system, .len = strlen(c->system)};
    return wm_engine_render(c->engine, &system, 1, true, false, &c->history, err);
}

/* Writes the reply to what the history ends with; it is in the history afterwards. */
static enum wm_status reply(struct chat *c, struct wm_error *err)
{
    uint64_t request;
    size_t room = (size_t)wm_engine_info(c->engine)->context - c->history.n;
    c->reply.n = 0;
    atomic_store(&c->over, false);
    interrupted = 0;
    enum wm_status st = wm_engine_submit(
        c->engine,
        &(struct wm_generate){.owner = OWNER,
                              .prompt = c->history.ids,
                              .prompt_len = c->history.n,
                              .pictures = c->pictures,
                              .n_pictures = c->n_said,
                              .max_tokens = room < (size_t)c->max_tokens ? (int32_t)room : c->max_tokens,
                              .sampling = c->sampling,
                              .event = on_event,
                              .arg = c},
        &request, err);
    if (st != WM_OK)
        return st;
    c->sampling.seed++; /* another reply, another series of numbers */
    while (!atomic_load(&c->over)) {
        while (sem_wait(&ended) != 0 && errno == EINTR) {
        }
        if (interrupted)
            wm_engine_cancel(c->engine, request);
    }
    st = wm_tokens_add(&c->history, c->reply.ids, c->reply.n);
    if (st == WM_OK)
        st = wm_engine_close_reply(c->engine, &c->history, err);
    printf("\n");
    if (c->terminal)
        printf("\033[2m%s%d tokens, %d of %d in the cache, the first after %d ms\033[0m\n\n",
               c->finish == WM_FINISH_CANCELED ? "stopped: "
               : c->finish == WM_FINISH_LENGTH ? "cut: "
                                               : "",
               c->usage.completion_tokens, c->usage.cached_tokens, c->usage.prompt_tokens,
               c->usage.first_token_ms);
    fflush(stdout);
    return st;
}

static enum wm_status say(struct chat *c, const char *line, size_t len, struct wm_error *err)
{
    size_t before = c->history.n, n = c->n_pictures - c->n_said;
    struct wm_chat_picture pictures[MAX_PICTURES];
    struct wm_chat_message message = {
        .role = WM_ROLE_USER, .text = line, .len = len, .pictures = pictures, .n_pictures = n};
    for (size_t i = 0; i < n; i++)
        pictures[i] = (struct wm_chat_picture){.picture = &c->pictures[c->n_said + i]};
    enum wm_status st = wm_engine_render(c->engine, &message, 1, false, true, &c->history, err);
    if (st == WM_OK && c->history.n >= (size_t)wm_engine_info(c->engine)->context) {
        c->history.n = before;
        fprintf(stderr, "wingman chat: the context of %d tokens is full: /reset starts anew\n",
                wm_engine_info(c->engine)->context);
        return WM_OK;
    }
    c->n_said = c->n_pictures;
    return st == WM_OK ? reply(c, err) : st;
}

/* Reads lines until the end, /quit, or Ctrl-C at the prompt. */
static enum wm_status converse(struct chat *c, struct wm_error *err)
{
    static const char image[] = "/image";
    char *line = NULL;
    size_t room = 0;
    enum wm_status st = begin(c, err);
    while (st == WM_OK) {
        if (c->terminal) {
            printf("> ");
            fflush(stdout);
        }
        ssize_t len = getline(&line, &room, stdin);
        if (len < 0)
            break;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            line[--len] = '\0';
        if (strcmp(line, "/quit") == 0)
            break;
        if (strcmp(line, "/reset") == 0)
            st = begin(c, err);
        else if (strncmp(line, image, sizeof image - 1) == 0)
            add_picture(c, line + sizeof image - 1 + strspn(line + sizeof image - 1, " \t"));
        else if (len > 0)
            st = say(c, line, (size_t)len, err);
    }
    if (c->terminal)
        printf("\n");
    free(line);
    return st;
}

static void show_progress(void *arg, int percent)
{
    (void)arg;
    fprintf(stderr, "\rloading %3d%%%s", percent, percent == 100 ? "\r             \r" : "");
}

int wm_cmd_chat(int argc, char **argv)
{
    struct chat c = {.backend = "auto", .max_tokens = DEFAULT_REPLY, .terminal = isatty(0) && isatty(1)};
    if (read_options(argc, argv, &c) != 0) {
        fputs(usage, stderr);
        return WM_EXIT_MISUSED;
    }
    struct wm_error err = WM_ERROR_INIT;
    sem_init(&ended, 0, 0);
    enum wm_status st = wm_engine_open(&(struct wm_engine_options){.model = c.model,
                                                                   .projector = c.projector,
                                                                   .chat_format = c.chat_format,
                                                                   .backend = c.backend,
                                                                   .threads = c.threads},
                                       c.terminal ? show_progress : NULL, NULL, &c.engine, &err);
    if (st == WM_OK) {
        struct sigaction action = {.sa_handler =
                                       on_interrupt}; /* no SA_RESTART: Ctrl-C ends the wait for a line */
        sigaction(SIGINT, &action, NULL);
        if (c.terminal)
            printf("%s on %s. %s/reset starts anew, /quit leaves, Ctrl-C stops a reply.\n",
                   wm_engine_info(c.engine)->name, wm_engine_info(c.engine)->backend,
                   wm_engine_info(c.engine)->sees_pictures ? "/image FILE adds a picture, " : "");
        st = converse(&c, &err);
    }
    if (st != WM_OK)
        fprintf(stderr, "wingman chat: %s\n", err.text);
    wm_engine_close(c.engine);
    drop_pictures(&c);
    wm_tokens_free(&c.history);
    wm_tokens_free(&c.reply);
    sem_destroy(&ended);
    return st == WM_OK ? WM_EXIT_OK : WM_EXIT_FAILED;
}
