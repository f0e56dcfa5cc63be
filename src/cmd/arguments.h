/* arguments: a command's options as data: parsing, checking, help and suggestions from one table.
 *
 * Accepted forms: --name VALUE, --name=VALUE, -x VALUE, flags --name and --no-name, and -- before
 * positional arguments that begin with a dash. Of an option given twice the last value counts.
 */
#ifndef CMD_ARGUMENTS_H
#define CMD_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "cmd/messages.h"

enum argument_type {
    ARGUMENT_FLAG,    /* bool; with `handle`, that is called with "true" or "false" */
    ARGUMENT_INTEGER, /* int64_t, in [low, high] */
    ARGUMENT_NUMBER,  /* double, in [low, high] */
    ARGUMENT_BYTES,   /* int64_t; "512M", "2G", "1.5GiB" */
    ARGUMENT_TEXT,    /* const char * */
    ARGUMENT_CHOICE,  /* const char *, one of `choices` ("a|b|c") */
    ARGUMENT_HANDLED, /* `handle` is called with value, name and text; may be repeated */
};

struct argument {
    const char *name; /* without the dashes */
    char letter;      /* -x, or 0 */
    enum argument_type type;
    void *value;
    const char *placeholder; /* "N"; not for flags */
    enum message help;
    const char *fallback; /* the default as help shows it; NULL: none */
    double low, high;     /* both 0: no range */
    const char *choices;
    status (*handle)(void *value, const char *name, const char *text, struct error *);
};

struct argument_group {
    enum message title;
    const struct argument *arguments;
    size_t count;
};

enum { COMMAND_GROUPS = 6 };

struct command {
    const char *name;  /* "chat" */
    const char *usage; /* "[MODEL]" */
    enum message summary;
    enum message details;
    const char *examples; /* lines, each a command; a line that begins with # is a comment */
    struct argument_group groups[COMMAND_GROUPS];
    size_t max_positionals;
};

struct arguments {
    const char **positionals; /* borrowed from argv */
    size_t n_positionals;
    bool wants_help;
};

/* argv begins behind the command's name. STATUS_INVALID with a message in the reader's language. With
 * wants_help set nothing else was looked at. */
status arguments_parse(struct arguments *, const struct command *, int argc, char *const *argv,
                       struct error *);
void arguments_deinit(struct arguments *);

/* The whole help text, wrapped at `columns`. */
status arguments_help(const struct command *, size_t columns, struct strbuf *out);
/* Appends text broken into lines of at most `columns`, each but the first indented: between words, and
 * between any two wide characters. */
status arguments_wrap(struct strbuf *out, struct str text, size_t indent, size_t column,
                      size_t columns);

/* The nearest of `names` if it is near enough to be what was meant, or NULL. */
const char *arguments_suggest(const char *typed, const char *const *names, size_t count);

#endif
