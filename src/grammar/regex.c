#include "grammar/regex.h"

#include "base/utf8.h"
#include "grammar/grammar_parts.h"

/* An expression whose anchors are not resolved yet: [begins][ends], the matches that must begin where the text begins,
 * and that must end where it ends. */
struct anchored {
    regular at[2][2];
};

struct parser {
    struct regular_set *set;
    struct str text;
    size_t at;
    const struct regex_options *options;
    const char *what;
    struct error *err;
    uint32_t depth;
    bool ignore_case, dot_all;
};

static struct anchored plain(regular r) { return (struct anchored){{{r, 0}, {0, 0}}}; }

static bool has_anchor(const struct anchored *x)
{
    return x->at[0][1] != REGULAR_NOTHING || x->at[1][0] != REGULAR_NOTHING ||
           x->at[1][1] != REGULAR_NOTHING;
}

static regular empty_part(struct regular_set *set, regular r)
{
    return regular_is_nullable(set, r) ? REGULAR_EMPTY : REGULAR_NOTHING;
}

/* x y: a match of y that must begin the text leaves only the empty match to x, and the other way round. */
static struct anchored join(struct regular_set *set, const struct anchored *x,
                            const struct anchored *y)
{
    if (!has_anchor(x) && !has_anchor(y))
        return plain(regular_sequence(set, x->at[0][0], y->at[0][0]));
    struct anchored result = {{{0, 0}, {0, 0}}};
    for (int i = 0; i < 16; i++) {
        int x_begins = i & 1, x_ends = i >> 1 & 1, y_begins = i >> 2 & 1, y_ends = i >> 3;
        regular left = x->at[x_begins][x_ends], right = y->at[y_begins][y_ends];
        if (y_begins) left = empty_part(set, left);
        if (x_ends) right = empty_part(set, right);
        regular *slot = &result.at[x_begins | y_begins][x_ends | y_ends];
        *slot = regular_either(set, *slot, regular_sequence(set, left, right));
    }
    return result;
}

static struct anchored either(struct regular_set *set, const struct anchored *x,
                              const struct anchored *y)
{
    struct anchored result;
    for (int i = 0; i < 4; i++)
        result.at[i & 1][i >> 1] = regular_either(set, x->at[i & 1][i >> 1], y->at[i & 1][i >> 1]);
    return result;
}

static status refuse(struct parser *p, status code, size_t at, const char *why)
{
    return error_set(p->err, code, "%s: %s at byte %zu of the pattern '%.*s'", p->what, why, at,
                     p->text.size > 200 ? 200 : (int)p->text.size, p->text.data);
}

static bool more(const struct parser *p) { return p->at < p->text.size; }
static char peek(const struct parser *p) { return more(p) ? p->text.data[p->at] : '\0'; }
static bool take(struct parser *p, const char *word)
{
    if (!str_starts_with(str_slice(p->text, p->at, p->text.size), str_of(word))) return false;
    p->at += strlen(word);
    return true;
}

static status next_character(struct parser *p, uint32_t *code)
{
    size_t n = utf8_decode(p->text.data + p->at, p->text.size - p->at, code);
    if (*code == UTF8_INVALID) return refuse(p, STATUS_FORMAT, p->at, "bytes that are no UTF-8");
    p->at += n;
    return STATUS_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static status read_hex(struct parser *p, size_t n_digits, uint32_t *code)
{
    size_t start = p->at;
    bool braces = peek(p) == '{';
    *code = 0;
    if (braces) {
        p->at++;
        n_digits = 8;
    }
    size_t n = 0;
    for (; n < n_digits && hex_value(peek(p)) >= 0; n++, p->at++)
        *code = *code * 16 + (uint32_t)hex_value(peek(p));
    if (braces ? (n == 0 || !take(p, "}")) : n != n_digits)
        return refuse(p, STATUS_FORMAT, start, "a hexadecimal escape without its digits");
    if (*code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF)) {
        uint32_t low;
        bool high = *code >= 0xD800 && *code <= 0xDBFF && !braces && take(p, "\\u");
        if (!high || read_hex(p, 4, &low) != STATUS_OK) /* a pair of surrogates is one character */
            return refuse(p, STATUS_UNSUPPORTED, start, "an escape that is no character");
        return STATUS_OK;
    }
    if (*code >= 0xDC00 && *code <= 0xDFFF)
        return refuse(p, STATUS_UNSUPPORTED, start, "half a surrogate pair");
    return STATUS_OK;
}

/* \d \w \s \p and complements: adds to the set. *is_class false when the escape is something else. */
static status escape_class(struct parser *p, char letter, struct character_set *set, bool *is_class)
{
    struct character_set own = {0};
    bool complement = letter >= 'A' && letter <= 'Z';
    status result = STATUS_OK;
    size_t start = p->at;
    *is_class = true;
    switch (letter | 0x20) {
    case 'd':
        result = character_set_add(&own, '0', '9');
        break;
    case 'w':
        TRY_GOTO(character_set_add(&own, '0', '9'));
        TRY_GOTO(character_set_add(&own, 'A', 'Z'));
        TRY_GOTO(character_set_add(&own, 'a', 'z'));
        TRY_GOTO(character_set_add(&own, '_', '_'));
        break;
    case 's':
        TRY_GOTO(character_set_add(&own, '\t', '\r'));
        TRY_GOTO(character_set_add(&own, ' ', ' '));
        if (!p->options->ecma) break;
        TRY_GOTO(character_set_add(&own, 0xFEFF, 0xFEFF));
        TRY_GOTO(character_set_add_property(&own, STR("Zs")));
        result = character_set_add(&own, 0x2028, 0x2029);
        break;
    case 'p': {
        struct str name = str_slice(p->text, p->at, p->at + 1);
        if (take(p, "{")) {
            size_t end = p->at;
            while (end < p->text.size && p->text.data[end] != '}') end++;
            name = str_slice(p->text, p->at, end);
            p->at = end + 1 < p->text.size ? end + 1 : p->text.size;
        } else {
            p->at += name.size;
        }
        if (str_starts_with(name, STR("^"))) {
            complement = !complement;
            name = str_slice(name, 1, name.size);
        }
        static const char *const prefixes[] = {
            "Script=", "sc=", "gc=", "General_Category=", "Script_Extensions=", "scx=", "Is"};
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
            if (str_starts_with(name, str_of(prefixes[i]))) {
                name = str_slice(name, strlen(prefixes[i]), name.size);
                break;
            }
        result = character_set_add_property(&own, name);
        if (result == STATUS_NOT_FOUND)
            result = refuse(p, STATUS_UNSUPPORTED, start, "an unknown Unicode property");
        break;
    }
    default:
        *is_class = false;
    }
    if (result == STATUS_OK && *is_class) {
        if (complement) TRY_GOTO(character_set_complement(&own));
        result = character_set_add_set(set, &own);
    }
fail:
    character_set_deinit(&own);
    return result;
}

/* The character that an escape stands for; p->at is after its letter. */
static status escape_character(struct parser *p, char letter, bool in_class, uint32_t *code)
{
    size_t start = p->at - 1;
    switch (letter) {
    case 't':
        *code = '\t';
        return STATUS_OK;
    case 'n':
        *code = '\n';
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
    case 'a':
        *code = 7;
        return STATUS_OK;
    case 'b':
        if (!in_class) return refuse(p, STATUS_UNSUPPORTED, start, "a word boundary \\b");
        *code = '\b';
        return STATUS_OK;
    case 'B':
        return refuse(p, STATUS_UNSUPPORTED, start, "a word boundary \\B");
    case 'x':
        return read_hex(p, 2, code);
    case 'u':
        return read_hex(p, 4, code);
    case 'U':
        return read_hex(p, 8, code);
    case 'c':
        *code = (uint8_t)peek(p) & 0x1F;
        if (!((peek(p) | 0x20) >= 'a' && (peek(p) | 0x20) <= 'z'))
            return refuse(p, STATUS_FORMAT, start, "\\c without a letter");
        p->at++;
        return STATUS_OK;
    case '0':
        *code = 0;
        if (peek(p) >= '0' && peek(p) <= '9')
            return refuse(p, STATUS_UNSUPPORTED, start, "an octal escape");
        return STATUS_OK;
    default:
        break;
    }
    if (letter >= '1' && letter <= '9')
        return refuse(p, STATUS_UNSUPPORTED, start, "a backreference");
    if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))
        return refuse(p, STATUS_UNSUPPORTED, start, "an escape of unknown meaning");
    p->at = start;
    return next_character(p, code);
}

static status posix_class(struct parser *p, struct character_set *set)
{
    static const struct {
        const char *name;
        uint8_t ranges[8];
    } names[] = {
        {"alnum", "09AZaz"},  {"alpha", "AZaz"},   {"digit", "09"},      {"lower", "az"},
        {"upper", "AZ"},      {"space", "\t\r  "}, {"xdigit", "09AFaf"}, {"punct", "!/:@[`{~"},
        {"blank", "\t\t  "},  {"print", " ~"},     {"graph", "!~"},      {"cntrl", "\1\37\177\177"},
        {"word", "09AZ__az"}, {"ascii", "\1\177"},
    };
    size_t start = p->at;
    bool complement = take(p, "^");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t before = p->at;
        if (!take(p, names[i].name) || !take(p, ":]")) {
            p->at = before;
            continue;
        }
        struct character_set own = {0};
        status result = STATUS_OK;
        for (int k = 0; k < 8 && names[i].ranges[k] && result == STATUS_OK; k += 2)
            result = character_set_add(&own, names[i].ranges[k], names[i].ranges[k + 1]);
        if (names[i].ranges[0] == 1 && result == STATUS_OK) result = character_set_add(&own, 0, 0);
        if (complement && result == STATUS_OK) result = character_set_complement(&own);
        if (result == STATUS_OK) result = character_set_add_set(set, &own);
        character_set_deinit(&own);
        return result;
    }
    return refuse(p, STATUS_FORMAT, start, "an unknown [:class:]");
}

/* One end of a range in [...]: a character, or a class of which no range can be made. */
static status class_item(struct parser *p, struct character_set *set, uint32_t *code,
                         bool *is_class)
{
    *is_class = false;
    if (take(p, "[:")) {
        *is_class = true;
        return posix_class(p, set);
    }
    if (!take(p, "\\")) return next_character(p, code);
    if (!more(p)) return refuse(p, STATUS_FORMAT, p->at, "a backslash at the end");
    char letter = p->text.data[p->at++];
    TRY(escape_class(p, letter, set, is_class));
    return *is_class ? STATUS_OK : escape_character(p, letter, true, code);
}

/* p->at is after '['. */
static status bracket(struct parser *p, struct character_set *set)
{
    size_t start = p->at - 1;
    bool complement = take(p, "^"), first = true;
    for (;; first = false) {
        if (!more(p)) return refuse(p, STATUS_FORMAT, start, "a [ without its ]");
        if (peek(p) == ']' && (!first || p->options->ecma)) break;
        uint32_t low = 0, high;
        bool is_class;
        size_t at = p->at;
        TRY(class_item(p, set, &low, &is_class));
        if (is_class) continue;
        high = low;
        bool range = peek(p) == '-' && p->at + 1 < p->text.size && p->text.data[p->at + 1] != ']';
        if (range) {
            p->at++;
            struct character_set ignored = {0};
            status result = class_item(p, &ignored, &high, &is_class);
            if (result == STATUS_OK && is_class) { /* [a-\d]: the three as they stand */
                result = character_set_add_set(set, &ignored);
                if (result == STATUS_OK) result = character_set_add(set, '-', '-');
                high = low;
            }
            character_set_deinit(&ignored);
            TRY(result);
            if (high < low) return refuse(p, STATUS_FORMAT, at, "a range that runs backwards");
        }
        TRY(character_set_add(set, low, high));
    }
    p->at++;
    if (p->ignore_case) TRY(character_set_fold_ascii(set));
    return complement ? character_set_complement(set) : STATUS_OK;
}

static status dot(struct parser *p, struct character_set *set)
{
    if (!p->dot_all) {
        TRY(character_set_add(set, '\n', '\n'));
        if (p->options->ecma) {
            TRY(character_set_add(set, '\r', '\r'));
            TRY(character_set_add(set, 0x2028, 0x2029));
        }
    }
    return character_set_complement(set);
}

static status alternation(struct parser *p, struct anchored *out);

/* p->at is after "(?". Flags change the rest of the enclosing group. */
static status group_options(struct parser *p, bool *is_group)
{
    size_t start = p->at - 2;
    *is_group = true;
    if (take(p, ":")) return STATUS_OK;
    if (take(p, "=") || take(p, "!") || take(p, "<=") || take(p, "<!"))
        return refuse(p, STATUS_UNSUPPORTED, start, "look-around");
    if (take(p, ">")) return refuse(p, STATUS_UNSUPPORTED, start, "an atomic group");
    if (take(p, "P<") || take(p, "<")) {
        while (more(p) && peek(p) != '>') p->at++;
        return take(p, ">") ? STATUS_OK
                            : refuse(p, STATUS_FORMAT, start, "a group name without its >");
    }
    bool on = true;
    while (more(p)) {
        char flag = p->text.data[p->at++];
        if (flag == '-' && on)
            on = false;
        else if (flag == 'i')
            p->ignore_case = on;
        else if (flag == 's')
            p->dot_all = on;
        else if (flag == 'u' && on)
            continue;
        else if (flag == ':')
            return STATUS_OK;
        else if (flag == ')') {
            *is_group = false;
            return STATUS_OK;
        } else
            break;
    }
    return refuse(p, STATUS_UNSUPPORTED, start, "an unknown kind of group");
}

static status group(struct parser *p, struct anchored *out)
{
    size_t start = p->at - 1;
    bool ignore_case = p->ignore_case, dot_all = p->dot_all, is_group = true;
    if (take(p, "?")) TRY(group_options(p, &is_group));
    if (!is_group) { /* the flags stay */
        *out = plain(REGULAR_EMPTY);
        return STATUS_OK;
    }
    if (++p->depth > p->options->max_depth)
        return refuse(p, STATUS_LIMIT, start, "groups nested too deeply");
    TRY(alternation(p, out));
    p->depth--;
    p->ignore_case = ignore_case;
    p->dot_all = dot_all;
    return take(p, ")") ? STATUS_OK : refuse(p, STATUS_FORMAT, start, "a ( without its )");
}

static status set_atom(struct parser *p, struct anchored *out, char kind)
{
    struct character_set set = {0};
    uint32_t code = 0;
    bool is_class = true;
    status result = STATUS_OK;
    if (kind == '[') {
        result = bracket(p, &set);
    } else if (kind == '.') {
        result = dot(p, &set);
    } else {
        if (kind == '\\') {
            char letter = p->text.data[p->at++];
            TRY_GOTO(escape_class(p, letter, &set, &is_class));
            if (!is_class) result = escape_character(p, letter, false, &code);
        } else {
            is_class = false;
            result = next_character(p, &code);
        }
        if (result == STATUS_OK && !is_class) result = character_set_add(&set, code, code);
        if (result == STATUS_OK && p->ignore_case) result = character_set_fold_ascii(&set);
    }
    if (result == STATUS_OK)
        *out = plain(character_set_regular(p->set, &set, p->options->encoding));
fail:
    character_set_deinit(&set);
    return result;
}

/* A quantifier {m}, {m,} or {m,n}; not one: p->at stays. */
static bool counted(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t start = p->at;
    uint64_t value[2] = {0, 0};
    bool digits[2] = {false, false};
    int which = 0;
    for (p->at++; more(p); p->at++) {
        char c = peek(p);
        if (c >= '0' && c <= '9' && value[which] < 1u << 30) {
            value[which] = value[which] * 10 + (uint64_t)(c - '0');
            digits[which] = true;
        } else if (c == ',' && which == 0) {
            which = 1;
        } else {
            break;
        }
    }
    if (!digits[0] || !take(p, "}")) {
        p->at = start;
        return false;
    }
    *min = (uint32_t)value[0];
    *max = which == 0 ? *min : digits[1] ? (uint32_t)value[1] : REGULAR_FOREVER;
    return true;
}

static status quantifiers(struct parser *p, struct anchored *x)
{
    for (;;) {
        size_t start = p->at;
        uint32_t min = 0, max = REGULAR_FOREVER;
        char c = peek(p);
        if (!more(p) || !(c == '*' || c == '+' || c == '?' || c == '{')) return STATUS_OK;
        if (c == '{') {
            if (!counted(p, &min, &max)) return STATUS_OK;
        } else {
            p->at++;
            min = c == '+';
            max = c == '?' ? 1 : REGULAR_FOREVER;
        }
        if (min > max) return refuse(p, STATUS_FORMAT, start, "a repetition whose bounds cross");
        if (min > 1u << 20 || (max != REGULAR_FOREVER && max > 1u << 20))
            return refuse(p, STATUS_LIMIT, start, "a repetition of more than 1048576");
        if (peek(p) == '+') return refuse(p, STATUS_UNSUPPORTED, start, "a possessive quantifier");
        take(p, "?"); /* lazy: the same language */
        if (has_anchor(x)) {
            struct anchored none = plain(REGULAR_EMPTY);
            if (min == 0 && max == 1)
                *x = either(p->set, x, &none);
            else
                return refuse(p, STATUS_UNSUPPORTED, start, "a repeated anchor");
        } else {
            *x = plain(regular_repeat(p->set, x->at[0][0], min, max));
        }
        c = peek(p);
        if (c == '*' || c == '?')
            return refuse(p, STATUS_FORMAT, p->at, "a quantifier of a quantifier");
    }
}

static status atom(struct parser *p, struct anchored *out)
{
    size_t start = p->at;
    char c = peek(p);
    if (!regular_spend(p->set, 1)) return regular_set_status(p->set, p->err);
    if (take(p, "^") || take(p, "\\A")) {
        *out = (struct anchored){{{0, 0}, {REGULAR_EMPTY, 0}}};
        return STATUS_OK;
    }
    if (take(p, "$") || take(p, "\\z") || take(p, "\\Z")) {
        *out = (struct anchored){{{0, REGULAR_EMPTY}, {0, 0}}};
        return STATUS_OK;
    }
    switch (c) {
    case '(':
        p->at++;
        return group(p, out);
    case '[':
    case '.':
        p->at++;
        return set_atom(p, out, c);
    case '\\':
        if (++p->at == p->text.size)
            return refuse(p, STATUS_FORMAT, start, "a backslash at the end");
        return set_atom(p, out, c);
    case '*':
    case '+':
    case '?':
        return refuse(p, STATUS_FORMAT, start, "a quantifier with nothing to repeat");
    default:
        return set_atom(p, out, 'x');
    }
}

static status alternation(struct parser *p, struct anchored *out)
{
    *out = plain(REGULAR_NOTHING);
    do {
        /* Parts are joined from the right, so that a long sequence is built once, not once for each part. */
        enum { CHUNK = 64 };
        struct anchored parts[CHUNK], sequence = plain(REGULAR_EMPTY);
        size_t n = 0;
        while (more(p) && peek(p) != '|' && peek(p) != ')') {
            if (n == CHUNK) {
                for (size_t i = CHUNK - 1; i-- > 0;)
                    parts[i] = join(p->set, &parts[i], &parts[i + 1]);
                sequence = join(p->set, &sequence, &parts[0]);
                n = 0;
            }
            TRY(atom(p, &parts[n]));
            TRY(quantifiers(p, &parts[n]));
            n++;
        }
        for (size_t i = n; i-- > 1;) parts[i - 1] = join(p->set, &parts[i - 1], &parts[i]);
        if (n) sequence = join(p->set, &sequence, &parts[0]);
        *out = either(p->set, out, &sequence);
    } while (take(p, "|"));
    return STATUS_OK;
}

status regex_compile(struct regular_set *set, struct str pattern,
                     const struct regex_options *options, const char *what, regular *out,
                     struct error *err)
{
    struct parser p = {.set = set, .text = pattern, .options = options, .what = what, .err = err};
    struct anchored whole;
    TRY(alternation(&p, &whole));
    if (p.at < pattern.size) return refuse(&p, STATUS_FORMAT, p.at, "a ) without its (");
    regular any = REGULAR_EMPTY;
    if (options->search) {
        struct character_set all = {0};
        status result = character_set_add(&all, 0, 0x10FFFF);
        any = regular_repeat(set, character_set_regular(set, &all, options->encoding), 0,
                             REGULAR_FOREVER);
        character_set_deinit(&all);
        TRY(result);
    }
    regular result = REGULAR_NOTHING;
    for (int i = 0; i < 4; i++) {
        regular r = whole.at[i & 1][i >> 1];
        if (!(i & 1)) r = regular_sequence(set, any, r);
        if (!(i >> 1)) r = regular_sequence(set, r, any);
        result = regular_either(set, result, r);
    }
    *out = result;
    return regular_set_status(set, err);
}

status grammar_compile_regex(struct grammar **out, struct str pattern,
                             const struct grammar_options *options, struct error *err)
{
    struct grammar *grammar;
    TRY(grammar_begin(&grammar, options, pattern, "regex", err));
    struct regex_options how = {.encoding = CHARACTERS_AS_UTF8,
                                .max_depth = grammar_max_depth(options)};
    regular r = REGULAR_NOTHING;
    status result = regex_compile(&grammar->regulars, pattern, &how, "regex", &r, err);
    return grammar_end(out, grammar, production_terminal(&grammar->productions, r), result, err);
}
