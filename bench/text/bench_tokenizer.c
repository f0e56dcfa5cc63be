/* bench_tokenizer: how fast text becomes tokens, on one thread.
 *
 *   bench_tokenizer TOKENIZER DOCUMENTS [rounds]
 *
 * DOCUMENTS holds texts, each preceded by its length in bytes on a line of its own; each is one call. Without
 * arguments: a smoke run on a vocabulary of single bytes. compare_tokenizers.py runs this beside its peers. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "text/tokenizer.h"

/* Processor time of this one thread: other load on the machine does not count. */
static int64_t processor_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int fail(const struct error *err)
{
    fprintf(stderr, "bench_tokenizer: %s\n", err->text);
    return err->code;
}

/* One pass over the documents; false at a malformed file. */
static bool encode_all(const struct tokenizer *t, struct str documents, size_t *n_bytes,
                       size_t *n_tokens)
{
    struct token_list ids = {0};
    struct tokenizer_encode_options options = {TOKENIZER_SPECIAL_AS_TEXT, false};
    bool good = true;
    *n_bytes = *n_tokens = 0;
    for (size_t at = 0; good && at < documents.size;) {
        char *end;
        size_t size = strtoull(documents.data + at, &end, 10);
        at = (size_t)(end - documents.data) + 1;
        good = *end == '\n' && size <= documents.size - at;
        if (!good) break;
        ids.count = 0;
        struct str text = {documents.data + at, size};
        good = tokenizer_encode(t, text, options, &ids, NULL) == STATUS_OK;
        *n_bytes += size;
        *n_tokens += ids.count;
        at += size;
    }
    token_list_deinit(&ids);
    return good;
}

static status smoke_tokenizer(struct tokenizer **t, struct error *err)
{
    struct strbuf text = {0};
    TRY(strbuf_append_c(&text,
                        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                        "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{"));
    for (int i = 0, extra = 256; i < 256; i++) {
        bool itself = (i > 32 && i < 127) || (i > 160 && i != 173);
        TRY(strbuf_appendf(&text, "%s\"\\u%04x\":%d", i ? "," : "", itself ? i : extra++, i));
    }
    TRY(strbuf_append_c(&text, "}}}"));
    status result = tokenizer_open_json(t, strbuf_view(&text), STR(""), "smoke", err);
    strbuf_deinit(&text);
    return result;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct tokenizer *t;
    struct strbuf documents = {0};
    long rounds = argc > 3 ? strtol(argv[3], NULL, 10) : 3;
    int64_t load_us = INT64_MAX;
    for (int i = 0; i < (argc > 2 ? 5 : 1); i++) {
        int64_t start = processor_us();
        if (argc > 2 ? tokenizer_open(&t, argv[1], &err) : smoke_tokenizer(&t, &err))
            return fail(&err);
        int64_t us = processor_us() - start;
        if (us < load_us) load_us = us;
        if (argc > 2 && i < 4) tokenizer_destroy(t);
    }
    if (argc > 2 ? file_read(argv[2], (size_t)1 << 32, &documents, &err)
                 : strbuf_append_c(&documents, "12\nHello world!"))
        return fail(&err);
    int64_t first = 0, best = INT64_MAX;
    size_t n_bytes = 0, n_tokens = 0;
    for (long i = 0; i < rounds; i++) {
        int64_t start = processor_us();
        if (!encode_all(t, strbuf_view(&documents), &n_bytes, &n_tokens)) {
            fprintf(stderr, "bench_tokenizer: %s is not a list of documents\n", argv[2]);
            return 1;
        }
        int64_t us = processor_us() - start;
        if (i == 0) first = us;
        if (us < best) best = us;
    }
    printf("bytes %zu tokens %zu MB/s %.1f first %.1f load_ms %.1f\n", n_bytes, n_tokens,
           best ? (double)n_bytes / (double)best : 0.0,
           first ? (double)n_bytes / (double)first : 0.0, (double)load_us / 1000);
    strbuf_deinit(&documents);
    tokenizer_destroy(t);
    return 0;
}
