/* The hand-written pre-tokeniser against PCRE2 running the published regular expressions: the same cuts
 * on millions of random strings drawn from alphabets that hit the seams (apostrophes and contractions,
 * runs of spaces and newlines, digits, letters of every UTF-8 length), and on runs of one character. */
#include "check.h"

#ifndef TWLLM_HAVE_PCRE2

TEST(pretokenizer_against_pcre2)
{
    check_skip("PCRE2 (libpcre2-dev) was not found when this was built");
}

#else

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "text/pretokenizer.h"
#include "text/unicode_tables.h"

static const char *const patterns[] = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
};
enum { N_PATTERNS = sizeof patterns / sizeof patterns[0], STRINGS_PER_PATTERN = 300000 };

static pcre2_code *compile(const char *pattern)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_code *regex =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &code, &offset, NULL);
    CHECK(regex);
    pcre2_jit_compile(regex, PCRE2_JIT_COMPLETE);
    return regex;
}

/* Characters that this PCRE2, whose Unicode version may be older, puts in the same classes as we do. */
static uint32_t *agreed;
static size_t n_agreed;

static void find_agreed_characters(void)
{
    if (agreed) return;
    static const struct {
        const char *pattern;
        unsigned class;
    } classes[] = {{"\\p{L}", UNICODE_LETTER}, {"\\p{N}", UNICODE_NUMBER}, {"\\s", UNICODE_SPACE}};
    pcre2_code *regex[3];
    for (int k = 0; k < 3; k++) regex[k] = compile(classes[k].pattern);
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    agreed = malloc(0x110000 * sizeof *agreed);
    CHECK(agreed && match);
    size_t scalars = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xD800 && c < 0xE000) continue;
        scalars++;
        char bytes[4];
        size_t n = utf8_encode(c, bytes);
        bool same = true;
        for (int k = 0; k < 3; k++) {
            bool theirs = pcre2_match(regex[k], (PCRE2_SPTR)bytes, n, 0, PCRE2_NO_UTF_CHECK, match,
                                      NULL) >= 0;
            same &= theirs == ((unicode_class(c) & classes[k].class) != 0);
        }
        if (same) agreed[n_agreed++] = c;
    }
    for (int k = 0; k < 3; k++) pcre2_code_free(regex[k]);
    pcre2_match_data_free(match);
    /* PCRE2 10.40 knows Unicode 14 and calls U+180E a space; nothing else may differ in bulk. */
    CHECK(scalars - n_agreed < 12000);
}

static const char *const seams[] = {
    "'",
    "'",
    "'s",
    "'S",
    "'\xC5\xBF",
    "'t",
    "'RE",
    "'ve",
    "'m",
    "'lL",
    "'d",
    "'l",
    "'r",
    "s",
    "a",
    "Zb",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\v",
    "\xC2\xA0",
    "\xC2\x85",
    "\xE3\x80\x80",
    "\xE2\x80\xA8",
    "1",
    "23",
    "4567",
    "\xD9\xA3",
    "\xE2\x85\xA7",
    "\xF0\x9D\x9F\x98",
    "!",
    "..",
    "_",
    "\xCC\x81",
    "\xE3\x80\x82",
    "\xF0\x9F\x98\x80",
    "\xE8\x87\xBA\xE7\x81\xA3",
    "\xD0\xAF",
    "\xF0\xA0\x80\x80",
    "\xE2\x84\xAA",
};

static const char *const ascii_seams[] = {
    "a",  "Zb", "s", "l", "word", " ", " ",  " The", "\t", "\n", "\n", "\r\n", "\v", "\x1C", "1",
    "23", "!",  "(", "_", "\x7F", "'", "'s", "'LL",  "'r", "@",  "[",  "`",    "{",  "/",    ":",
};

static size_t random_string(uint64_t seed, uint64_t stream, char *out, size_t capacity)
{
    uint64_t draw = 0;
    uint64_t style = rng_u64(seed, stream, draw++) % 6;
    /* 4, 5: long enough for what is done to 64 bytes of ASCII at a time */
    size_t size = 0, parts = 1 + rng_u64(seed, stream, draw++) % (style < 4 ? 14 : 90);
    for (size_t i = 0; i < parts && size + 8 < capacity; i++) {
        uint64_t r = rng_u64(seed, stream, draw++);
        if (style > 3 && r >> 56 < (style == 4 ? 250 : 256)) {
            const char *seam = ascii_seams[r % (sizeof ascii_seams / sizeof ascii_seams[0])];
            for (uint64_t n = 1 + (r >> 40 & 3) * (r >> 42 & 1); n && size + 8 < capacity; n--) {
                memcpy(out + size, seam, strlen(seam));
                size += strlen(seam);
            }
        } else if (style == 3 || (style == 2 && r >> 63)) {
            size += utf8_encode(agreed[(r & 0xFFFFFFFF) % n_agreed], out + size);
        } else if (style == 1) {
            out[size++] = (char)(r % 128);
        } else {
            const char *seam = seams[r % (sizeof seams / sizeof seams[0])];
            size_t n = strlen(seam);
            memcpy(out + size, seam, n);
            size += n;
        }
    }
    return size;
}

static void compare(pcre2_code *regex, pcre2_match_data *match, enum pretokenizer_kind kind,
                    struct str text)
{
    size_t at = 0, i = 0, n = 0, ends[100], max = 1 + text.size * 7 % 100;
    for (; at < text.size; i++) {
        if (i == n) {
            n = pretokenizer_split(kind, text, at, ends, max);
            i = 0;
            CHECK(n >= 1 && n <= max);
        }
        int found = pcre2_match(regex, (PCRE2_SPTR)text.data, text.size, at, PCRE2_NO_UTF_CHECK,
                                match, NULL);
        CHECK(found >= 0);
        PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
        CHECK_INT(span[0], at);
        size_t end = pretokenizer_next(kind, text, at);
        if (end != span[1] || ends[i] != end)
            check_fail(__FILE__, __LINE__,
                       "in \"%.*s\" at %zu: cut at %zu, among others at %zu, PCRE2 at %zu",
                       STR_ARGS(text), at, end, ends[i], (size_t)span[1]);
        at = end;
    }
    CHECK_INT(i, n);
}

TEST(random_strings_are_cut_as_pcre2_cuts_them)
{
    find_agreed_characters();
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    for (int p = 0; p < N_PATTERNS; p++) {
        enum pretokenizer_kind kind;
        CHECK(pretokenizer_find_pattern(str_of(patterns[p]), &kind));
        pcre2_code *regex = compile(patterns[p]);
        char text[256];
        for (uint64_t i = 0; i < STRINGS_PER_PATTERN; i++)
            compare(
                regex, match, kind,
                (struct str){text, random_string(20261123 + (uint64_t)p, i, text, sizeof text)});
        pcre2_code_free(regex);
    }
    pcre2_match_data_free(match);
    printf("  %d strings; %zu characters of this PCRE2 agree\n", N_PATTERNS * STRINGS_PER_PATTERN,
           n_agreed);
}

TEST(long_runs_are_cut_as_pcre2_cuts_them)
{
    find_agreed_characters();
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    enum { LENGTH = 3000 };
    static char text[LENGTH * 8];
    for (int p = 0; p < N_PATTERNS; p++) {
        enum pretokenizer_kind kind;
        CHECK(pretokenizer_find_pattern(str_of(patterns[p]), &kind));
        pcre2_code *regex = compile(patterns[p]);
        for (size_t a = 0; a < sizeof seams / sizeof seams[0]; a++) {
            size_t size = 0;
            for (size_t i = 0; i < LENGTH; i++) {
                const char *part = i == LENGTH / 2 ? seams[(a * 7 + 3) % 44] : seams[a];
                memcpy(text + size, part, strlen(part));
                size += strlen(part);
            }
            compare(regex, match, kind, (struct str){text, size});
        }
        pcre2_code_free(regex);
    }
    pcre2_match_data_free(match);
}

#endif
