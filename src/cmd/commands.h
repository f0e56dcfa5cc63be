/* commands: the subcommands of twllm. Each takes the arguments behind its name and returns what the
 * program exits with; err holds the message when that is not STATUS_OK. */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#include "base/status.h"
#include "cmd/arguments.h"

/* X(name, summary) in the order of the help text. */
#define COMMANDS_LIST(X)                                                                           \
    X(chat, CHAT_SUMMARY)                                                                          \
    X(generate, GENERATE_SUMMARY)                                                                  \
    X(serve, SERVE_SUMMARY)                                                                        \
    X(tokenize, TOKENIZE_SUMMARY)                                                                  \
    X(detokenize, DETOKENIZE_SUMMARY)                                                              \
    X(template, TEMPLATE_SUMMARY)                                                                  \
    X(inspect, INSPECT_SUMMARY)                                                                    \
    X(convert, CONVERT_SUMMARY)                                                                    \
    X(quantize, QUANTIZE_SUMMARY)                                                                  \
    X(imatrix, IMATRIX_SUMMARY)                                                                    \
    X(perplexity, PERPLEXITY_SUMMARY)                                                              \
    X(bench, BENCH_SUMMARY)                                                                        \
    X(eval, EVAL_SUMMARY)                                                                          \
    X(pull, PULL_SUMMARY)                                                                          \
    X(list, LIST_SUMMARY)                                                                          \
    X(rm, RM_SUMMARY)

/* What the program took from its environment; nothing else reads it. Entries may be NULL. */
struct environment {
    const char *term, *home, *hf_home, *hf_hub_cache;
    const char *xdg_cache_home, *xdg_state_home, *xdg_config_home;
    char *(*lookup)(const char *name); /* getenv, for options that are TWLLM_... there */
};

#define X(name, summary)                                                                           \
    status command_##name(int argc, char *const *argv, const struct environment *, struct error *);
COMMANDS_LIST(X)
#undef X

/* Parses, or prints the help text. *done is set when nothing is left to do. */
status command_begin(struct arguments *, const struct command *, int argc, char *const *argv,
                     bool *done, struct error *);

#endif
