/* remote_api: what is sent to an API and how its answers are read. No input or output here. */
#ifndef EVAL_REMOTE_API_H
#define EVAL_REMOTE_API_H

#include "eval/remote.h"

/* What a server turned out to want otherwise. */
enum remote_quirk {
    REMOTE_NO_ZERO_TOKENS = 1, /* max_tokens 0 is refused: 1 is asked for and the token ignored */
    REMOTE_MAX_COMPLETION_TOKENS = 2, /* the newer name of max_tokens */
    REMOTE_NO_TEMPERATURE = 4,        /* only the default is accepted */
};

/* The path behind the URL: "/chat/completions", "/completions" or "/messages". */
const char *remote_api_path(const struct remote_options *, const struct remote_question *);
/* How many requests the question takes. */
int remote_api_requests(const struct remote_options *, const struct remote_question *);
/* Appends the JSON body of request `index` of them. STATUS_UNSUPPORTED for what the API cannot do. */
status remote_api_write(const struct remote_options *, const struct remote_question *, int index,
                        int quirks, struct strbuf *out, struct error *err);
/* Takes the body of a 2xx answer over into the question. STATUS_FORMAT says what is not there. */
status remote_api_read(const struct remote_options *, struct remote_question *, int index,
                       struct str body, struct error *err);
/* What a server says about a failure: its error message, or the beginning of what it sent. */
void remote_api_reason(struct str body, char out[200]);
/* A quirk that an answer 400 with this text asks for, or 0. */
int remote_api_quirk(const struct remote_options *, const struct remote_question *,
                     struct str body);

#endif
