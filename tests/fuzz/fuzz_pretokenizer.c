/* Any bytes as text: the pieces cover it in order and do not depend on how many are asked for, and the
 * detokenizer, fed the same bytes cut anywhere, emits valid UTF-8 that does not depend on the cuts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) abort();
}

/* One piece at a time and `max` at a time cut at the same places. */
static void split(enum pretokenizer_kind kind, struct str text, size_t max)
{
    size_t ends[70], n;
    for (size_t at = 0; at < text.size;) {
        n = pretokenizer_split(kind, text, at, ends, max);
        check(n > 0 && n <= max);
        for (size_t i = 0; i < n; i++) {
            size_t end = pretokenizer_next(kind, text, at);
            check(end > at && end <= text.size && end == ends[i]);
            at = end;
        }
    }
}

static void detokenize(struct str text, size_t step, struct strbuf *out)
{
    struct detokenizer d = {0};
    for (size_t at = 0; at < text.size; at += step) {
        check(detokenizer_push(&d, str_slice(text, at, at + step), out) == STATUS_OK);
        check(utf8_is_valid(strbuf_view(out)));
    }
    check(detokenizer_finish(&d, out) == STATUS_OK);
    check(utf8_is_valid(strbuf_view(out)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) return 0;
    char *exact = malloc(size ? size : 1);
    if (!exact) return 0;
    if (size) memcpy(exact, data, size);
    struct str text = {exact, size};
    for (int kind = PRETOKENIZER_LLAMA3; kind <= PRETOKENIZER_NONE; kind++)
        split((enum pretokenizer_kind)kind, text, size ? 1 + (unsigned char)exact[0] % 70 : 1);
    struct strbuf whole = {0}, cut = {0};
    detokenize(text, size ? size : 1, &whole);
    detokenize(text, size ? 1 + (unsigned char)exact[0] % 5 : 1, &cut);
    check(str_equal(strbuf_view(&whole), strbuf_view(&cut)));
    strbuf_deinit(&whole);
    strbuf_deinit(&cut);
    free(exact);
    return 0;
}
