/* probe_tokenizer: the tokenizer as a filter, for tests and benchmarks.
 *
 *   probe_tokenizer PATH encode [parsed] [bos]   documents in, each preceded by its length in bytes on a line
 *                                                of its own; out, for each, the ids as little-endian int32
 *                                                after their number
 *   probe_tokenizer PATH decode [skip]           the reverse: numbers and ids in, lengths and bytes out
 *   probe_tokenizer PATH stream                  as decode, but token by token through the detokenizer; a byte 0xFF
 *                                                behind what each token and the end give
 *   probe_tokenizer - detokenize                 pushes each document to the detokenizer byte by byte and
 *                                                finishes; lengths and text out
 *   probe_tokenizer PATH info                    facts about the tokenizer, one per line
 *   probe_tokenizer PATH template NAME           the chat template of that name
 *   probe_tokenizer PATH load                    loads it several times, prints milliseconds
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "text/tokenizer.h"

static int fail(const struct error *err)
{
    fprintf(stderr, "%s: %s\n", status_name(err->code), err->text);
    return err->code;
}

static int encode(const struct tokenizer *t, struct tokenizer_encode_options options)
{
    size_t size;
    struct error err;
    struct token_list ids = {0};
    while (scanf("%zu", &size) == 1 && getchar() == '\n') {
        char *text = malloc(size ? size : 1); /* exact, so that a sanitizer sees a read past it */
        if (!text || fread(text, 1, size, stdin) != size) return 1;
        ids.count = 0;
        if (tokenizer_encode(t, (struct str){text, size}, options, &ids, &err)) return fail(&err);
        int32_t count = (int32_t)ids.count;
        fwrite(&count, sizeof count, 1, stdout);
        fwrite(ids.ids, sizeof *ids.ids, ids.count, stdout);
        free(text);
    }
    token_list_deinit(&ids);
    return 0;
}

static status stream(const struct tokenizer *t, const token_id *ids, size_t count,
                     struct strbuf *out)
{
    struct detokenizer d = {0};
    for (size_t i = 0; i < count; i++) {
        TRY(detokenizer_push(&d, tokenizer_token_bytes(t, ids[i]), out));
        TRY(strbuf_append(out, STR("\xFF")));
    }
    TRY(detokenizer_finish(&d, out));
    return strbuf_append(out, STR("\xFF"));
}

static int decode(const struct tokenizer *t, bool skip_special, bool streamed)
{
    int32_t count;
    struct error err = {0};
    struct strbuf text = {0};
    while (fread(&count, sizeof count, 1, stdin) == 1 && count >= 0) {
        token_id *ids = malloc((size_t)count * sizeof *ids + 1);
        if (!ids || fread(ids, sizeof *ids, (size_t)count, stdin) != (size_t)count) return 1;
        strbuf_clear(&text);
        if (streamed ? stream(t, ids, (size_t)count, &text)
                     : tokenizer_decode(t, ids, (size_t)count, skip_special, &text, &err))
            return fail(&err);
        printf("%zu\n", text.size);
        if (text.size) fwrite(text.data, 1, text.size, stdout);
        free(ids);
    }
    strbuf_deinit(&text);
    return 0;
}

static int detokenize(void)
{
    size_t size;
    struct strbuf text = {0};
    while (scanf("%zu", &size) == 1 && getchar() == '\n') {
        struct detokenizer d = {0};
        strbuf_clear(&text);
        for (size_t i = 0; i < size; i++) {
            char byte = (char)getchar();
            if (detokenizer_push(&d, (struct str){&byte, 1}, &text)) return 1;
        }
        if (detokenizer_finish(&d, &text)) return 1;
        printf("%zu\n", text.size);
        if (text.size) fwrite(text.data, 1, text.size, stdout);
    }
    strbuf_deinit(&text);
    return 0;
}

static int info(const struct tokenizer *t)
{
    struct str template = tokenizer_chat_template(t, "default");
    printf("vocab_size %d\nbos %d\neos %d\npad %d\nadds_bos %d\nadds_eos %d\ntemplate_bytes %zu\n",
           tokenizer_vocab_size(t), tokenizer_bos(t), tokenizer_eos(t), tokenizer_pad(t),
           tokenizer_adds_bos(t), tokenizer_adds_eos(t), template.size);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    if (!strcmp(argv[2], "detokenize")) return detokenize();
    bool parsed = false, bos = false, skip = false;
    for (int i = 3; i < argc; i++) {
        parsed |= !strcmp(argv[i], "parsed");
        bos |= !strcmp(argv[i], "bos");
        skip |= !strcmp(argv[i], "skip");
    }
    struct tokenizer *t;
    struct error err = {0};
    int n_loads = strcmp(argv[2], "load") ? 1 : 5;
    for (int i = 0; i < n_loads; i++) {
        int64_t start = clock_monotonic_us();
        if (tokenizer_open(&t, argv[1], &err)) return fail(&err);
        if (n_loads > 1) printf("load_ms %.1f\n", (double)(clock_monotonic_us() - start) / 1000);
        if (i + 1 < n_loads) tokenizer_destroy(t);
    }
    int result = 2;
    if (!strcmp(argv[2], "encode"))
        result = encode(t, (struct tokenizer_encode_options){
                               parsed ? TOKENIZER_SPECIAL_PARSED : TOKENIZER_SPECIAL_AS_TEXT, bos});
    if (!strcmp(argv[2], "decode")) result = decode(t, skip, false);
    if (!strcmp(argv[2], "stream")) result = decode(t, false, true);
    if (!strcmp(argv[2], "template") && argc > 3) {
        struct str template = tokenizer_chat_template(t, argv[3]);
        result = fwrite(template.data, 1, template.size, stdout) == template.size ? 0 : 1;
    }
    if (!strcmp(argv[2], "info") || n_loads > 1) result = info(t);
    tokenizer_destroy(t);
    return result;
}
