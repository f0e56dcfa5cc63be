#include "serve/http_syntax.h"

enum {
    TEXT = 1,   /* field-vchar, space, tab */
    TOKEN = 2,  /* tchar */
    HOST = 4,   /* reg-name and IPv4 without escapes */
    PATH = 8,   /* pchar, '/' */
    QUERY = 16, /* PATH, '?', and what is sent though it should be escaped */
    ID = 32,
};

/* Every byte's classes. */
static const uint8_t classes[256] = {
    ['\t'] = TEXT,
    [' '] = TEXT,
    ['!'] = TEXT | TOKEN | HOST | PATH | QUERY,
    ['"'] = TEXT,
    ['#'] = TEXT | TOKEN,
    ['$'] = TEXT | TOKEN | HOST | PATH | QUERY,
    ['%'] = TEXT | TOKEN | PATH | QUERY,
    ['&'] = TEXT | TOKEN | HOST | PATH | QUERY,
    ['\''] = TEXT | TOKEN | HOST | PATH | QUERY,
    ['('] = TEXT | HOST | PATH | QUERY,
    [')'] = TEXT | HOST | PATH | QUERY,
    ['*'] = TEXT | TOKEN | HOST | PATH | QUERY,
    ['+'] = TEXT | TOKEN | HOST | PATH | QUERY,
    [','] = TEXT | HOST | PATH | QUERY,
    ['-'] = TEXT | TOKEN | HOST | PATH | QUERY | ID,
    ['.'] = TEXT | TOKEN | HOST | PATH | QUERY | ID,
    ['/'] = TEXT | PATH | QUERY,
    ['0' ... '9'] = TEXT | TOKEN | HOST | PATH | QUERY | ID,
    [':'] = TEXT | PATH | QUERY | ID,
    [';'] = TEXT | HOST | PATH | QUERY,
    ['<'] = TEXT,
    ['='] = TEXT | HOST | PATH | QUERY,
    ['>'] = TEXT,
    ['?'] = TEXT | QUERY,
    ['@'] = TEXT | PATH | QUERY,
    ['A' ... 'Z'] = TEXT | TOKEN | HOST | PATH | QUERY | ID,
    ['['] = TEXT | QUERY,
    ['\\'] = TEXT,
    [']'] = TEXT | QUERY,
    ['^'] = TEXT | TOKEN | QUERY,
    ['_'] = TEXT | TOKEN | HOST | PATH | QUERY | ID,
    ['`'] = TEXT | TOKEN,
    ['a' ... 'z'] = TEXT | TOKEN | HOST | PATH | QUERY | ID,
    ['{'] = TEXT | QUERY,
    ['|'] = TEXT | TOKEN | QUERY,
    ['}'] = TEXT | QUERY,
    ['~'] = TEXT | TOKEN | HOST | PATH | QUERY,
    [0x80 ... 0xff] = TEXT,
};

static bool is(char c, int class) { return (classes[(unsigned char)c] & class) != 0; }

static bool all_are(struct str s, int class)
{
    for (size_t i = 0; i < s.size; i++)
        if (!is(s.data[i], class)) return false;
    return true;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c; }

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_is_text_char(char c) { return is(c, TEXT); }
bool http_is_token(struct str s) { return s.size > 0 && all_are(s, TOKEN); }
bool http_is_field_value(struct str s) { return all_are(s, TEXT); }
bool http_is_safe_id(struct str s) { return s.size > 0 && s.size <= 128 && all_are(s, ID); }

bool http_equal_strs_ignoring_case(struct str a, struct str b)
{
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++)
        if (lower(a.data[i]) != lower(b.data[i])) return false;
    return true;
}

bool http_equal_ignoring_case(struct str a, const char *b)
{
    return http_equal_strs_ignoring_case(a, str_of(b));
}

struct str http_trim(struct str s)
{
    size_t from = 0, to = s.size;
    while (from < to && (s.data[from] == ' ' || s.data[from] == '\t')) from++;
    while (to > from && (s.data[to - 1] == ' ' || s.data[to - 1] == '\t')) to--;
    return str_slice(s, from, to);
}

bool http_next_list_item(struct str *list, struct str *item)
{
    while (list->size > 0) {
        size_t n = 0;
        while (n < list->size && list->data[n] != ',') n++;
        *item = http_trim(str_slice(*list, 0, n));
        *list = str_slice(*list, n + 1, list->size);
        if (item->size > 0) return true;
    }
    return false;
}

bool http_parse_version(struct str s, int *major, int *minor)
{
    if (s.size != 8 || memcmp(s.data, "HTTP/", 5) != 0 || s.data[6] != '.') return false;
    *major = s.data[5] - '0';
    *minor = s.data[7] - '0';
    return *major >= 0 && *major <= 9 && *minor >= 0 && *minor <= 9;
}

/* Brackets and what an IPv6 address may hold; whether it is one does not matter here. */
static bool is_bracketed(struct str host)
{
    if (host.size < 4 || host.data[0] != '[' || host.data[host.size - 1] != ']') return false;
    for (size_t i = 1; i + 1 < host.size; i++)
        if (hex_digit(host.data[i]) < 0 && host.data[i] != ':' && host.data[i] != '.') return false;
    return true;
}

struct str http_authority_host(struct str authority)
{
    size_t end = authority.size;
    while (end > 0 && authority.data[end - 1] >= '0' && authority.data[end - 1] <= '9') end--;
    if (end > 0 && authority.data[end - 1] == ':') return str_slice(authority, 0, end - 1);
    return authority;
}

bool http_is_authority(struct str authority)
{
    struct str host = http_authority_host(authority);
    if (authority.size > host.size + 6) return false; /* ":65535" */
    if (host.size == 0) return authority.size == 0;
    return host.data[0] == '[' ? is_bracketed(host) : all_are(host, HOST);
}

bool http_split_absolute_target(struct str *target, struct str *authority)
{
    size_t scheme = 0;
    if (http_equal_ignoring_case(str_slice(*target, 0, 7), "http://")) scheme = 7;
    if (http_equal_ignoring_case(str_slice(*target, 0, 8), "https://")) scheme = 8;
    if (scheme == 0) return true;
    size_t end = scheme;
    while (end < target->size && target->data[end] != '/' && target->data[end] != '?') end++;
    *authority = str_slice(*target, scheme, end);
    if (authority->size == 0 || !http_is_authority(*authority)) return false;
    *target = end < target->size ? str_slice(*target, end, target->size) : STR("/");
    return true;
}

static bool is_escaped_well(struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] != '%') continue;
        if (i + 2 >= s.size || hex_digit(s.data[i + 1]) < 0 || hex_digit(s.data[i + 2]) < 0)
            return false;
    }
    return true;
}

bool http_split_target(struct str target, struct str *path, struct str *query)
{
    if (target.size == 0 || target.data[0] != '/') return false;
    size_t n = 0;
    while (n < target.size && target.data[n] != '?') n++;
    *path = str_slice(target, 0, n);
    *query = str_slice(target, n + 1, target.size);
    return all_are(*path, PATH) && all_are(*query, QUERY) && is_escaped_well(target);
}

size_t http_parse_hex(struct str s, uint64_t *value)
{
    size_t n = 0;
    *value = 0;
    for (; n < s.size && hex_digit(s.data[n]) >= 0; n++)
        *value = n < 16 ? *value << 4 | (uint64_t)hex_digit(s.data[n]) : 0;
    return n;
}

static size_t skip_token(struct str s, size_t i)
{
    while (i < s.size && is(s.data[i], TOKEN)) i++;
    return i;
}

/* Behind the closing quote, or 0. */
static size_t skip_quoted(struct str s, size_t i)
{
    for (i++; i < s.size; i++) {
        if (s.data[i] == '"') return i + 1;
        if (s.data[i] == '\\' && ++i == s.size) return 0;
    }
    return 0;
}

bool http_is_chunk_extension(struct str s)
{
    size_t i = 0;
    while (i < s.size) {
        if (s.data[i] != ';') return false;
        size_t name = i + 1;
        i = skip_token(s, name);
        if (i == name) return false;
        if (i == s.size || s.data[i] != '=') continue;
        size_t value = i + 1;
        i = value < s.size && s.data[value] == '"' ? skip_quoted(s, value) : skip_token(s, value);
        if (i <= value) return false;
    }
    return true;
}
