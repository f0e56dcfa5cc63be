#include "cmd/measure.h"

#include "cmd/input.h"

void measure_arguments(struct measure_options *o, struct argument out[MEASURE_ARGUMENTS])
{
    const struct argument arguments[MEASURE_ARGUMENTS] = {
        session_model_argument(&o->session),
        {.name = "file",
         .letter = 'f',
         .type = ARGUMENT_TEXT,
         .value = &o->file,
         .placeholder = "FILE",
         .help = MESSAGE_OPTION_MEASURE_FILE},
        {.name = "ctx-size",
         .letter = 'c',
         .type = ARGUMENT_INTEGER,
         .value = &o->ctx_size,
         .placeholder = "N",
         .low = 8,
         .high = 1 << 24,
         .fallback = "512",
         .help = MESSAGE_OPTION_CTX_SIZE},
        {.name = "chunks",
         .type = ARGUMENT_INTEGER,
         .value = &o->chunks,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 24,
         .help = MESSAGE_OPTION_CHUNKS},
        {.name = "threads",
         .letter = 't',
         .type = ARGUMENT_INTEGER,
         .value = &o->session.threads,
         .placeholder = "N",
         .low = 1,
         .high = 1024,
         .help = MESSAGE_OPTION_THREADS},
        {.name = "isa",
         .type = ARGUMENT_CHOICE,
         .value = &o->session.isa,
         .placeholder = "SET",
         .choices = "auto|ref|avx2|avx512|avx512bf16|neon",
         .help = MESSAGE_OPTION_ISA},
        {.name = "json", .type = ARGUMENT_FLAG, .value = &o->json, .help = MESSAGE_OPTION_JSON},
    };
    memcpy(out, arguments, sizeof arguments);
}

static status read_tokens(struct measure *m, const struct measure_options *o, struct error *err)
{
    const struct tokenizer *tokenizer = model_tokenizer(m->session.model);
    struct tokenizer_encode_options options = {TOKENIZER_SPECIAL_AS_TEXT,
                                               tokenizer_adds_bos(tokenizer)};
    struct strbuf text = {0};
    status result = input_read(o->file, &text, err);
    if (result == STATUS_OK && text.size && text.data[text.size - 1] == '\n') text.size--;
    if (result == STATUS_OK)
        result = tokenizer_encode(tokenizer, strbuf_view(&text), options, &m->tokens, err);
    strbuf_deinit(&text);
    return result;
}

status measure_open(struct measure *m, const struct measure_options *o,
                    const struct environment *environment, bool with_text, struct error *err)
{
    *m = (struct measure){.bos = TOKEN_NONE};
    if (with_text && !o->file)
        return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_MEASURE_NEEDS_FILE));
    TRY(session_read_config(&m->session, environment, err));
    TRY(session_open_model(&m->session, &o->session, environment, false, err));
    const struct tokenizer *tokenizer = model_tokenizer(m->session.model);
    if (tokenizer_adds_bos(tokenizer)) m->bos = tokenizer_bos(tokenizer);
    if (with_text) TRY(read_tokens(m, o, err));
    TRY(op_table_init(&m->table, o->session.isa, err));
    return thread_pool_create(&m->threads, (int)o->session.threads, err);
}

void measure_close(struct measure *m)
{
    thread_pool_destroy(m->threads);
    token_list_deinit(&m->tokens);
    session_close(&m->session);
}
