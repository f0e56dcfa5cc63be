/* tool_parser: finds calls of declared tools in an answer, byte by byte.
 *
 * A call is   { "name": "TOOL", "parameters" or "arguments": { ... } }   with any white space JSON allows (at most 64
 * bytes in one place), optionally with "type": "function" in front, where TOOL is one of the declared names. It may
 * stand at the beginning of the answer or of a line, after <|python_tag|>, or after another call and ';'. Everything
 * else, and whatever only looks like a call until it turns out otherwise, is content and comes out unchanged. What
 * comes out does not depend on how the bytes were cut into pieces.
 */
#ifndef SERVE_TOOL_PARSER_H
#define SERVE_TOOL_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct tool_call {
    uint32_t tool;           /* which of the names */
    struct strbuf arguments; /* the JSON object, byte for byte, as far as it came */
    bool is_complete;        /* with its closing brace */
    size_t n_sent;           /* the writer's: bytes of arguments it has taken */
    bool is_announced;       /* the writer's */
    char id[32];             /* the writer's */
};

enum { TOOL_PARSER_MAX_CALLS = 128 };

struct tool_parser {
    const struct str *names;
    size_t n_names, max_calls;
    struct strbuf content; /* new content; whoever takes it clears it */
    struct tool_call *calls;
    size_t n_calls;

    /* Of the call that is being read, or of what may become one, from its '{' on: empty between calls. */
    struct strbuf call_text;

    /* Its own. */
    struct strbuf held; /* bytes that may become a call */
    struct strbuf
        lead; /* white space at the very beginning: of no call, and of content only with content behind */
    int state, depth;
    bool in_string, escaped, at_start, only_space;
};

/* names are borrowed. After max_calls calls (0: TOOL_PARSER_MAX_CALLS) everything is content. */
void tool_parser_init(struct tool_parser *, const struct str *names, size_t n_names,
                      size_t max_calls);
void tool_parser_deinit(struct tool_parser *);
status tool_parser_push(struct tool_parser *, struct str bytes);
/* The answer is over: what was held is content. */
status tool_parser_finish(struct tool_parser *);

/* The answer is inside a call whose tool is known, from the end of its name to its closing brace: which. */
bool tool_parser_in_call(const struct tool_parser *, uint32_t *tool);

/* Its bytes, from the '{' on. */
struct str tool_parser_call_text(const struct tool_parser *);

/* How far `text` is from the head of a call, from its '{' to the '{' of the arguments: 1 it is one (*size is set: the
 * arguments begin at *size - 1), 0 it may become one, -1 it cannot. *tool is set as soon as the name is known. */
int tool_parser_match_head(struct str text, const struct str *names, size_t n_names, uint32_t *tool,
                           size_t *size);

#endif
