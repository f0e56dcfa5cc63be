#include "engine/stop_matcher.h"

static status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "stop strings: no memory for their tables");
}

status stop_strings_init(struct stop_strings *s, struct arena *arena, const struct str *list,
                         size_t count, struct error *err)
{
    *s = (struct stop_strings){.list = list, .count = count};
    if (count == 0) return STATUS_OK;
    s->failure = ARENA_ARRAY(arena, int32_t *, count);
    if (!s->failure) return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        struct str p = list[i];
        int32_t *failure = ARENA_ARRAY(arena, int32_t, p.size + 1);
        if (!failure) return no_memory(err);
        int32_t border = 0; /* failure[0] = failure[1] = 0 */
        for (size_t j = 1; j < p.size; j++) {
            while (border > 0 && p.data[j] != p.data[border]) border = failure[border];
            if (p.data[j] == p.data[border]) border++;
            failure[j + 1] = border;
        }
        s->failure[i] = failure;
        if (p.size > s->longest) s->longest = p.size;
    }
    return STATUS_OK;
}

status stop_matcher_init(struct stop_matcher *m, struct arena *arena,
                         const struct stop_strings *strings, size_t max_piece, struct error *err)
{
    *m = (struct stop_matcher){.strings = strings};
    if (strings->count == 0) return STATUS_OK;
    m->states = ARENA_ARRAY(arena, int32_t, strings->count);
    if (!m->states || strbuf_reserve(&m->held, strings->longest + max_piece + 1))
        return no_memory(err);
    return STATUS_OK;
}

void stop_matcher_deinit(struct stop_matcher *m) { strbuf_deinit(&m->held); }

/* Advances every automaton by one byte; the longest string completed by it, or -1. */
static int32_t advance(struct stop_matcher *m, char byte, int32_t *longest_state)
{
    const struct stop_strings *s = m->strings;
    int32_t found = -1, longest = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct str p = s->list[i];
        int32_t state = m->states[i];
        while (state > 0 && p.data[state] != byte) state = s->failure[i][state];
        if (p.data[state] == byte) state++;
        if ((size_t)state == p.size) {
            if (found < 0 || p.size > s->list[found].size) found = (int32_t)i;
            state = s->failure[i][state];
        }
        m->states[i] = state;
        if (state > longest) longest = state;
    }
    *longest_state = longest;
    return found;
}

int32_t stop_matcher_push(struct stop_matcher *m, struct str piece, bool include,
                          struct strbuf *out)
{
    if (m->strings->count == 0) {
        strbuf_append(out, piece);
        return -1;
    }
    size_t before = m->held.size;
    int32_t longest = 0;
    if (piece.size == 0) return -1;
    strbuf_append(&m->held, piece);
    for (size_t i = 0; i < piece.size; i++) {
        int32_t found = advance(m, piece.data[i], &longest);
        if (found < 0) continue;
        size_t end = before + i + 1;
        if (!include) end -= m->strings->list[found].size;
        strbuf_append(out, str_slice(strbuf_view(&m->held), 0, end));
        strbuf_clear(&m->held);
        return found;
    }
    size_t sure = m->held.size - (size_t)longest;
    strbuf_append(out, str_slice(strbuf_view(&m->held), 0, sure));
    memmove(m->held.data, m->held.data + sure, (size_t)longest);
    m->held.size = (size_t)longest;
    m->held.data[longest] = '\0';
    return -1;
}

void stop_matcher_flush(struct stop_matcher *m, struct strbuf *out)
{
    if (m->held.size == 0) return;
    strbuf_append(out, strbuf_view(&m->held));
    strbuf_clear(&m->held);
    for (size_t i = 0; i < m->strings->count; i++) m->states[i] = 0;
}
