/* command.h -- the commands of `wingman`: one table (main.c), one file each (cmd_*.c). */
#ifndef WM_GATEWAY_COMMAND_H
#define WM_GATEWAY_COMMAND_H

enum { WM_EXIT_OK = 0, WM_EXIT_FAILED = 1, WM_EXIT_MISUSED = 2 };

/* name, arguments, what it does: the help text is printed from this list */
#define WM_COMMANDS(X)                                                                                       \
    X(serve, "[-c FILE]", "the gateway; without -c the built-in defaults, loopback only")                    \
    X(demo, "[--port N] [--data DIR] [--model FILE]",                                                        \
      "gateway and simulator on loopback with the small model; prints the address of a page to chat from")   \
    X(sim, "[options]", "the simulator alone: Meta's side of WhatsApp, with faults on request")              \
    X(check, "[-c FILE] [--keys]",                                                                           \
      "checks the settings without running; warns of dangerous ones; --keys lists every key")                \
    X(chat, "MODEL", "a conversation in the terminal")                                                       \
    X(model, "info|verify MODEL [--projector F]",                                                            \
      "what a model file or folder holds and takes; whether it is whole")                                    \
    X(plan, "MODEL [--gpu NAME:COUNT] [--kv bf16] [--context N]",                                            \
      "what scout, maverick, behemoth or a config.json would take, and how fast GPUs could run it")          \
    X(score, "MODEL [options]", "logits and greedy text for exactness: JSON in, JSON out")                   \
    X(tokenize, "MODEL", "JSON lines in ({\"text\"} or {\"messages\"}), JSON lines out ({\"ids\"})")         \
    X(vision, "MODEL PICTURE [options]", "how a model sees a picture: tiles, tokens, pixels, embeddings")    \
    X(bench, "MODEL [options]", "prefill and batched decode speed, with the share of this machine's peak")   \
    X(events, "[-c FILE | --data DIR] [options]", "the events in the store, while the daemon runs or not")

/* argv[0] is the command's name. Returns the exit code. */
#define X(id, arguments, help) int wm_cmd_##id(int argc, char **argv);
WM_COMMANDS(X)
#undef X

#endif
