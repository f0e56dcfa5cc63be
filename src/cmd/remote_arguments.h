/* remote_arguments: the options by which a command asks a model behind an API. */
#ifndef CMD_REMOTE_ARGUMENTS_H
#define CMD_REMOTE_ARGUMENTS_H

#include "cmd/arguments.h"
#include "cmd/commands.h"
#include "eval/remote.h"

struct remote_arguments {
    const char *url, *api, *tokenizer, *logprobs, *ca_file;
    int64_t parallel, tries, timeout, top;
    double requests_per_minute, tokens_per_minute, price_in, price_out, max_cost;
    bool only_estimate;
};

enum { REMOTE_ARGUMENTS = 15 };
/* Puts the defaults into the structure and its options into `out`. */
struct argument_group remote_arguments_group(struct remote_arguments *,
                                             struct argument out[REMOTE_ARGUMENTS]);

/* For the run; the key comes from the environment. STATUS_INVALID for a bad address, without a model's name, or where
 * the key would travel unencrypted to another machine. `option`: by which the model is named, "model" or
 * "judge-model". */
status remote_arguments_options(const struct remote_arguments *, const char *model,
                                const char *option, const struct environment *,
                                struct remote_options *out, struct error *err);

/* Says on standard error what the questions will take. *leave: nothing is to be asked. STATUS_LIMIT when it may cost
 * more than --max-cost. */
status remote_arguments_announce(const struct remote_arguments *, const struct remote_options *,
                                 struct remote_question *const *, size_t count, bool *leave,
                                 struct error *err);

#endif
