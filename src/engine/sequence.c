#include "engine/sequence_text.h"

#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

/* A byte of a token can become three of text (U+FFFD), and three bytes of an unfinished character may
 * be waiting in front of it. */
static size_t most_piece_bytes(size_t max_token_bytes) { return 3 * (max_token_bytes + 4); }

status sequence_text_init(struct sequence_text *t, struct arena *arena,
                          const struct stop_strings *strings, size_t max_token_bytes,
                          struct error *err)
{
    size_t piece = most_piece_bytes(max_token_bytes);
    if (strbuf_reserve(&t->piece, piece) ||
        strbuf_reserve(&t->out, 2 * piece + strings->longest + 1))
        return error_set(err, STATUS_NO_MEMORY, "request: no memory for text buffers");
    return stop_matcher_init(&t->matcher, arena, strings, piece, err);
}

void sequence_text_deinit(struct sequence_text *t)
{
    strbuf_deinit(&t->piece);
    strbuf_deinit(&t->out);
    stop_matcher_deinit(&t->matcher);
}

static void finish_text(struct sequence *q, const struct token_text *text, bool search)
{
    struct sequence_text *t = &q->text;
    if (!text->bytes) return;
    strbuf_clear(&t->piece);
    detokenizer_finish(&t->detokenizer, &t->piece);
    const struct sampling_params *p = &q->request->params;
    if (search && sequence_n_output(q) > p->min_tokens) {
        int32_t found = stop_matcher_push(&t->matcher, strbuf_view(&t->piece),
                                          p->include_stop_str_in_output, &t->out);
        if (found >= 0) {
            q->finish = FINISH_STOP;
            q->stop_string = p->stop[found];
            return;
        }
        stop_matcher_flush(&t->matcher, &t->out);
        return;
    }
    stop_matcher_flush(&t->matcher, &t->out);
    strbuf_append(&t->out, strbuf_view(&t->piece));
}

void sequence_finish(struct sequence *q, const struct token_text *text, enum finish_reason reason)
{
    q->finish = reason;
    finish_text(q, text, false);
}

/* ---- stopping ---- */

static bool ends_with_sequence(const token_id *tokens, int32_t n, const struct token_sequence *s)
{
    if (s->count > (size_t)n) return false; /* it may begin in the prompt */
    return !memcmp(tokens + n - s->count, s->ids, s->count * sizeof *s->ids);
}

bool sequence_stops_at(const struct sequence *q, int32_t n_tokens)
{
    const struct request *r = q->request;
    if (n_tokens - q->n_prompt < r->params.min_tokens) return false;
    token_id last = q->tokens[n_tokens - 1];
    for (int32_t i = 0; i < r->n_held_ids; i++)
        if (r->held_ids[i] == last) return true;
    for (size_t i = 0; i < r->params.n_stop_token_sequences; i++)
        if (ends_with_sequence(q->tokens, n_tokens, &r->params.stop_token_sequences[i]))
            return true;
    return false;
}

bool sequence_stops_by_token(const struct sequence *q) { return sequence_stops_at(q, q->n_tokens); }

/* The text of one more token goes through the detokenizer and the stop strings. */
static void add_text(struct sequence *q, token_id id, const struct token_text *text)
{
    struct sequence_text *t = &q->text;
    const struct sampling_params *p = &q->request->params;
    if (!text->bytes) return;
    if (p->skip_special_tokens && text->is_special(text->source, id)) return;
    strbuf_clear(&t->piece);
    detokenizer_push(&t->detokenizer, text->bytes(text->source, id), &t->piece);
    if (sequence_n_output(q) <= p->min_tokens) { /* stop strings count only in what comes later */
        strbuf_append(&t->out, strbuf_view(&t->piece));
        return;
    }
    int32_t found = stop_matcher_push(&t->matcher, strbuf_view(&t->piece),
                                      p->include_stop_str_in_output, &t->out);
    if (found < 0) return;
    q->finish = FINISH_STOP;
    q->stop_string = p->stop[found];
}

void sequence_accept(struct sequence *q, token_id id, const struct token_text *text)
{
    const struct request *r = q->request;
    q->tokens[q->n_tokens++] = id;
    if (sequence_stops_by_token(q)) {
        q->finish = FINISH_STOP;
        q->stop_token = id;
        if (r->params.include_stop_str_in_output) {
            add_text(q, id, text);
            q->stop_string = (struct str){0};
        }
        finish_text(q, text, false);
        return;
    }
    add_text(q, id, text);
    if (q->finish != FINISH_NONE) return;
    if (sequence_n_output(q) >= r->max_output) {
        q->finish = FINISH_LENGTH;
        finish_text(q, text, true);
    }
}
