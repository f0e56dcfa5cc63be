/* jinja_text: building strings within the budgets. */
#include "text/jinja.h"

#include <string.h>

#include "base/utf8.h"
#include "text/jinja_unicode.h"

bool jinja_copy_text(struct jinja *j, struct str s, struct jinja_value *out)
{
    if (s.size > UINT32_MAX / 2) return jinja_fail_memory(j);
    char *bytes = arena_alloc_aligned(&j->arena, s.size + 1, 1);
    if (!bytes) return jinja_fail_memory(j);
    if (s.size) memcpy(bytes, s.data, s.size);
    *out = jinja_string((struct str){bytes, s.size});
    return jinja_work(j, s.size);
}

/* Templates build long texts piece by piece (text = text ~ piece), which would cost the square of the
 * length. A long result therefore gets room behind it, and when it is the left side of a later
 * concatenation and nothing else has taken the room yet, only the new piece is copied. The old string
 * keeps its length and so never sees the bytes behind it. */
bool jinja_concat(struct jinja *j, struct str a, struct str b, struct jinja_value *out)
{
    enum { WORTH_ROOM = 1024 };
    size_t size = a.size + b.size;
    if (size > UINT32_MAX / 4) return jinja_fail_memory(j);
    for (int i = 0; i < JINJA_TAILS && a.size; i++) {
        if (j->tails[i].end != a.data + a.size) continue;
        if ((size_t)(j->tails[i].limit - j->tails[i].end) < b.size) break;
        if (b.size) memcpy(j->tails[i].end, b.data, b.size);
        j->tails[i].end += b.size;
        *out = jinja_string((struct str){a.data, size});
        return jinja_work(j, b.size);
    }
    size_t room = size < WORTH_ROOM ? size + 1 : size * 2;
    char *bytes = arena_alloc_aligned(&j->arena, room, 1);
    if (!bytes) return jinja_fail_memory(j);
    if (a.size) memcpy(bytes, a.data, a.size);
    if (b.size) memcpy(bytes + a.size, b.data, b.size);
    if (size >= WORTH_ROOM) {
        unsigned tail = j->next_tail++ % JINJA_TAILS;
        j->tails[tail].end = bytes + size;
        j->tails[tail].limit = bytes + room;
    }
    *out = jinja_string((struct str){bytes, size});
    return jinja_work(j, size);
}

void jinja_buffer_init(struct jinja *j, struct strbuf *b)
{
    size_t limit = j->arena.limit;
    size_t left = limit > j->arena.used_bytes ? limit - j->arena.used_bytes : 1;
    *b = (struct strbuf){.limit = left};
}

bool jinja_append(struct jinja *j, struct strbuf *b, struct str s)
{
    status result = strbuf_append(b, s);
    if (result == STATUS_NO_MEMORY) j->arena.lacked_memory = true;
    return result == STATUS_OK || jinja_fail_memory(j);
}

bool jinja_take_buffer(struct jinja *j, struct strbuf *b, struct jinja_value *out)
{
    bool ok = jinja_copy_text(j, strbuf_view(b), out);
    strbuf_deinit(b);
    return ok;
}

bool jinja_write(struct jinja *j, struct str s)
{
    if (s.size > j->output_limit - j->buffered)
        return jinja_fail_with(j, STATUS_LIMIT, "the output is larger than its budget of %zu bytes",
                               j->output_limit);
    if (strbuf_append(j->out, s) != STATUS_OK)
        return jinja_fail_with(j, STATUS_NO_MEMORY, "no memory for the rendered prompt");
    j->buffered += s.size;
    return jinja_work(j, s.size);
}

bool jinja_want_int(struct jinja *j, const char *who, struct jinja_value v, int64_t *out)
{
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (!jinja_is_integer(v))
        return jinja_fail(j, "%s: '%s' object cannot be interpreted as an integer", who,
                          jinja_type_name(v));
    *out = jinja_integer(v);
    return true;
}

bool jinja_want_string(struct jinja *j, const char *who, struct jinja_value v, struct str *out)
{
    if (v.type != JINJA_STRING)
        return jinja_fail(j, "%s: expected a string, got '%s'", who, jinja_type_name(v));
    *out = jinja_text(v);
    return true;
}

/* ---- case ------------------------------------------------------------------------------------------ */

static bool is_cased(uint32_t code)
{
    return jinja_character_is(CHARACTER_LOWER, code) || jinja_character_is(CHARACTER_UPPER, code) ||
           jinja_character_is(CHARACTER_TITLE, code);
}

/* Is there a cased character before (or after) `at`, with only case-ignorable ones between? */
static bool cased_neighbour(struct str s, size_t at, bool forward)
{
    while (forward ? at < s.size : at > 0) {
        uint32_t code;
        size_t start = at;
        if (!forward) do
                start--;
            while (start > 0 && ((unsigned char)s.data[start] & 0xC0) == 0x80);
        size_t size = utf8_decode(s.data + start, s.size - start, &code);
        if (!jinja_character_is(CHARACTER_IGNORABLE, code)) return is_cased(code);
        at = forward ? at + size : start;
    }
    return false;
}

/* The lower case of one character in its place: a final sigma has a form of its own. */
static int lower_at(struct str s, size_t at, size_t size, uint32_t code, uint32_t out[3])
{
    if (code != 0x3A3) return jinja_map_case(CASE_LOWER, code, out);
    bool final = cased_neighbour(s, at, false) && !cased_neighbour(s, at + size, true);
    out[0] = final ? 0x3C2 : 0x3C3;
    return 1;
}

bool jinja_change_case(struct jinja *j, enum jinja_change change, struct str s,
                       struct jinja_value *out)
{
    struct strbuf text;
    jinja_buffer_init(j, &text);
    bool ok = jinja_work(j, s.size * 8), previous_cased = false;
    for (size_t at = 0; at < s.size && ok;) {
        uint32_t code, to[3];
        size_t size = utf8_decode(s.data + at, s.size - at, &code);
        int n;
        bool first = change == CHANGE_CAPITALIZE ? at == 0 : !previous_cased;
        switch (change) {
        case CHANGE_UPPER:
            n = jinja_map_case(CASE_UPPER, code, to);
            break;
        case CHANGE_FOLD:
            n = jinja_map_case(CASE_FOLD, code, to);
            break;
        case CHANGE_SWAP:
            n = jinja_character_is(CHARACTER_UPPER, code)   ? lower_at(s, at, size, code, to)
                : jinja_character_is(CHARACTER_LOWER, code) ? jinja_map_case(CASE_UPPER, code, to)
                                                            : (to[0] = code, 1);
            break;
        case CHANGE_CAPITALIZE:
        case CHANGE_TITLE:
            if (first) {
                n = jinja_map_case(CASE_TITLE, code, to);
                break;
            }
            n = lower_at(s, at, size, code, to);
            break;
        default:
            n = lower_at(s, at, size, code, to);
            break;
        }
        if (change == CHANGE_TITLE) previous_cased = is_cased(code);
        char bytes[12];
        size_t written = 0;
        for (int i = 0; i < n; i++) written += utf8_encode(to[i], bytes + written);
        ok = jinja_append(j, &text, (struct str){bytes, written});
        at += size;
    }
    if (ok) return jinja_take_buffer(j, &text, out);
    strbuf_deinit(&text);
    return false;
}

/* ---- strip, replace, lines, padding ------------------------------------------------------------------ */

static bool strips(struct str set, bool spaces, const char *character, size_t size)
{
    if (!spaces) return str_find(set, (struct str){character, size}) >= 0;
    uint32_t code;
    utf8_decode(character, size, &code);
    return jinja_is_space(code);
}

bool jinja_strip(struct jinja *j, struct str s, struct jinja_value characters, bool left,
                 bool right, struct jinja_value *out)
{
    bool spaces = characters.type == JINJA_NONE || characters.type == JINJA_MISSING;
    struct str set = {0};
    if (!spaces && !jinja_want_string(j, "strip", characters, &set)) return false;
    if (!jinja_work(j, spaces ? s.size / 8 : (s.size / 64 + 1) * (set.size + 1))) return false;
    while (left && s.size) {
        uint32_t code;
        size_t size = utf8_decode(s.data, s.size, &code);
        if (!strips(set, spaces, s.data, size)) break;
        s = str_slice(s, size, s.size);
    }
    while (right && s.size) {
        size_t start = s.size - 1;
        while (start > 0 && ((unsigned char)s.data[start] & 0xC0) == 0x80) start--;
        if (!strips(set, spaces, s.data + start, s.size - start)) break;
        s.size = start;
    }
    *out = jinja_string(s);
    return true;
}

bool jinja_replace(struct jinja *j, struct str s, struct str from, struct str to, int64_t count,
                   struct jinja_value *out)
{
    struct strbuf text;
    jinja_buffer_init(j, &text);
    bool ok = jinja_work(j, s.size);
    size_t at = 0;
    while (ok && count != 0) {
        size_t end;
        if (from.size == 0) { /* before every character and at the end */
            if (at > s.size) break;
            uint32_t code;
            size_t size = at < s.size ? utf8_decode(s.data + at, s.size - at, &code) : 1;
            ok =
                jinja_append(j, &text, to) &&
                (at >= s.size || count == 1 || jinja_append(j, &text, str_slice(s, at, at + size)));
            if (count == 1) break;
            at += size;
            count--;
            continue;
        }
        int64_t found = str_find(str_slice(s, at, s.size), from);
        if (found < 0) break;
        end = at + (size_t)found;
        ok = jinja_append(j, &text, str_slice(s, at, end)) && jinja_append(j, &text, to) &&
             jinja_step(j, 1);
        at = end + from.size;
        count--;
    }
    ok = ok && (at >= s.size || jinja_append(j, &text, str_slice(s, at, s.size)));
    if (ok) return jinja_take_buffer(j, &text, out);
    strbuf_deinit(&text);
    return false;
}

bool jinja_split_lines(struct jinja *j, struct str s, bool keep_ends, struct jinja_value *out)
{
    struct jinja_builder lines = {0};
    size_t start = 0;
    if (!jinja_work(j, s.size)) return false;
    for (size_t at = 0; at < s.size;) {
        uint32_t code;
        size_t size = utf8_decode(s.data + at, s.size - at, &code), end = at;
        at += size;
        if (!jinja_is_line_break(code)) continue;
        if (code == '\r' && at < s.size && s.data[at] == '\n') at++;
        struct str line = str_slice(s, start, keep_ends ? at : end);
        if (!jinja_builder_push(j, &lines, jinja_string(line))) return false;
        start = at;
    }
    if (start < s.size && !jinja_builder_push(j, &lines, jinja_string(str_slice(s, start, s.size))))
        return false;
    return jinja_builder_finish(j, &lines, JINJA_LIST, out);
}

bool jinja_justify(struct jinja *j, struct str s, int64_t width, char align, struct str fill,
                   struct jinja_value *out)
{
    int64_t n;
    if (!jinja_length(j, jinja_string(s), &n)) return false;
    int64_t pad = width - n;
    if (pad <= 0) {
        *out = jinja_string(s);
        return true;
    }
    if (pad > UINT32_MAX / 8) return jinja_fail_memory(j);
    /* str.center puts the odd space on the right unless the width is odd. */
    int64_t left = align == '>' ? pad : align == '^' ? pad / 2 + (pad & width & 1) : 0;
    struct strbuf text;
    jinja_buffer_init(j, &text);
    bool ok = jinja_work(j, (size_t)pad);
    for (int64_t i = 0; i < left && ok; i++) ok = jinja_append(j, &text, fill);
    ok = ok && jinja_append(j, &text, s);
    for (int64_t i = left; i < pad && ok; i++) ok = jinja_append(j, &text, fill);
    if (ok) return jinja_take_buffer(j, &text, out);
    strbuf_deinit(&text);
    return false;
}
