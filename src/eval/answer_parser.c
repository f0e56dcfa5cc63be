#include "eval/answer_parser.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "text/jinja_unicode.h"

/* ---- a matcher for the few forms the patterns take --------------------------------------------------
 *
 * A pattern is UTF-8 text in which control characters stand for what is not literal:
 *   LETTER  [A-D], captured     BLANK   an optional white-space character     MAYBE c  an optional c
 *   ANY     any character but \n  RUN   any number of these, as few as possible
 *   EDGE    between a word's character and another    START  the beginning of the text */
#define LETTER "\001"
#define BLANK  "\002"
#define MAYBE  "\003"
#define ANY    "\004"
#define RUN    "\005"
#define EDGE   "\006"
#define START  "\007"
#define TAIWAN BLANK MAYBE "選" MAYBE "項" BLANK LETTER
#define CHINA  BLANK MAYBE "选" MAYBE "项" BLANK LETTER

static const char *const ievals_patterns[] = {
    "correct answer is:\n\n\n" LETTER ANY,
    "correct answer is:\n\n" LETTER ANY,
    "correct answer is:\n" LETTER ANY,
    "正確的答案應該是:" RUN EDGE LETTER EDGE,
    "正确的答案应该是:" RUN EDGE LETTER EDGE,
    "正確的選項應為:" RUN EDGE LETTER EDGE,
    "正确的选项应为:" RUN EDGE LETTER EDGE,
    "正確的答案是（" LETTER "）",
    "正确的答案是（" LETTER "）",
    "答案應該是:" TAIWAN,
    "答案应该是:" CHINA,
    "答案是:" TAIWAN,
    "答案是:" CHINA,
    "答案應為:" TAIWAN,
    "答案应为:" CHINA,
    "答案为:" CHINA,
    "答案为：" CHINA,
    "答案應為：" TAIWAN,
    "答案应为：" CHINA,
    "答案是：" CHINA,
    "答案为" CHINA,
    "答案选" CHINA,
    "答案是" CHINA,
    "所以下列方程式的解是" LETTER,
    "答案应为" CHINA,
    "正确的一项是" BLANK LETTER,
    "答案:" CHINA,
    "答案应该是：" CHINA,
    "答案：" CHINA,
    "答案為:" BLANK LETTER,
    "答案应为：" BLANK LETTER,
    "答案為：" BLANK LETTER,
    "答案應該是:" BLANK LETTER,
    "正確答案為 **" LETTER,
    "正確答案為(" LETTER ")",
    "答案應為:" BLANK LETTER,
    "答案应为:" BLANK LETTER,
    "答案是 **" LETTER,
    "答案為 **" LETTER,
    "答案 " LETTER " 正確",
    "選項 " LETTER " 正確",
    "所以答案為" LETTER,
    "答案：(" LETTER ")",
    "答案:" BLANK LETTER,
    "答案：" BLANK LETTER,
    "答案: " LETTER " ",
    "答案" LETTER " ",
    START "選項" LETTER,
    START "选项" LETTER,
    START "選" LETTER,
    START "选" LETTER,
    LETTER ANY " ",
    LETTER ANY,
};

struct characters {
    uint32_t *codes;
    size_t count;
};

static status decode(struct str text, struct characters *out)
{
    out->codes = malloc((text.size + 1) * sizeof *out->codes);
    out->count = 0;
    if (!out->codes) return STATUS_NO_MEMORY;
    for (size_t at = 0; at < text.size;)
        at += utf8_decode(text.data + at, text.size - at, &out->codes[out->count++]);
    return STATUS_OK;
}

static bool is_letter(uint32_t code) { return code >= 'A' && code <= 'D'; }

static bool is_word_at(const struct characters *t, size_t at)
{
    return at < t->count && jinja_is_word(t->codes[at]);
}

/* The end of a match of the pattern at `at`, or 0. Depth: one call per optional part of the pattern. */
static size_t match(const char *pattern, const struct characters *t, size_t at, char *letter)
{
    while (*pattern) {
        uint32_t code;
        size_t size = utf8_decode(pattern, strlen(pattern), &code), end;
        const char *rest = pattern + size;
        bool here = at < t->count;
        switch (*pattern) {
        case 1:
            if (!here || !is_letter(t->codes[at])) return 0;
            *letter = (char)t->codes[at++];
            break;
        case 2:
            if (here && jinja_is_space(t->codes[at]) && (end = match(rest, t, at + 1, letter)))
                return end;
            break;
        case 3:
            rest += utf8_decode(rest, strlen(rest), &code);
            if (here && t->codes[at] == code && (end = match(rest, t, at + 1, letter))) return end;
            break;
        case 4:
            if (!here || t->codes[at++] == '\n') return 0;
            break;
        case 5:
            for (;; at++) {
                if ((end = match(rest, t, at, letter))) return end;
                if (at >= t->count || t->codes[at] == '\n') return 0;
            }
        case 6:
            if ((at > 0 && is_word_at(t, at - 1)) == is_word_at(t, at)) return 0;
            break;
        case 7:
            if (at != 0) return 0;
            break;
        default:
            if (!here || t->codes[at++] != code) return 0;
        }
        pattern = rest;
    }
    return at;
}

status answer_parse_ievals(struct str response, char *letter)
{
    struct characters text;
    *letter = '\0';
    response = answer_strip(response);
    TRY(decode(response, &text));
    bool found = text.count > 0 && is_letter(text.codes[0]);
    if (found) *letter = (char)text.codes[0];
    for (size_t i = 0; i < sizeof ievals_patterns / sizeof *ievals_patterns && !found; i++) {
        char captured = '\0';
        for (size_t at = 0; at < text.count;) {
            size_t end = match(ievals_patterns[i], &text, at, &captured);
            if (end) {
                found = true;
                *letter = captured;
            }
            at = end ? end : at + 1;
        }
    }
    free(text.codes);
    return STATUS_OK;
}

/* ---- MiuLab ------------------------------------------------------------------------------------- */

struct str answer_strip(struct str s)
{
    size_t begin = 0, end = 0;
    bool started = false;
    for (size_t at = 0; at < s.size;) {
        uint32_t code;
        size_t size = utf8_decode(s.data + at, s.size - at, &code);
        bool space = jinja_is_space(code);
        if (!space && !started) begin = at;
        started |= !space;
        at += size;
        if (!space) end = at;
    }
    return str_slice(s, begin, end);
}

static bool contains(struct str text, const char *part)
{
    return str_find(text, str_of(part)) >= 0;
}

static bool looks_like_answer(struct str text)
{
    if (contains(text, "不是正確答案")) return false;
    if (contains(text, "正確答案")) return true;
    if (contains(text, "不正確")) return false;
    if (contains(text, "正確")) return true;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] >= 'A' && text.data[i] <= 'E') return true;
    return false;
}

/* The first A to F with a bracket behind it, else the first at all. */
static char first_choice(struct str text)
{
    char any = '\0';
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 'A' || text.data[i] > 'F') continue;
        if (i + 1 < text.size && text.data[i + 1] == ')') return text.data[i];
        if (!any) any = text.data[i];
    }
    return any;
}

status answer_parse_miulab(struct str response, char *letter)
{
    response = answer_strip(response);
    int64_t cut = str_find(response, STR("\n\n"));
    struct str block = cut < 0 ? response : str_slice(response, 0, (size_t)cut);
    if (!looks_like_answer(block)) {
        block = response;
        for (int64_t at; (at = str_find(block, STR("\n\n"))) >= 0;)
            block = str_slice(block, (size_t)at + 2, block.size);
    }
    *letter = first_choice(block);
    return STATUS_OK;
}

status answer_parse_miulab_cot(struct str response, char *letter)
{
    struct strbuf tail = {0};
    response = answer_strip(response);
    int64_t cut = str_find(response, STR("問題："));
    if (cut >= 0) response = answer_strip(str_slice(response, 0, (size_t)cut));
    *letter = '\0';
    for (size_t end = response.size;;) { /* lines from the last upward */
        size_t begin = end;
        while (begin > 0 && response.data[begin - 1] != '\n') begin--;
        if (looks_like_answer(str_slice(response, begin, end))) {
            status result = STATUS_OK;
            for (size_t i = begin; i < response.size && result == STATUS_OK; i++)
                if (response.data[i] != '\n') result = strbuf_append_char(&tail, response.data[i]);
            int64_t from = str_find(strbuf_view(&tail), STR("正確答案"));
            *letter =
                first_choice(str_slice(strbuf_view(&tail), from < 0 ? 0 : (size_t)from, tail.size));
            strbuf_deinit(&tail);
            return result;
        }
        if (begin == 0) return STATUS_OK;
        end = begin - 1;
    }
}

/* ---- TCEval ------------------------------------------------------------------------------------- */

static char upper_choice(uint32_t code)
{
    if (code >= 'a' && code <= 'e') code -= 'a' - 'A';
    return code >= 'A' && code <= 'E' ? (char)code : '\0';
}

status answer_parse_tceval(struct str response, char *letter)
{
    struct characters t;
    *letter = '\0';
    TRY(decode(response, &t));
    size_t at = 0;
    while (at < t.count && jinja_is_space(t.codes[at])) at++;
    if (at + 4 < t.count && t.codes[at] == '[' && t.codes[at + 1] == '[' &&
        t.codes[at + 3] == ']' && t.codes[at + 4] == ']')
        *letter = upper_choice(t.codes[at + 2]);
    else if (at + 2 < t.count && t.codes[at + 1] == '.' && jinja_is_space(t.codes[at + 2]))
        *letter = upper_choice(t.codes[at]);
    free(t.codes);
    return STATUS_OK;
}
