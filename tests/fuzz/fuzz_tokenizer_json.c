/* Any bytes as tokenizer.json (and, after a NUL byte, tokenizer_config.json): refused with a message, or a tokenizer
 * whose encoding decodes to the text it was given. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) abort();
}

static void round_trip(const struct tokenizer *t, struct str text, enum tokenizer_special special,
                       bool marks)
{
    struct error err;
    struct token_list ids = {0};
    struct strbuf back = {0};
    struct tokenizer_encode_options options = {special, false};
    check(tokenizer_encode(t, text, options, &ids, &err) == STATUS_OK);
    check(tokenizer_decode(t, ids.ids, ids.count, false, &back, &err) == STATUS_OK);
    /* Added tokens may take spaces along; otherwise every byte comes back. */
    if (!marks) {
        check(back.size <= text.size);
        if (back.size == text.size) check(str_equal(strbuf_view(&back), text));
    }
    token_list_deinit(&ids);
    strbuf_deinit(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16) return 0;
    char *text = malloc(size ? size : 1);
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    const char *nul = memchr(text, 0, size);
    size_t first = nul ? (size_t)(nul - text) : size;
    struct str json = {text, first},
               config = {text + first + (nul != NULL), size - first - (nul != NULL)};
    struct tokenizer *t;
    struct error err = {0};
    status result = tokenizer_open_json(&t, json, config, "fuzz", &err);
    /* Spaces spelled U+2581 come back as spaces, and what is no token may come back as "<unk>". */
    bool marks = str_find(json, STR("\xE2\x96\x81")) >= 0 || str_find(json, STR("\\u2581")) >= 0;
    if (result == STATUS_OK) {
        round_trip(t, json, TOKENIZER_SPECIAL_AS_TEXT, marks);
        round_trip(t, (struct str){text, size}, TOKENIZER_SPECIAL_PARSED, marks);
        tokenizer_destroy(t);
    } else {
        check(!t && err.code == result && err.text[0]);
    }
    free(text);
    return 0;
}
