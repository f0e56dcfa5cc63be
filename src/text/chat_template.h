/* chat_template: renders the Jinja templates that checkpoints carry, as transformers does
 * (trim_blocks, lstrip_blocks, loop controls, generation blocks, strftime_now, raise_exception, tojson).
 *
 * Budgets on template size, nesting, steps and output bound a hostile template. A compiled template is
 * immutable and may be rendered from any thread; at the default depth 512 KiB of stack are enough.
 *
 * The language is Jinja2 3.1's immutable sandbox (https://jinja.palletsprojects.com/templates/), down to
 * Python's repr of values, lazy filters and the scopes of names. What differs, always as an error:
 * integers outside 64 bits (those in the input can be printed), complex numbers, \N{...} escapes, the
 * tags block, extends, include, import and autoescape, and the filters filesizeformat, pprint, random,
 * urlize, wordwrap and xmlattr, and methods of escaped strings with arguments that are no strings. One
 * known difference in value: jinja2 reads a literal "-2 ** n" as -(2 ** n), because its constant folder
 * emits Python text; here it is (-2) ** n, as for a variable.
 */
#ifndef TEXT_CHAT_TEMPLATE_H
#define TEXT_CHAT_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "data/json.h"

struct chat_template;

struct chat_template_limits { /* 0 = the default in brackets */
    size_t source_bytes;      /* [1 MiB] */
    size_t output_bytes;      /* [64 MiB] */
    size_t memory_bytes;      /* [256 MiB] */
    int64_t steps;            /* [50 million] */
    int depth;                /* [200] nesting of blocks, expressions and macro calls */
};

status chat_template_compile(struct chat_template **, struct str source,
                             const struct chat_template_limits *, struct error *err);
void chat_template_destroy(struct chat_template *);

struct chat_template_input {
    const struct json *messages;  /* array of {"role","content",...}, any further members */
    const struct json *tools;     /* array or NULL (None) */
    const struct json *documents; /* array or NULL */
    const struct json *extra;     /* object of further variables (chat_template_kwargs), or NULL */
    bool add_generation_prompt;
    struct str bos_token, eos_token, pad_token, unk_token; /* data NULL = undefined */
    int64_t now; /* unix seconds for strftime_now; 0 = the current time, local zone */
};

/* Appends the prompt. raise_exception("...") is STATUS_INVALID with the template's message; other
 * failures name template line and what was expected. */
status chat_template_render(const struct chat_template *, const struct chat_template_input *,
                            struct strbuf *out, struct error *err);

#endif
