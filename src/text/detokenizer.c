/* The streaming half of decoding: bytes in, whole characters out. */
#include "base/utf8.h"
#include "text/tokenizer.h"

static const struct str replacement = {"\xEF\xBF\xBD", 3};

/* Emits s, which ends on a character boundary, with each maximal ill-formed part replaced. */
static status emit(struct str s, struct strbuf *out)
{
    TRY(strbuf_reserve(out, s.size));
    size_t start = 0, at = 0;
    while (at < s.size) {
        uint32_t code;
        size_t length = utf8_decode(s.data + at, s.size - at, &code);
        if (code == UTF8_INVALID) {
            TRY(strbuf_append(out, str_slice(s, start, at)));
            TRY(strbuf_append(out, replacement));
            start = at + length;
        }
        at += length;
    }
    return strbuf_append(out, str_slice(s, start, s.size));
}

status detokenizer_push(struct detokenizer *d, struct str bytes, struct strbuf *out)
{
    size_t at = 0;
    while (d->n_pending && at < bytes.size) {
        d->pending[d->n_pending] = bytes.data[at];
        struct str joined = {d->pending, (size_t)d->n_pending + 1};
        if (utf8_is_valid(joined)) {
            TRY(strbuf_append(out, joined));
            d->n_pending = 0;
            at++;
        } else if (utf8_incomplete_tail(joined) == joined.size) {
            d->n_pending++;
            at++;
        } else { /* what was pending can no longer become a character; the new byte begins anew */
            TRY(strbuf_append(out, replacement));
            d->n_pending = 0;
        }
    }
    struct str rest = str_slice(bytes, at, bytes.size);
    size_t tail = utf8_incomplete_tail(rest);
    TRY(emit(str_slice(rest, 0, rest.size - tail), out));
    if (tail) {
        memcpy(d->pending, rest.data + rest.size - tail, tail);
        d->n_pending = (uint8_t)tail;
    }
    return STATUS_OK;
}

status detokenizer_finish(struct detokenizer *d, struct strbuf *out)
{
    if (d->n_pending) TRY(strbuf_append(out, replacement));
    d->n_pending = 0;
    return STATUS_OK;
}
