/* prompt: conversations and texts become token ids. */
#ifndef SERVE_PROMPT_H
#define SERVE_PROMPT_H

#include "serve/job.h"

struct prompt {
    token_id *ids; /* in the job's arena */
    size_t n_ids;
    struct str text;             /* what was tokenised; empty when ids were given */
    int64_t n_truncated;         /* tokens that truncate_prompt_tokens left out */
    uint32_t n_dropped_messages; /* by truncation "auto" */
};

/* OpenAI's messages in the form that chat templates expect: content as one string, arguments of tool calls as
 * objects. A default system message is put in front if there is none. Everything is checked; names the place in the
 * refusal ("messages[2].content[0].type"). */
status prompt_normalise_messages(struct job *, const struct json *messages,
                                 const struct json **out);

/* Renders and tokenises job->asked's conversation (`messages` normalised). */
status prompt_of_conversation(struct job *, const struct json *messages, struct prompt *);
/* The text the template makes; appended. */
status prompt_render(struct job *, const struct json *messages, struct strbuf *out);

/* Plain text, begun with BOS when the checkpoint's post-processor does so. */
status prompt_of_text(struct job *, struct str text, bool add_special_tokens, struct prompt *);
/* Ids as they are; each must be below the vocabulary's size. `param` names them. */
status prompt_of_ids(struct job *, const struct json *ids, const char *param, struct prompt *);

/* One prompt or a list of them, each text or ids, as /v1/completions takes them; add_special_tokens counts for texts. */
status prompt_read_list(struct job *, const struct json *given, const char *param,
                        struct prompt **out, int32_t *n);

/* truncate_prompt_tokens, and the refusal of what does not fit with `max_new` tokens (0: at least one). */
status prompt_fit(struct job *, struct prompt *, int32_t max_new, const char *what);

/* ---- JSON trees in the arena; NULL or false when memory ran out ---- */
struct json *tree_object(struct arena *, uint32_t n_members);
struct json tree_text(struct str key, struct str text);
struct json tree_member(struct str key, const struct json *value);

#endif
