#include "grammar/ebnf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "grammar/regex.h"

/* What a piece of a rule is: always a production, and a regular as well when it holds no recursion. Small pieces
 * (literals, classes) beside each other become one terminal; rules stay terminals of their own, so that their automaton
 * states are shared wherever they are used. */
struct piece {
    production p;
    regular r;
    bool is_regular, is_small;
};

enum rule_state { RULE_NEW, RULE_BUSY, RULE_DONE };

struct rule {
    struct str name;
    size_t body; /* offset of its right side */
    production reference;
    struct piece piece;
    uint8_t state;
    bool terminal; /* Lark: upper case */
};

struct reader {
    struct grammar *grammar;
    struct production_set *p;
    struct regular_set *r;
    struct str text;
    size_t at;
    bool lark;
    struct rule *rules;
    uint32_t n_rules, capacity;
    production ignore; /* repeated; EMPTY when there is none */
    bool in_terminal;  /* reading the body of a Lark terminal */
    uint32_t depth, max_depth;
    struct error *err;
};

static status refuse(struct reader *e, status code, size_t at, const char *why)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < at && i < e->text.size; i++) {
        column++;
        if (e->text.data[i] == '\n') line++, column = 1;
    }
    return error_set(e->err, code, "ebnf: line %u column %u: %s", line, column, why);
}

static char peek(const struct reader *e)
{
    return e->at < e->text.size ? e->text.data[e->at] : '\0';
}

static bool looking_at(const struct reader *e, const char *word)
{
    return str_starts_with(str_slice(e->text, e->at, e->text.size), str_of(word));
}

static bool take(struct reader *e, const char *word)
{
    if (!looking_at(e, word)) return false;
    e->at += strlen(word);
    return true;
}

static void skip_blanks(struct reader *e)
{
    for (;;) {
        char c = peek(e);
        bool comment = (!e->lark && c == '#') || (e->lark && looking_at(e, "//"));
        if (comment) {
            while (e->at < e->text.size && peek(e) != '\n') e->at++;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            e->at++;
        } else {
            return;
        }
    }
}

static bool is_name_byte(char c, bool lark)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (!lark && c == '-');
}

static struct str read_name(struct reader *e)
{
    size_t start = e->at;
    while (is_name_byte(peek(e), e->lark)) e->at++;
    return str_slice(e->text, start, e->at);
}

/* At a name: is it the left side of a rule? Leaves the place after the rule sign, or as it was. */
static bool rule_begins(struct reader *e, struct str *name)
{
    size_t start = e->at;
    if (e->lark)
        while (peek(e) == '?' || peek(e) == '!') e->at++;
    *name = read_name(e);
    if (name->size) {
        if (e->lark && take(e, ".")) read_name(e); /* priority */
        while (peek(e) == ' ' || peek(e) == '\t') e->at++;
        if (e->lark ? (peek(e) == ':' && !looking_at(e, "::=")) : looking_at(e, "::=")) {
            e->at += e->lark ? 1 : 3;
            return true;
        }
    }
    e->at = start;
    return false;
}

static struct rule *find_rule(struct reader *e, struct str name)
{
    for (uint32_t i = 0; i < e->n_rules; i++)
        if (str_equal(e->rules[i].name, name)) return &e->rules[i];
    return NULL;
}

static status add_rule(struct reader *e, struct str name, size_t body)
{
    if (find_rule(e, name)) return refuse(e, STATUS_FORMAT, body, "a rule is defined twice");
    if (e->n_rules == e->capacity) {
        uint32_t larger = e->capacity ? 2 * e->capacity : 32;
        struct rule *rules = realloc(e->rules, larger * sizeof *rules);
        if (!rules) return error_set(e->err, STATUS_NO_MEMORY, "ebnf: out of memory");
        e->rules = rules;
        e->capacity = larger;
    }
    size_t first = 0;
    while (first < name.size && name.data[first] == '_') first++;
    e->rules[e->n_rules++] = (struct rule){
        .name = name,
        .body = body,
        .reference = production_rule(e->p),
        .terminal =
            e->lark && first < name.size && name.data[first] >= 'A' && name.data[first] <= 'Z',
    };
    if (e->n_rules > 20000) return refuse(e, STATUS_LIMIT, body, "more than 20000 rules");
    return STATUS_OK;
}

static struct piece piece_of(struct reader *e, regular r, bool is_small)
{
    return (struct piece){production_terminal(e->p, r), r, true, is_small};
}

static const struct piece nothing_yet = {PRODUCTION_EMPTY, REGULAR_EMPTY, true, true};

static struct piece join(struct reader *e, struct piece a, struct piece b)
{
    if (a.p == PRODUCTION_EMPTY) return b;
    if (b.p == PRODUCTION_EMPTY) return a;
    struct piece result = {.is_regular = a.is_regular && b.is_regular};
    if (result.is_regular) result.r = regular_sequence(e->r, a.r, b.r);
    result.is_small = result.is_regular && a.is_small && b.is_small;
    result.p =
        result.is_small ? production_terminal(e->p, result.r) : production_sequence(e->p, a.p, b.p);
    return result;
}

static struct piece either(struct reader *e, struct piece a, struct piece b)
{
    if (a.is_regular && b.is_regular)
        return piece_of(e, regular_either(e->r, a.r, b.r), a.is_small && b.is_small);
    return (struct piece){production_either(e->p, a.p, b.p), 0, false, false};
}

static struct piece repeat(struct reader *e, struct piece a, uint32_t min, uint32_t max)
{
    if (a.is_regular) return piece_of(e, regular_repeat(e->r, a.r, min, max), a.is_small);
    return (struct piece){production_repeat(e->p, a.p, min, max), 0, false, false};
}

static status escape(struct reader *e, char quote, uint32_t *code)
{
    size_t start = e->at;
    char c = peek(e);
    e->at++;
    int n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    switch (c) {
    case 'n':
        *code = '\n';
        return STATUS_OK;
    case 't':
        *code = '\t';
        return STATUS_OK;
    case 'r':
        *code = '\r';
        return STATUS_OK;
    case 'f':
        *code = '\f';
        return STATUS_OK;
    case 'v':
        *code = '\v';
        return STATUS_OK;
    case 'b':
        *code = '\b';
        return STATUS_OK;
    case '0':
        *code = 0;
        return STATUS_OK;
    default:
        break;
    }
    if (!n_digits) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '\0')
            return refuse(e, STATUS_FORMAT, start, "an unknown escape");
        (void)quote;
        *code = (uint8_t)c;
        if (*code >= 0x80) return refuse(e, STATUS_FORMAT, start, "an unknown escape");
        return STATUS_OK;
    }
    *code = 0;
    for (int i = 0; i < n_digits; i++, e->at++) {
        char h = peek(e);
        int digit = h >= '0' && h <= '9'                     ? h - '0'
                    : (h | 0x20) >= 'a' && (h | 0x20) <= 'f' ? (h | 0x20) - 'a' + 10
                                                             : -1;
        if (digit < 0) return refuse(e, STATUS_FORMAT, start, "an escape without its digits");
        *code = *code * 16 + (uint32_t)digit;
    }
    if (*code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
        return refuse(e, STATUS_FORMAT, start, "an escape that is no character");
    return STATUS_OK;
}

static status literal_character(struct reader *e, char quote, uint32_t *code)
{
    if (take(e, "\\")) return escape(e, quote, code);
    size_t n = utf8_decode(e->text.data + e->at, e->text.size - e->at, code);
    if (*code == UTF8_INVALID) return refuse(e, STATUS_FORMAT, e->at, "bytes that are no UTF-8");
    e->at += n;
    return STATUS_OK;
}

/* e->at is after the opening quote. */
static status literal(struct reader *e, char quote, struct strbuf *out)
{
    size_t start = e->at - 1;
    while (peek(e) != quote) {
        uint32_t code = 0;
        char bytes[4];
        if (e->at >= e->text.size || peek(e) == '\n')
            return refuse(e, STATUS_FORMAT, start, "a literal without its end");
        TRY(literal_character(e, quote, &code));
        size_t n = utf8_encode(code, bytes);
        if (strbuf_append(out, (struct str){bytes, n}) != STATUS_OK)
            return error_set(e->err, STATUS_NO_MEMORY, "ebnf: out of memory");
    }
    e->at++;
    return STATUS_OK;
}

/* A literal whose ASCII letters may be of either case. */
static regular any_case(struct reader *e, struct str text)
{
    regular r = REGULAR_EMPTY;
    for (size_t i = text.size; i-- > 0;) {
        uint8_t c = (uint8_t)text.data[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        struct regular_range both[2] = {{(uint8_t)(c & ~0x20), (uint8_t)(c & ~0x20), r},
                                        {(uint8_t)(c | 0x20), (uint8_t)(c | 0x20), r}};
        struct regular_range one = {c, c, r};
        r = regular_switch(e->r, letter ? both : &one, letter ? 2 : 1);
    }
    return r;
}

static status range_of_literals(struct reader *e, struct str low, struct piece *out)
{
    size_t start = e->at;
    struct strbuf high = {0};
    uint32_t from, to;
    skip_blanks(e);
    status result = take(e, "\"") ? literal(e, '"', &high)
                                  : refuse(e, STATUS_FORMAT, start, "a range without its end");
    if (result == STATUS_OK) {
        bool single = low.size && utf8_decode(low.data, low.size, &from) == low.size && high.size &&
                      utf8_decode(high.data, high.size, &to) == high.size;
        if (!single || from > to) {
            result = refuse(e, STATUS_FORMAT, start, "a range that is not of two characters");
        } else {
            struct character_range range = {from, to};
            struct character_set set = {&range, 1, 1, true};
            struct character_set own = {0};
            result = character_set_add_set(&own, &set);
            if (result == STATUS_OK)
                *out = piece_of(e, character_set_regular(e->r, &own, CHARACTERS_AS_UTF8), true);
            character_set_deinit(&own);
        }
    }
    strbuf_deinit(&high);
    return result;
}

static status literal_piece(struct reader *e, char quote, struct piece *out)
{
    struct strbuf text = {0};
    status result = literal(e, quote, &text);
    if (result == STATUS_OK) {
        if (e->lark && looking_at(e, "..")) {
            e->at += 2;
            result = range_of_literals(e, strbuf_view(&text), out);
        } else if (e->lark && take(e, "i")) {
            *out = piece_of(e, any_case(e, strbuf_view(&text)), true);
        } else {
            *out = piece_of(e, regular_literal(e->r, strbuf_view(&text)), true);
        }
    }
    strbuf_deinit(&text);
    return result;
}

/* Reads up to the closing mark as a regular expression; e->at is after the opening one. */
static status regex_piece(struct reader *e, char close, size_t start, struct piece *out)
{
    size_t first = e->at;
    bool in_class = false;
    for (; e->at < e->text.size; e->at++) {
        char c = peek(e);
        if (c == '\\')
            e->at++;
        else if (close == '/' && c == '[')
            in_class = true;
        else if (close == '/' && c == ']')
            in_class = false;
        if (c == '\n' || (c == close && !in_class)) break;
    }
    if (peek(e) != close) return refuse(e, STATUS_FORMAT, start, "an expression without its end");
    struct str body =
        str_slice(e->text, close == ']' ? first - 1 : first, close == ']' ? e->at + 1 : e->at);
    e->at++;
    struct regex_options how = {.encoding = CHARACTERS_AS_UTF8, .max_depth = e->max_depth};
    struct strbuf flagged = {0};
    status result = STATUS_OK;
    while (close == '/' && (peek(e) == 'i' || peek(e) == 's' || peek(e) == 'u')) {
        result = strbuf_appendf(&flagged, "(?%c)", peek(e));
        e->at++;
    }
    if (result == STATUS_OK) result = strbuf_append(&flagged, body);
    regular r = REGULAR_NOTHING;
    if (result == STATUS_OK) {
        struct error inner = {0};
        result = regex_compile(e->r, strbuf_view(&flagged), &how, "expression", &r, &inner);
        if (result != STATUS_OK) refuse(e, result, start, inner.text);
    }
    strbuf_deinit(&flagged);
    if (result == STATUS_OK) *out = piece_of(e, r, true);
    return result;
}

static status alternatives(struct reader *e, struct piece *out);

/* The body of a rule, read where it stands. */
static status compile_rule(struct reader *e, uint32_t index)
{
    size_t at = e->at;
    bool in_terminal = e->in_terminal;
    uint32_t depth = e->depth;
    e->rules[index].state = RULE_BUSY;
    e->at = e->rules[index].body;
    e->in_terminal = e->rules[index].terminal;
    struct piece piece = {0};
    TRY(alternatives(e, &piece));
    skip_blanks(e);
    struct str ignored;
    if (e->at < e->text.size && !rule_begins(e, &ignored) && peek(e) != '%')
        return refuse(e, STATUS_FORMAT, e->at, "something that belongs to no rule");
    piece.is_small = false;
    production_define(e->p, e->rules[index].reference, piece.p);
    e->rules[index].piece = piece;
    e->rules[index].state = RULE_DONE;
    e->at = at;
    e->in_terminal = in_terminal;
    e->depth = depth;
    return STATUS_OK;
}

static status reference(struct reader *e, struct piece *out)
{
    size_t start = e->at;
    struct str name = read_name(e);
    struct rule *rule = find_rule(e, name);
    if (!rule) {
        char why[128];
        snprintf(why, sizeof why, "no rule is named '%.*s'", name.size > 60 ? 60 : (int)name.size,
                 name.data);
        return refuse(e, STATUS_NOT_FOUND, start, why);
    }
    uint32_t index = (uint32_t)(rule - e->rules);
    /* Deeper ones are compiled later, from the list, and are references here. */
    if (rule->state == RULE_NEW && e->depth < e->max_depth) {
        e->depth++;
        TRY(compile_rule(e, index));
        e->depth--;
    }
    rule = &e->rules[index];
    bool usable = rule->state == RULE_DONE && rule->piece.is_regular;
    *out = usable ? rule->piece : (struct piece){rule->reference, 0, false, false};
    if (rule->state != RULE_DONE && e->in_terminal)
        return refuse(e, STATUS_UNSUPPORTED, start, "a terminal that contains itself");
    return STATUS_OK;
}

static status token(struct reader *e, struct piece *out)
{
    size_t start = e->at - 1;
    const struct grammar_vocabulary *v = e->grammar->vocabulary;
    token_id id = TOKEN_NONE;
    if (take(e, "[")) {
        int64_t number = 0;
        while (peek(e) >= '0' && peek(e) <= '9' && number < 1 << 28)
            number = number * 10 + (e->text.data[e->at++] - '0');
        if (!take(e, "]>")) return refuse(e, STATUS_FORMAT, start, "a token number without its ]>");
        id = (token_id)number;
        if (v && (size_t)id >= v->n_tokens) id = TOKEN_NONE;
    } else {
        while (e->at < e->text.size && peek(e) != '>' && peek(e) != '\n') e->at++;
        if (!take(e, ">")) return refuse(e, STATUS_FORMAT, start, "a token without its >");
        struct str name = str_slice(e->text, start, e->at);
        for (size_t i = 0; v && i < v->n_tokens; i++)
            if (str_equal(v->tokens[i], name)) id = (token_id)i;
    }
    if (id == TOKEN_NONE) return refuse(e, STATUS_NOT_FOUND, start, "no such token");
    *out = (struct piece){production_token(e->p, id), 0, false, false};
    return STATUS_OK;
}

static status group(struct reader *e, const char *close, struct piece *out)
{
    size_t start = e->at - 1;
    if (peek(e) == '=' && !e->lark) return refuse(e, STATUS_UNSUPPORTED, start, "look-ahead");
    if (++e->depth > 2 * e->max_depth)
        return refuse(e, STATUS_LIMIT, start, "groups nested too deeply");
    TRY(alternatives(e, out));
    e->depth--;
    skip_blanks(e);
    return take(e, close) ? STATUS_OK : refuse(e, STATUS_FORMAT, start, "a group without its end");
}

static status atom(struct reader *e, struct piece *out)
{
    size_t start = e->at;
    char c = peek(e);
    e->at++;
    bool in_rule = e->lark && !e->in_terminal;
    status result;
    switch (c) {
    case '"':
        result = literal_piece(e, '"', out);
        break;
    case '\'':
        if (e->lark) return refuse(e, STATUS_FORMAT, start, "a literal in single quotes");
        result = literal_piece(e, '\'', out);
        break;
    case '/':
        result = regex_piece(e, '/', start, out);
        break;
    case '(':
        return group(e, ")", out);
    case '[':
        if (!e->lark) return regex_piece(e, ']', start, out);
        TRY(group(e, "]", out));
        *out = either(e, nothing_yet, *out);
        return STATUS_OK;
    case '.': {
        struct character_set all = {0};
        result = character_set_add(&all, 0, 0x10FFFF);
        if (result == STATUS_OK)
            *out = piece_of(e, character_set_regular(e->r, &all, CHARACTERS_AS_UTF8), true);
        character_set_deinit(&all);
        return result;
    }
    case '<':
        return token(e, out);
    case '!':
        return refuse(e, STATUS_UNSUPPORTED, start, "a negated token");
    default:
        e->at = start;
        if (!is_name_byte(c, e->lark))
            return refuse(e, STATUS_FORMAT, start, "an unexpected character");
        result = reference(e, out);
        if (result == STATUS_OK && in_rule) {
            struct rule *rule = find_rule(e, str_slice(e->text, start, e->at));
            in_rule = rule && rule->terminal;
        }
    }
    /* In a rule of Lark, ignored text may stand before each terminal. */
    if (result == STATUS_OK && in_rule && e->ignore != PRODUCTION_EMPTY)
        *out = (struct piece){production_sequence(e->p, e->ignore, out->p), 0, false, false};
    return result;
}

static bool read_number(struct reader *e, uint32_t *out)
{
    uint64_t n = 0;
    size_t start = e->at;
    while (peek(e) >= '0' && peek(e) <= '9' && n < 1u << 20)
        n = n * 10 + (uint64_t)(e->text.data[e->at++] - '0');
    *out = (uint32_t)n;
    return e->at > start && n <= 1u << 20;
}

static status counted(struct reader *e, struct piece *out)
{
    size_t start = e->at;
    uint32_t min = 0, max;
    bool braces = take(e, "{");
    if (!braces) e->at++; /* ~ */
    skip_blanks(e);
    bool has_min = read_number(e, &min);
    max = min;
    skip_blanks(e);
    if (braces ? take(e, ",") : take(e, "..")) {
        skip_blanks(e);
        if (!read_number(e, &max)) max = REGULAR_FOREVER;
        skip_blanks(e);
    } else if (!has_min) {
        return refuse(e, STATUS_FORMAT, start, "a repetition without a number");
    }
    if (braces && !take(e, "}")) return refuse(e, STATUS_FORMAT, start, "a { without its }");
    if (min > max) return refuse(e, STATUS_FORMAT, start, "a repetition whose bounds cross");
    *out = repeat(e, *out, min, max);
    return STATUS_OK;
}

static status repeated(struct reader *e, struct piece *out)
{
    TRY(atom(e, out));
    for (;;) {
        size_t before = e->at;
        skip_blanks(e);
        char c = peek(e);
        /* In Lark, ? or ! on a new line begins the next rule. */
        struct str ignored;
        if (e->lark && (c == '?' || c == '!') && rule_begins(e, &ignored)) {
            e->at = before;
            return STATUS_OK;
        }
        if (c == '*' || c == '+' || c == '?') {
            e->at++;
            *out = repeat(e, *out, c == '+', c == '?' ? 1 : REGULAR_FOREVER);
        } else if ((c == '{' && !e->lark) || (c == '~' && e->lark)) {
            TRY(counted(e, out));
        } else {
            e->at = before;
            return STATUS_OK;
        }
    }
}

static bool sequence_ends(struct reader *e)
{
    char c = peek(e);
    if (e->at >= e->text.size || c == '|' || c == ')' || c == '%') return true;
    if (e->lark && (c == ']' || looking_at(e, "->"))) return true;
    struct str name;
    size_t at = e->at;
    bool next_rule = rule_begins(e, &name);
    e->at = at;
    return next_rule;
}

static status alternatives(struct reader *e, struct piece *out)
{
    bool first = true;
    do {
        struct piece sequence = nothing_yet;
        skip_blanks(e);
        while (!sequence_ends(e)) {
            struct piece next;
            if (!regular_spend(e->r, 1)) return regular_set_status(e->r, e->err);
            TRY(repeated(e, &next));
            sequence = join(e, sequence, next);
            skip_blanks(e);
        }
        if (e->lark && take(e, "->")) {
            skip_blanks(e);
            read_name(e);
            skip_blanks(e);
        }
        *out = first ? sequence : either(e, *out, sequence);
        first = false;
    } while (take(e, "|"));
    return STATUS_OK;
}

/* %import common.NAME, and %import common (A, B) */
static status import(struct reader *e)
{
    static const struct {
        const char *name, *body;
    } common[] = {
        {"DIGIT", "/[0-9]/"},
        {"HEXDIGIT", "/[0-9a-fA-F]/"},
        {"INT", "/[0-9]+/"},
        {"SIGNED_INT", "/[+-]?[0-9]+/"},
        {"DECIMAL", "/[0-9]+\\.[0-9]*|\\.[0-9]+/"},
        {"FLOAT", "/[0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?/"},
        {"SIGNED_FLOAT",
         "/[+-]?([0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?)/"},
        {"NUMBER", "/[0-9]+|[0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?/"},
        {"SIGNED_NUMBER",
         "/[+-]?([0-9]+|[0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?)/"},
        {"ESCAPED_STRING", "/\"([^\"\\\\\\n]|\\\\.)*\"/"},
        {"LCASE_LETTER", "/[a-z]/"},
        {"UCASE_LETTER", "/[A-Z]/"},
        {"LETTER", "/[A-Za-z]/"},
        {"WORD", "/[A-Za-z]+/"},
        {"CNAME", "/[_A-Za-z][_A-Za-z0-9]*/"},
        {"WS_INLINE", "/[ \\t]+/"},
        {"WS", "/[ \\t\\f\\r\\n]+/"},
        {"CR", "/\\r/"},
        {"LF", "/\\n/"},
        {"NEWLINE", "/(\\r?\\n)+/"},
    };
    size_t start = e->at;
    skip_blanks(e);
    if (!take(e, "common")) return refuse(e, STATUS_UNSUPPORTED, start, "an import from elsewhere");
    if (!take(e, ".")) skip_blanks(e);
    bool list = take(e, "(");
    do {
        skip_blanks(e);
        size_t at = e->at;
        struct str name = read_name(e), alias = name;
        while (peek(e) == ' ') e->at++;
        if (!list && take(e, "->")) {
            skip_blanks(e);
            alias = read_name(e);
        }
        const char *body = NULL;
        for (size_t i = 0; i < sizeof common / sizeof *common; i++)
            if (str_equal_c(name, common[i].name)) body = common[i].body;
        if (!body) return refuse(e, STATUS_NOT_FOUND, at, "no such common terminal");
        size_t next = e->at;
        TRY(add_rule(e, alias, next));
        struct str text = e->text;
        struct piece piece;
        e->text = str_of(body);
        e->at = 1;
        status result = regex_piece(e, '/', 0, &piece);
        e->text = text;
        e->at = next;
        TRY(result);
        struct rule *rule = &e->rules[e->n_rules - 1];
        piece.is_small = false;
        rule->piece = piece;
        rule->state = RULE_DONE;
        rule->terminal = true;
        production_define(e->p, rule->reference, piece.p);
        skip_blanks(e);
    } while (list && take(e, ","));
    if (list && !take(e, ")")) return refuse(e, STATUS_FORMAT, start, "a list without its )");
    return STATUS_OK;
}

/* Finds the rules and directives; their bodies are skipped here. *ignores: where the patterns of %ignore stand. */
static status scan(struct reader *e, size_t *ignores, uint32_t *n_ignores)
{
    struct str name;
    for (;;) {
        skip_blanks(e);
        size_t start = e->at;
        if (e->at >= e->text.size) return STATUS_OK;
        if (take(e, "%ignore")) {
            if (*n_ignores == 16) return refuse(e, STATUS_LIMIT, start, "more than 16 %ignore");
            ignores[(*n_ignores)++] = e->at;
        } else if (take(e, "%import")) {
            TRY(import(e));
            continue;
        } else if (peek(e) == '%') {
            return refuse(e, STATUS_UNSUPPORTED, start, "a directive that cannot be followed");
        } else if (rule_begins(e, &name)) {
            TRY(add_rule(e, name, e->at));
        } else {
            return refuse(e, STATUS_FORMAT, start, "a rule or directive was expected");
        }
        /* To the next rule: over literals, expressions and comments. */
        for (;;) {
            skip_blanks(e);
            char c = peek(e);
            size_t at = e->at;
            if (e->at >= e->text.size || c == '%') break;
            if (rule_begins(e, &name)) {
                e->at = at;
                break;
            }
            if (c == '"' || (c == '\'' && !e->lark)) {
                struct strbuf skipped = {0};
                e->at++;
                status result = literal(e, c, &skipped);
                strbuf_deinit(&skipped);
                TRY(result);
            } else if (c == '/' || (c == '[' && !e->lark)) {
                char close = c == '/' ? '/' : ']';
                for (e->at++; e->at < e->text.size && peek(e) != close && peek(e) != '\n'; e->at++)
                    if (peek(e) == '\\') e->at++;
                if (peek(e) == close) e->at++;
            } else if (is_name_byte(c, e->lark)) {
                read_name(e);
            } else {
                e->at++;
            }
        }
    }
}

static status compile_all(struct reader *e, struct str start, production *out)
{
    size_t ignores[16];
    uint32_t n_ignores = 0;
    TRY(scan(e, ignores, &n_ignores));
    e->ignore = PRODUCTION_EMPTY;
    struct piece all = {PRODUCTION_NOTHING, REGULAR_NOTHING, true, false};
    for (uint32_t i = 0; i < n_ignores; i++) {
        struct piece one;
        e->at = ignores[i];
        e->in_terminal = true;
        TRY(alternatives(e, &one));
        if (!one.is_regular)
            return refuse(e, STATUS_UNSUPPORTED, ignores[i], "%ignore of what recurses");
        all = either(e, all, one);
    }
    e->in_terminal = false;
    if (n_ignores)
        e->ignore = production_terminal(e->p, regular_repeat(e->r, all.r, 0, REGULAR_FOREVER));
    if (!start.data) start = find_rule(e, STR("root")) ? STR("root") : STR("start");
    struct rule *first = find_rule(e, start);
    if (!first)
        return error_set(e->err, STATUS_NOT_FOUND, "ebnf: no rule is named '%.*s'",
                         start.size > 60 ? 60 : (int)start.size, start.data);
    *out = first->reference;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        e->depth = 0;
        if (e->rules[i].state == RULE_NEW) TRY(compile_rule(e, i));
    }
    *out = production_sequence(e->p, *out, e->ignore);
    return regular_set_status(e->r, e->err);
}

/* `::=` anywhere outside literals says GBNF. */
static bool is_lark(struct str source)
{
    char quote = '\0';
    for (size_t i = 0; i < source.size; i++) {
        char c = source.data[i];
        if (quote) {
            if (c == '\\')
                i++;
            else if (c == quote || c == '\n')
                quote = '\0';
        } else if (c == '"') {
            quote = c;
        } else if (c == ':' && i + 2 < source.size && source.data[i + 1] == ':' &&
                   source.data[i + 2] == '=') {
            return false;
        }
    }
    return true;
}

status ebnf_compile(struct grammar *grammar, struct str source, struct str start,
                    const struct grammar_options *options, production *out, struct error *err)
{
    struct reader e = {.grammar = grammar,
                       .p = &grammar->productions,
                       .r = &grammar->regulars,
                       .text = source,
                       .lark = is_lark(source),
                       .max_depth = grammar_max_depth(options),
                       .err = err};
    status result = compile_all(&e, start, out);
    free(e.rules);
    return result;
}

status grammar_compile_ebnf(struct grammar **out, struct str source, struct str start,
                            const struct grammar_options *options, struct error *err)
{
    struct grammar *grammar;
    production first = PRODUCTION_NOTHING;
    TRY(grammar_begin(&grammar, options, source, "ebnf", err));
    status result = ebnf_compile(grammar, source, start, options, &first, err);
    return grammar_end(out, grammar, first, result, err);
}
