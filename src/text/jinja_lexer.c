/* jinja_lexer: see jinja.h. The rules are those of Jinja2's lexer with trim_blocks and lstrip_blocks:
 * a tag's "-" strips all white space on its side, "+" keeps it, a block or comment alone on its line
 * takes its indentation with it, and the line break behind a block or comment goes. */
#include "text/jinja.h"

#include <string.h>

#include "base/utf8.h"
#include "text/jinja_unicode.h"

struct lexer {
    struct arena *arena;
    const char *s;
    size_t n, at;
    int line;
    size_t counted; /* `line` is the line of this offset */
    bool line_starting;
    struct jinja_token *items;
    size_t n_items, capacity;
    char brackets[256]; /* closing characters expected */
    int n_brackets;
    struct error *err;
};

static int line_of(struct lexer *l, size_t offset)
{
    for (; l->counted < offset; l->counted++)
        if (l->s[l->counted] == '\n') l->line++;
    return l->line;
}

static status lex_fail(struct lexer *l, size_t offset, const char *what)
{
    return error_set(l->err, STATUS_FORMAT, "line %d: %s", line_of(l, offset), what);
}

static status push(struct lexer *l, enum jinja_token_type type, size_t offset,
                   struct jinja_token token)
{
    if (l->n_items == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 64;
        struct jinja_token *items = ARENA_ARRAY(l->arena, struct jinja_token, capacity);
        if (!items) return error_set(l->err, STATUS_NO_MEMORY, "no memory for a template's tokens");
        if (l->n_items) memcpy(items, l->items, l->n_items * sizeof *items);
        l->items = items;
        l->capacity = capacity;
    }
    token.type = (uint8_t)type;
    token.line = line_of(l, offset);
    l->items[l->n_items++] = token;
    return STATUS_OK;
}

/* The bytes of white space at `at`: 0 when the character there is none. */
static size_t space_at(const struct lexer *l, size_t at)
{
    if (at >= l->n) return 0;
    uint32_t code;
    size_t size = utf8_decode(l->s + at, l->n - at, &code);
    return jinja_is_space(code) ? size : 0;
}

static size_t skip_space(const struct lexer *l, size_t at)
{
    for (size_t size; (size = space_at(l, at)) > 0;) at += size;
    return at;
}

static size_t strip_end(const struct lexer *l, size_t from, size_t to)
{
    while (to > from) {
        size_t start = to - 1;
        while (start > from && ((unsigned char)l->s[start] & 0xC0) == 0x80) start--;
        uint32_t code;
        utf8_decode(l->s + start, to - start, &code);
        if (!jinja_is_space(code)) break;
        to = start;
    }
    return to;
}

static bool at_text(const struct lexer *l, size_t at, const char *text)
{
    size_t size = strlen(text);
    return at <= l->n && l->n - at >= size && !memcmp(l->s + at, text, size);
}

/* "{% raw %}" at `at`: the offset behind it, or 0. */
static size_t raw_begin(const struct lexer *l, size_t at)
{
    at += 2;
    if (at < l->n && (l->s[at] == '-' || l->s[at] == '+')) at++;
    at = skip_space(l, at);
    if (!at_text(l, at, "raw")) return 0;
    at = skip_space(l, at + 3);
    if (at_text(l, at, "-%}")) return skip_space(l, at + 3);
    return at_text(l, at, "%}") ? at + 2 : 0;
}

/* Behind the end of a block or comment that ends with `end` ("%}", "#}"): 0 when it is not here. */
static size_t tag_end(const struct lexer *l, size_t at, const char *end)
{
    if (at < l->n && l->s[at] == '+' && at_text(l, at + 1, end)) return at + 3;
    if (at < l->n && l->s[at] == '-' && at_text(l, at + 1, end)) return skip_space(l, at + 3);
    if (!at_text(l, at, end)) return 0;
    return at + 2 < l->n && l->s[at + 2] == '\n' ? at + 3 : at + 2;
}

/* Text before a tag whose sign is given: strips as asked and pushes what remains. */
static status push_data(struct lexer *l, size_t from, size_t to, char sign, bool lstrip)
{
    size_t end = to;
    if (sign == '-') {
        end = strip_end(l, from, to);
    } else if (sign != '+' && lstrip) {
        size_t line_start = to;
        while (line_start > from && l->s[line_start - 1] != '\n') line_start--;
        if ((line_start > from || l->line_starting) && strip_end(l, line_start, to) == line_start)
            end = line_start;
    }
    if (end == from) return STATUS_OK;
    return push(l, TOKEN_DATA, from, (struct jinja_token){.text = {l->s + from, end - from}});
}

static status lex_comment(struct lexer *l, size_t start)
{
    for (size_t at = l->at; at < l->n; at++) {
        size_t end = tag_end(l, at, "#}");
        if (!end) continue;
        l->line_starting = l->s[end - 1] == '\n';
        l->at = end;
        return STATUS_OK;
    }
    return lex_fail(l, start, "a comment is not closed with #}");
}

static status lex_raw(struct lexer *l, size_t start)
{
    for (size_t at = l->at; at + 1 < l->n; at++) {
        if (l->s[at] != '{' || l->s[at + 1] != '%') continue;
        size_t word = at + 2;
        char sign = 0;
        if (word < l->n && (l->s[word] == '-' || l->s[word] == '+')) sign = l->s[word++];
        word = skip_space(l, word);
        if (!at_text(l, word, "endraw")) continue;
        size_t end = tag_end(l, skip_space(l, word + 6), "%}");
        if (!end) continue;
        TRY(push_data(l, l->at, at, sign, true));
        l->line_starting = l->s[end - 1] == '\n';
        l->at = end;
        return STATUS_OK;
    }
    return lex_fail(l, start, "a raw block is not closed with {% endraw %}");
}

/* ---- inside tags ----------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* (\d+_)*\d+ : the offset behind, or `at`. */
static size_t digits_end(const struct lexer *l, size_t at)
{
    size_t end = at;
    while (at < l->n && is_digit(l->s[at])) {
        end = ++at;
        if (at + 1 < l->n && l->s[at] == '_' && is_digit(l->s[at + 1])) at++;
    }
    return end;
}

static size_t float_end(const struct lexer *l, size_t at)
{
    if (at > 0 && l->s[at - 1] == '.') return 0;
    size_t whole = digits_end(l, at);
    if (whole == at) return 0;
    size_t end = whole;
    if (end < l->n && l->s[end] == '.') {
        size_t fraction = digits_end(l, end + 1);
        end = fraction > end + 1 ? fraction : whole;
    }
    if (end < l->n && (l->s[end] == 'e' || l->s[end] == 'E')) {
        size_t sign = end + 1;
        if (sign < l->n && (l->s[sign] == '+' || l->s[sign] == '-')) sign++;
        size_t exponent = digits_end(l, sign);
        if (exponent > sign) return exponent;
    }
    return end > whole ? end : 0;
}

static int digit_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

static size_t integer_end(const struct lexer *l, size_t at)
{
    int base = 10;
    size_t first = at;
    if (l->s[at] == '0') {
        char kind = at + 1 < l->n ? (char)(l->s[at + 1] | 32) : 0;
        int wanted = kind == 'b' ? 2 : kind == 'o' ? 8 : kind == 'x' ? 16 : 0;
        size_t digit = at + 2;
        if (wanted && digit < l->n && l->s[digit] == '_') digit++;
        if (wanted && digit < l->n && digit_value(l->s[digit]) < wanted) {
            base = wanted;
            first = digit;
        } else {
            base = 1; /* zeros only */
        }
    }
    size_t end = first;
    while (end < l->n) {
        if (digit_value(l->s[end]) < base) {
            end++;
        } else if (l->s[end] == '_' && end + 1 < l->n && digit_value(l->s[end + 1]) < base) {
            end += 2;
        } else {
            break;
        }
    }
    return end;
}

static status lex_number(struct lexer *l, size_t end, bool is_float)
{
    char digits[400];
    size_t n = 0;
    for (size_t i = l->at; i < end; i++) {
        if (l->s[i] == '_') continue;
        if (n + 1 >= sizeof digits) return lex_fail(l, l->at, "a number has too many digits");
        digits[n++] = l->s[i];
    }
    struct jinja_token token = {0};
    if (is_float) {
        if (!jinja_parse_decimal((struct str){digits, n}, &token.real))
            return lex_fail(l, l->at, "a number cannot be read");
    } else {
        bool overflow = false;
        if (!jinja_parse_int((struct str){digits, n},
                             n > 1 && digits[0] == '0' && !is_digit(digits[1]) ? 0 : 10,
                             &token.integer, &overflow))
            return lex_fail(l, l->at,
                            overflow ? "an integer does not fit in 64 bits"
                                     : "an integer cannot be read");
    }
    TRY(push(l, is_float ? TOKEN_FLOAT : TOKEN_INTEGER, l->at, token));
    l->at = end;
    return STATUS_OK;
}

static size_t word_at(const struct lexer *l, size_t at)
{
    if (at >= l->n) return 0;
    unsigned char c = (unsigned char)l->s[at];
    if (c < 0x80) return c == '_' || is_digit((char)c) || ((c | 32) >= 'a' && (c | 32) <= 'z');
    uint32_t code;
    size_t size = utf8_decode(l->s + at, l->n - at, &code);
    return jinja_is_word(code) ? size : 0;
}

/* One escape sequence of Python's unicode_escape codec; *at stands behind the backslash. */
static status unescape(struct lexer *l, size_t *at, size_t end, char *out, size_t *n)
{
    static const char letters[] = "\\'\"abfnrtv";
    static const char meanings[] = "\\'\"\a\b\f\n\r\t\v";
    char c = l->s[*at];
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        out[(*n)++] = meanings[letter - letters];
        ++*at;
        return STATUS_OK;
    }
    if (c == '\n') {
        ++*at;
        return STATUS_OK;
    }
    uint32_t code = 0;
    int wanted = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (wanted) {
        ++*at;
        for (int i = 0; i < wanted; i++, ++*at) {
            if (*at >= end || digit_value(l->s[*at]) > 15)
                return lex_fail(l, *at, "a \\x, \\u or \\U escape has too few hexadecimal digits");
            code = code << 4 | (uint32_t)digit_value(l->s[*at]);
        }
    } else if (c >= '0' && c <= '7') {
        for (int i = 0; i < 3 && *at < end && l->s[*at] >= '0' && l->s[*at] <= '7'; i++, ++*at)
            code = code << 3 | (uint32_t)(l->s[*at] - '0');
    } else if (c == 'N') {
        return lex_fail(l, *at, "\\N{...} escapes are not supported");
    } else if ((unsigned char)c >= 0x80) {
        /* Jinja2 writes the character as an escape first, whose backslash then follows this one. */
        uint32_t other;
        *at += utf8_decode(l->s + *at, end - *at, &other);
        static const char hex[] = "0123456789abcdef";
        int digits = other < 0x100 ? 2 : other < 0x10000 ? 4 : 8;
        out[(*n)++] = '\\';
        out[(*n)++] = digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
        for (int i = digits - 1; i >= 0; i--) out[(*n)++] = hex[other >> (4 * i) & 15];
        return STATUS_OK;
    } else {
        out[(*n)++] = '\\';
        return STATUS_OK; /* the character itself follows as it is */
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return lex_fail(l, *at, "an escape names no character (a surrogate or above U+10FFFF)");
    *n += utf8_encode(code, out + *n);
    return STATUS_OK;
}

static status lex_string(struct lexer *l)
{
    char quote = l->s[l->at];
    size_t end = l->at + 1;
    bool has_escape = false;
    while (end < l->n && l->s[end] != quote) {
        if (l->s[end] == '\\') {
            has_escape = true;
            end++;
        }
        end++;
    }
    if (end >= l->n) return lex_fail(l, l->at, "a string is not closed");
    struct str text = {l->s + l->at + 1, end - l->at - 1};
    if (has_escape) {
        /* "\" and a character grow to at most "\U" and 8 digits: 10 bytes from at least 3. */
        char *out = arena_alloc_aligned(l->arena, text.size * 4 + 8, 1);
        if (!out) return error_set(l->err, STATUS_NO_MEMORY, "no memory for a template's string");
        size_t n = 0;
        for (size_t at = l->at + 1; at < end;) {
            if (l->s[at] != '\\') {
                out[n++] = l->s[at++];
                continue;
            }
            at++;
            TRY(unescape(l, &at, end, out, &n));
        }
        text = (struct str){out, n};
    }
    TRY(push(l, TOKEN_STRING, l->at, (struct jinja_token){.text = text}));
    l->at = end + 1;
    return STATUS_OK;
}

static const struct {
    char text[3];
    uint8_t op;
} operators[] = {
    {"//", OP_FLOORDIV}, {"**", OP_POW},   {"==", OP_EQ},      {"!=", OP_NE},      {">=", OP_GE},
    {"<=", OP_LE},       {"+", OP_ADD},    {"-", OP_SUB},      {"/", OP_DIV},      {"*", OP_MUL},
    {"%", OP_MOD},       {"~", OP_TILDE},  {"[", OP_LBRACKET}, {"]", OP_RBRACKET}, {"(", OP_LPAREN},
    {")", OP_RPAREN},    {"{", OP_LBRACE}, {"}", OP_RBRACE},   {">", OP_GT},       {"<", OP_LT},
    {"=", OP_ASSIGN},    {".", OP_DOT},    {":", OP_COLON},    {"|", OP_PIPE},     {",", OP_COMMA},
    {";", OP_SEMICOLON},
};

static status lex_operator(struct lexer *l)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!at_text(l, l->at, operators[i].text)) continue;
        char c = operators[i].text[0];
        if (c == '(' || c == '[' || c == '{') {
            if (l->n_brackets == (int)sizeof l->brackets)
                return error_set(l->err, STATUS_LIMIT, "line %d: brackets are nested too deeply",
                                 line_of(l, l->at));
            l->brackets[l->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (l->n_brackets == 0 || l->brackets[--l->n_brackets] != c)
                return error_set(l->err, STATUS_FORMAT, "line %d: unexpected '%c'",
                                 line_of(l, l->at), c);
        }
        TRY(push(l, TOKEN_OPERATOR, l->at, (struct jinja_token){.op = operators[i].op}));
        l->at += strlen(operators[i].text);
        return STATUS_OK;
    }
    uint32_t code;
    utf8_decode(l->s + l->at, l->n - l->at, &code);
    return error_set(l->err, STATUS_FORMAT, "line %d: unexpected character U+%04X",
                     line_of(l, l->at), (unsigned)code);
}

/* From behind "{{" or "{%" to behind the end of the tag. */
static status lex_tag(struct lexer *l, bool is_block)
{
    while (l->at < l->n) {
        if (l->n_brackets == 0) {
            size_t end = 0;
            if (is_block)
                end = tag_end(l, l->at, "%}");
            else if (at_text(l, l->at, "-}}"))
                end = skip_space(l, l->at + 3);
            else if (at_text(l, l->at, "}}"))
                end = l->at + 2;
            if (end) {
                TRY(push(l, is_block ? TOKEN_BLOCK_END : TOKEN_VARIABLE_END, l->at,
                         (struct jinja_token){0}));
                l->line_starting = l->s[end - 1] == '\n';
                l->at = end;
                return STATUS_OK;
            }
        }
        char c = l->s[l->at];
        size_t end = skip_space(l, l->at);
        if (end > l->at) {
            l->at = end;
        } else if (is_digit(c)) {
            end = float_end(l, l->at);
            TRY(lex_number(l, end ? end : integer_end(l, l->at), end != 0));
        } else if (word_at(l, l->at)) {
            for (size_t size; (size = word_at(l, end)) > 0;) end += size;
            struct str name = {l->s + l->at, end - l->at};
            TRY(push(l, TOKEN_NAME, l->at, (struct jinja_token){.text = name}));
            l->at = end;
        } else if (c == '"' || c == '\'') {
            TRY(lex_string(l));
        } else {
            TRY(lex_operator(l));
        }
    }
    return STATUS_OK; /* the parser says what it missed */
}

static status lex_all(struct lexer *l)
{
    while (l->at < l->n) {
        size_t tag = l->at;
        while (tag < l->n &&
               !(l->s[tag] == '{' && tag + 1 < l->n &&
                 (l->s[tag + 1] == '{' || l->s[tag + 1] == '%' || l->s[tag + 1] == '#')))
            tag++;
        if (tag == l->n)
            return push(l, TOKEN_DATA, l->at,
                        (struct jinja_token){.text = {l->s + l->at, l->n - l->at}});
        char kind = l->s[tag + 1];
        size_t raw = kind == '%' ? raw_begin(l, tag) : 0;
        size_t behind = tag + 2;
        char sign = 0;
        if (behind < l->n && (l->s[behind] == '-' || l->s[behind] == '+')) sign = l->s[behind++];
        TRY(push_data(l, l->at, tag, sign, kind != '{'));
        l->at = raw ? raw : behind;
        l->line_starting = raw && l->s[raw - 1] == '\n';
        if (raw) {
            TRY(lex_raw(l, tag));
        } else if (kind == '#') {
            TRY(lex_comment(l, tag));
        } else {
            TRY(push(l, kind == '%' ? TOKEN_BLOCK_BEGIN : TOKEN_VARIABLE_BEGIN, tag,
                     (struct jinja_token){0}));
            TRY(lex_tag(l, kind == '%'));
        }
    }
    return STATUS_OK;
}

/* Line breaks become "\n" and one at the very end goes. */
static bool normalize(struct arena *arena, struct str source, struct str *out)
{
    char *copy = arena_alloc_aligned(arena, source.size + 1, 1);
    if (!copy) return false;
    size_t n = 0;
    for (size_t i = 0; i < source.size; i++) {
        char c = source.data[i];
        if (c == '\r') {
            if (i + 1 < source.size && source.data[i + 1] == '\n') i++;
            c = '\n';
        }
        copy[n++] = c;
    }
    if (n > 0 && copy[n - 1] == '\n') n--;
    *out = (struct str){copy, n};
    return true;
}

status jinja_lex(struct arena *arena, struct str source, struct jinja_tokens *out,
                 struct error *err)
{
    struct str text;
    if (!utf8_is_valid(source))
        return error_set(err, STATUS_FORMAT, "the chat template is not valid UTF-8");
    if (!normalize(arena, source, &text))
        return error_set(err, STATUS_NO_MEMORY, "no memory for a template of %zu bytes",
                         source.size);
    struct lexer l = {.arena = arena,
                      .s = text.data,
                      .n = text.size,
                      .line = 1,
                      .line_starting = true,
                      .err = err};
    TRY(lex_all(&l));
    TRY(push(&l, TOKEN_END, l.n, (struct jinja_token){0}));
    *out = (struct jinja_tokens){l.items, l.n_items};
    return STATUS_OK;
}
