/* schema_format: strings of the formats that are enforced. What is written is a part of the format: its common form. */
#include "grammar/regex.h"
#include "grammar/schema_parts.h"

/* RFC 3339: days that exist; years 0001 to 9999 */
#define YEAR "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
#define LEAP "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"                                \
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP "-02-29)"
#define TIME                                                                                       \
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?"                                 \
    "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
/* RFC 3339 appendix A */
#define CLOCK                                                                                      \
    "T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)"
#define DURATION                                                                                   \
    "P(?:[0-9]{1,9}W|(?:[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?|"                              \
    "[0-9]{1,9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}D)(?:" CLOCK ")?|" CLOCK ")"
/* RFC 1123; no two hyphens together, which names of other scripts use */
#define LABEL    "[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}"
#define HOSTNAME "(?:" LABEL "\\.){0,7}[A-Za-z](?:-?[A-Za-z0-9]){0,30}"
/* RFC 5321 without quotes */
#define EMAIL                                                                                      \
    "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,24}(?:\\.[A-Za-z0-9!#$%&'*+/"                                \
    "=?^_`{|}~-]{1,12}){0,3}@" HOSTNAME
#define BYTE_TEXT "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4      BYTE_TEXT "(?:\\." BYTE_TEXT "){3}"
/* RFC 4291 */
#define H16  "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                       \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32      \
    "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16             \
    ")?::(?:" H16 ":){2}" LS32 "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16       \
    ":){0,4}" H16 ")?::" LS32 "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16   \
    ")?::)"
#define UUID "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
/* RFC 3986 */
#define ENCODED  "%[0-9A-Fa-f]{2}"
#define PCHAR    "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" ENCODED ")"
#define REG_NAME "(?:[A-Za-z0-9._~!$&'()*+,;=-]|" ENCODED ")"
#define AUTHORITY                                                                                  \
    "(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|" ENCODED ")*@)?(?:\\[" IPV6 "\\]|" REG_NAME                \
    "+)(?::[0-9]{1,5})?"
#define QUERY  "(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"
#define ROOTED "/(?:" PCHAR "+(?:/" PCHAR "*)*)?"
#define URI                                                                                        \
    "[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" PCHAR "*)*|" ROOTED "|" PCHAR "+(?:/" PCHAR   \
    "*)*)" QUERY
#define NO_COLON "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|" ENCODED ")"
#define RELATIVE                                                                                   \
    "(?://" AUTHORITY "(?:/" PCHAR "*)*|" ROOTED "|" NO_COLON "+(?:/" PCHAR "*)*)?" QUERY
/* RFC 6901 */
#define POINTER "(?:/(?:[^~/]|~[01])*)*"
#define BASE64  "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"

static const struct {
    const char *name, *pattern; /* NULL: any string */
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "[Tt]" TIME},
    {"duration", DURATION},
    {"email", EMAIL},
    {"idn-email", EMAIL},
    {"hostname", HOSTNAME},
    {"idn-hostname", HOSTNAME},
    {"ipv4", IPV4},
    {"ip-address", IPV4},
    {"ipv6", IPV6},
    {"uuid", UUID},
    {"uri", URI},
    {"iri", URI},
    {"url", URI},
    {"uri-reference", URI "|" RELATIVE},
    {"iri-reference", URI "|" RELATIVE},
    {"json-pointer", POINTER},
    {"relative-json-pointer", "(?:0|[1-9][0-9]{0,8})(?:#|" POINTER ")"},
    {"byte", BASE64},
    {"binary", NULL},
    {"password", NULL},
    /* of numbers: schema_number.c; they say nothing of strings */
    {"int32", NULL},
    {"int64", NULL},
    {"uint32", NULL},
    {"uint64", NULL},
    {"uint8", NULL},
    {"int8", NULL},
    {"uint16", NULL},
    {"int16", NULL},
    {"float", NULL},
    {"double", NULL},
};

status schema_format(struct schema_compiler *c, struct str name, regular *body, bool *any)
{
    struct regex_options how = {.encoding = CHARACTERS_IN_JSON, .max_depth = 32};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!str_equal_c(name, formats[i].name)) continue;
        *any = formats[i].pattern == NULL;
        *body = REGULAR_ALL;
        return *any ? STATUS_OK
                    : regex_compile(c->text.regulars, str_of(formats[i].pattern), &how, "format",
                                    body, c->err);
    }
    return STATUS_NOT_FOUND;
}
