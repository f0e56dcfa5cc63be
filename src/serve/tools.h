/* tools: the functions a request declares, whatever dialect it speaks, and how the model is told of them. */
#ifndef SERVE_TOOLS_H
#define SERVE_TOOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "data/json.h"

struct job;
struct serve;

struct tool {
    struct str name, description;
    const struct json *parameters; /* a JSON Schema, or NULL: any object */
};

enum tool_choice { TOOLS_NONE, TOOLS_AUTO, TOOLS_REQUIRED, TOOLS_NAMED };

struct tools {
    struct tool *list;
    struct str *names; /* of the list */
    uint32_t n;
    enum tool_choice choice;
    uint32_t named;                  /* with TOOLS_NAMED: which */
    bool parallel;                   /* may one answer have several calls? */
    const struct json *for_template; /* in OpenAI's form */
};

/* All of these fill job->tools (n 0: none), or refuse naming the place. */
status tools_read_openai(struct job *, const struct json *tools, const struct json *choice,
                         bool is_responses);
status tools_read_anthropic(struct job *, const struct json *tools, const struct json *choice);
status tools_read_ollama(struct job *, const struct json *tools);

/* Does the model's template show tools by itself? Asked once, when the server starts. */
struct tool_template {
    bool shows_tools, shows_tool_role, shows_ipython_role;
};
void tools_probe_template(const struct serve *, struct tool_template *);

/* The messages as the template is to see them: as they are when it shows tools; otherwise with the tools in the
 * system message, calls as text and results under the role the model was trained on. */
status tools_put_into_messages(struct job *, const struct json *messages, const struct json **out);

/* Appends the schema of an answer that must be a call; and of one that is a call of one tool, in all the shapes that are
 * understood. */
status tools_write_forced_schema(const struct tools *, struct strbuf *out);
status tools_write_call_schema(const struct tools *, uint32_t index, struct strbuf *out);

#endif
