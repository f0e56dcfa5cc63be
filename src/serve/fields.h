/* fields: the members a request body may have, as tables, and one strict decoder for all of them.
 *
 * A member is honoured, or refused with 400 and its name; so is one that no table lists. null means "not given".
 * The same tables make the OpenAPI document, so what it says is what is enforced.
 */
#ifndef SERVE_FIELDS_H
#define SERVE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "data/json.h"
#include "serve/out.h"

/* Why a request is refused. `param` names the member, with a path into it where that helps. */
struct refusal {
    int code;               /* of HTTP */
    char param[96];         /* "": none */
    const char *type;       /* NULL: by code */
    const char *error_code; /* e.g. "context_length_exceeded"; NULL: none */
    int retry_after_s;
    struct error err;
};

/* Fills it and returns STATUS_INVALID. param may be NULL. */
status refuse(struct refusal *, int code, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes over an error of a lower floor, whose messages begin with the field they speak of ("top_p: got 3, ..."). */
status refuse_error(struct refusal *, int code, const struct error *);

struct asked; /* what the members are decoded into: serve/asked.h */

enum field_kind {
    FIELD_BOOL,     /* bool */
    FIELD_I32,      /* int32_t, low to high */
    FIELD_I64,      /* int64_t, low to high */
    FIELD_F32,      /* float, low to high */
    FIELD_TEXT,     /* struct str; `values`, if given, lists what it may be: "auto|default" */
    FIELD_ARRAY,    /* const struct json *; at least `low`, at most `high` items */
    FIELD_OBJECT,   /* const struct json * */
    FIELD_ANY,      /* const struct json *; who uses it checks it; `schema` says what it may be */
    FIELD_SAMPLING, /* a sampling parameter of the name `values`, or of its own */
    FIELD_LABEL,    /* a string, number, boolean, array or object that does not change the answer */
    FIELD_ONLY,     /* a documented member of which only the JSON values in `values` are supported:
                       "false|\"auto\""; "" for none at all */
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset; /* in struct asked */
    double low, high;
    const char *values;
    const char
        *schema; /* of FIELD_ANY, FIELD_ARRAY and FIELD_OBJECT: JSON, for the OpenAPI document */
    const char *help;
    bool is_required;
    const struct field *const *members; /* of an object that is decoded by tables of its own */
};

/* Tables end with a NULL name; the list of tables with NULL. */
status fields_decode(const struct json *object, const struct field *const *tables, struct asked *,
                     struct refusal *);

/* Refuses a member of a nested object that is not in the list "a|b|c", naming its place below `param`. */
status fields_check_members(const struct json *object, const char *known, const char *param,
                            struct refusal *);

/* The JSON Schema of one member, and of an object of all of them. */
void fields_write_schema(struct out *, const struct field *const *tables);

/* "a string", "an array", ... for messages. */
const char *fields_type_name(const struct json *);

#endif
