/* serve_config: options from a file and from the environment, as arguments of the command line.
 *
 * The file is JSON (an object) or the part of YAML that vLLM's --config uses: one "name: value" a line, comments, and
 * lists as [a, b] or as lines that begin with "- ". Names are those of the options, with - or _. true and false set and
 * clear flags; of a list every item is given. */
#ifndef CMD_SERVE_CONFIG_H
#define CMD_SERVE_CONFIG_H

#include "base/arena.h"
#include "cmd/arguments.h"

/* Words as in argv, allocated in the arena. */
struct serve_words {
    char **words;
    size_t n, capacity;
};
void serve_words_deinit(struct serve_words *);

/* `source` names the text in messages. STATUS_FORMAT with the line; STATUS_INVALID for a name that is no option. */
status serve_config_parse(struct str text, const char *source, const struct command *,
                          struct arena *, struct serve_words *out, struct error *err);
/* TWLLM_MAX_MODEL_LEN=4096 -> --max-model-len=4096, for every option of the command. `lookup` is getenv. */
status serve_config_environment(char *(*lookup)(const char *), const struct command *,
                                struct arena *, struct serve_words *out, struct error *err);

#endif
