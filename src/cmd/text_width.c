#include "cmd/text_width.h"

#include "base/utf8.h"
#include "cmd/width_table.h"

static bool in_table(const struct width_range *table, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code > table[middle].last)
            low = middle + 1;
        else if (code < table[middle].first)
            high = middle;
        else
            return true;
    }
    return false;
}

int text_width_of(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return 0;
    if (code < 0x300 && code != 0xAD) return 1;
    if (in_table(width_zero, sizeof width_zero / sizeof *width_zero, code)) return 0;
    if (in_table(width_wide, sizeof width_wide / sizeof *width_wide, code)) return 2;
    return 1;
}

size_t text_width(struct str s)
{
    size_t columns = 0;
    for (size_t at = 0; at < s.size;) {
        uint32_t code;
        at += utf8_decode(s.data + at, s.size - at, &code);
        columns += code == UTF8_INVALID ? 1 : (size_t)text_width_of(code);
    }
    return columns;
}

static bool is_regional_indicator(uint32_t code) { return code >= 0x1F1E6 && code <= 0x1F1FF; }

static bool extends_cluster(uint32_t code)
{
    if (code == UTF8_INVALID || code < 0x300) return false;
    if (code >= 0x1F3FB && code <= 0x1F3FF) return true; /* skin tones */
    return text_width_of(code) == 0;                     /* marks, ZWJ, selectors, Hangul vowels */
}

size_t text_cluster_next(struct str s, size_t from)
{
    if (from >= s.size) return s.size;
    enum { ZERO_WIDTH_JOINER = 0x200D };
    uint32_t previous, code;
    size_t at = from + utf8_decode(s.data + from, s.size - from, &previous);
    if (previous < 0x20 || previous == 0x7F) return at; /* a newline takes no marks */
    bool flag_open = is_regional_indicator(previous);
    while (at < s.size) {
        size_t length = utf8_decode(s.data + at, s.size - at, &code);
        bool joined = previous == ZERO_WIDTH_JOINER && code >= 0x2190 && code != UTF8_INVALID;
        if (flag_open && is_regional_indicator(code)) {
            flag_open = false;
        } else if (!extends_cluster(code) && !joined) {
            break;
        } else {
            flag_open = false;
        }
        previous = code;
        at += length;
    }
    return at;
}

size_t text_cluster_previous(struct str s, size_t to)
{
    if (to > s.size) to = s.size;
    /* Clusters are defined forwards: start from the line's beginning, which no cluster crosses. */
    size_t at = to;
    if (at > 0 && s.data[at - 1] == '\n') return at - 1;
    while (at > 0 && s.data[at - 1] != '\n') at--;
    size_t previous = at;
    while (at < to) {
        previous = at;
        at = text_cluster_next(s, at);
    }
    return previous;
}

struct str text_truncate(struct str s, size_t columns)
{
    size_t at = 0, used = 0;
    while (at < s.size) {
        size_t next = text_cluster_next(s, at);
        used += text_width(str_slice(s, at, next));
        if (used > columns) break;
        at = next;
    }
    return str_slice(s, 0, at);
}
