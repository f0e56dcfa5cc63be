#include "text/tokenizer_export.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/bpe_tables.h"
#include "text/tokenizer_parts.h"

enum { KIND_NORMAL = 1, KIND_CONTROL = 3, KIND_USER_DEFINED = 4, KIND_UNUSED = 5 };

struct export
{
    const struct tokenizer *t;
    struct error *err;
    struct strbuf text;       /* of one token */
    struct bpe_merge *merges; /* by rank */
    size_t n_merges;
    char alphabet[256][4]; /* the UTF-8 spelling of each byte, terminated */
};

static status begin(struct export *e, const struct tokenizer *t, struct error *err)
{
    *e = (struct export){.t = t, .err = err};
    if (t->marks != TOKENIZER_MARKS_NONE)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "the vocabulary spells spaces as \"▁\" (the Llama-2 kind): only byte-level "
            "vocabularies can be converted");
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        bool itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        int code = itself ? byte : next++;
        char *out = e->alphabet[byte];
        if (code < 0x80) {
            out[0] = (char)code;
        } else {
            out[0] = (char)(0xC0 | code >> 6);
            out[1] = (char)(0x80 | (code & 63));
        }
    }
    if (bpe_list_merges(t->bpe, &e->merges, &e->n_merges) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the merges");
    return STATUS_OK;
}

static void end(struct export *e)
{
    free(e->merges);
    strbuf_deinit(&e->text);
}

/* Appends a token as vocabularies spell it. */
static status spell(const struct export *e, token_id id, struct strbuf *out)
{
    const struct tokenizer *t = e->t;
    struct str bytes = t->bpe_tokens[id];
    if (!bytes.size || t->flags[id] & ADDED_TOKEN) return strbuf_append(out, t->tokens[id]);
    for (size_t i = 0; i < bytes.size; i++)
        TRY(strbuf_append_c(out, e->alphabet[(unsigned char)bytes.data[i]]));
    return STATUS_OK;
}

/* ---- GGUF ---- */

static const char *pre_name(const struct tokenizer *t)
{
    switch (t->pretokenizer) {
    case PRETOKENIZER_LLAMA3:
        return t->bpe->whole_piece_wins ? "llama-bpe" : "smaug-bpe";
    case PRETOKENIZER_QWEN2:
        return t->bpe->whole_piece_wins ? NULL : "qwen2";
    case PRETOKENIZER_GPT2:
        return t->bpe->whole_piece_wins ? NULL : "gpt-2";
    default:
        return NULL;
    }
}

static status put_tokens(struct export *e, int64_t vocab_size, struct gguf_writer *w)
{
    const struct tokenizer *t = e->t;
    gguf_put_array(w, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)vocab_size);
    for (int64_t id = 0; id < vocab_size; id++) {
        strbuf_clear(&e->text);
        if (id < t->n_ids && t->tokens[id].size)
            TRY(spell(e, (token_id)id, &e->text));
        else
            TRY(strbuf_appendf(&e->text, "[PAD%lld]", (long long)id));
        gguf_put_element_str(w, strbuf_view(&e->text));
    }
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)vocab_size);
    for (int64_t id = 0; id < vocab_size; id++) {
        bool used = id < t->n_ids && t->tokens[id].size;
        unsigned flags = used ? t->flags[id] : 0;
        gguf_put_element_i32(w, !used                         ? KIND_UNUSED
                                : flags & ADDED_TOKEN_SPECIAL ? KIND_CONTROL
                                : flags & ADDED_TOKEN         ? KIND_USER_DEFINED
                                                              : KIND_NORMAL);
    }
    return STATUS_OK;
}

static status put_merges(struct export *e, struct gguf_writer *w)
{
    gguf_put_array(w, "tokenizer.ggml.merges", GGUF_STRING, e->n_merges);
    for (size_t i = 0; i < e->n_merges; i++) {
        strbuf_clear(&e->text);
        TRY(spell(e, e->merges[i].left, &e->text));
        TRY(strbuf_append_char(&e->text, ' '));
        TRY(spell(e, e->merges[i].right, &e->text));
        gguf_put_element_str(w, strbuf_view(&e->text));
    }
    return STATUS_OK;
}

static void put_ends(const struct tokenizer *t, const token_id *eos_ids, size_t n_eos_ids,
                     struct gguf_writer *w)
{
    static const char *const more[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    if (t->bos >= 0) gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)t->bos);
    token_id eos = t->eos >= 0 ? t->eos : n_eos_ids ? eos_ids[0] : TOKEN_NONE;
    if (eos >= 0) gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)eos);
    if (t->pad >= 0) gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)t->pad);
    int n = 0;
    for (size_t i = 0; i < n_eos_ids && n < 2; i++)
        if (eos_ids[i] != eos) gguf_put_u32(w, more[n++], (uint32_t)eos_ids[i]);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", t->put_before >= 0);
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", t->put_after >= 0);
}

static status put_all(struct export *e, int64_t vocab_size, const token_id *eos_ids,
                      size_t n_eos_ids, struct gguf_writer *w)
{
    const struct tokenizer *t = e->t;
    const char *pre = pre_name(t);
    if (!pre)
        return error_set(e->err, STATUS_UNSUPPORTED,
                         "GGUF files have no name for the way in which this tokenizer cuts text");
    if (t->n_ids > vocab_size)
        return error_set(e->err, STATUS_UNSUPPORTED,
                         "the tokenizer has ids up to %d, the model's vocabulary ends before %lld",
                         t->n_ids - 1, (long long)vocab_size);
    gguf_put_str(w, "tokenizer.ggml.model", STR("gpt2"));
    gguf_put_str(w, "tokenizer.ggml.pre", str_of(pre));
    TRY(put_tokens(e, vocab_size, w));
    TRY(put_merges(e, w));
    put_ends(t, eos_ids, n_eos_ids, w);
    for (int i = 0; i < t->n_templates; i++) {
        const struct tokenizer_template *template = &t->templates[i];
        if (str_equal_c(template->name, "default")) {
            gguf_put_str(w, "tokenizer.chat_template", template->text);
            continue;
        }
        strbuf_clear(&e->text);
        TRY(strbuf_appendf(&e->text, "tokenizer.chat_template.%.*s", STR_ARGS(template->name)));
        gguf_put_str(w, e->text.data, template->text);
    }
    return STATUS_OK;
}

static status finish(struct export *e, status result)
{
    if (result == STATUS_NO_MEMORY) error_set(e->err, result, "no memory for the vocabulary");
    end(e);
    return result;
}

status tokenizer_put_gguf(const struct tokenizer *t, int64_t vocab_size, const token_id *eos_ids,
                          size_t n_eos_ids, struct gguf_writer *w, struct error *err)
{
    struct export e;
    TRY(begin(&e, t, err));
    return finish(&e, put_all(&e, vocab_size, eos_ids, n_eos_ids, w));
}

/* ---- Hugging Face ---- */

static status write_added(const struct export *e, struct strbuf *out)
{
    const struct tokenizer *t = e->t;
    bool any = false;
    TRY(strbuf_append_c(out, "\"added_tokens\":["));
    for (token_id id = 0; id < t->n_ids; id++) {
        unsigned flags = t->flags[id];
        if (!(flags & ADDED_TOKEN)) continue;
        TRY(strbuf_appendf(out, "%s\n{\"id\":%d,\"content\":", any ? "," : "", id));
        TRY(json_write_string(out, t->tokens[id], false));
        TRY(strbuf_appendf(out,
                           ",\"single_word\":%s,\"lstrip\":%s,\"rstrip\":%s,\"normalized\":%s,"
                           "\"special\":%s}",
                           flags & ADDED_TOKEN_SINGLE_WORD ? "true" : "false",
                           flags & ADDED_TOKEN_LSTRIP ? "true" : "false",
                           flags & ADDED_TOKEN_RSTRIP ? "true" : "false",
                           flags & ADDED_TOKEN_NORMALIZED ? "true" : "false",
                           flags & ADDED_TOKEN_SPECIAL ? "true" : "false"));
        any = true;
    }
    return strbuf_append_c(out, "],\n");
}

static const char byte_level[] =
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":";

/* {"SpecialToken": ...} or {"Sequence": ...} of a template, with a comma in front unless it is the first. */
static status write_piece(const struct export *e, token_id id, char sequence, int type, bool first,
                          struct strbuf *out)
{
    TRY(strbuf_append_c(out, first ? "{\"" : ",{\""));
    if (sequence)
        return strbuf_appendf(out, "Sequence\":{\"id\":\"%c\",\"type_id\":%d}}", sequence, type);
    TRY(strbuf_append_c(out, "SpecialToken\":{\"id\":"));
    TRY(json_write_string(out, e->t->tokens[id], false));
    return strbuf_appendf(out, ",\"type_id\":%d}}", type);
}

static status write_template(const struct export *e, int n_texts, struct strbuf *out)
{
    const struct tokenizer *t = e->t;
    TRY(strbuf_appendf(out, ",\"%s\":[", n_texts > 1 ? "pair" : "single"));
    for (int i = 0; i < n_texts; i++) {
        bool first = i == 0;
        if (t->put_before >= 0) TRY(write_piece(e, t->put_before, 0, i, first, out));
        first = first && t->put_before < 0;
        TRY(write_piece(e, TOKEN_NONE, (char)('A' + i), i, first, out));
        if (t->put_after >= 0) TRY(write_piece(e, t->put_after, 0, i, false, out));
    }
    return strbuf_append_char(out, ']');
}

static status write_template_token(const struct export *e, token_id id, struct strbuf *out)
{
    TRY(json_write_string(out, e->t->tokens[id], false));
    TRY(strbuf_append_c(out, ":{\"id\":"));
    TRY(json_write_string(out, e->t->tokens[id], false));
    TRY(strbuf_appendf(out, ",\"ids\":[%d],\"tokens\":[", id));
    TRY(json_write_string(out, e->t->tokens[id], false));
    return strbuf_append_c(out, "]}");
}

static status write_post_processor(const struct export *e, struct strbuf *out)
{
    token_id before = e->t->put_before, after = e->t->put_after;
    TRY(strbuf_append_c(out, "\"post_processor\":"));
    if (before < 0 && after < 0) return strbuf_appendf(out, "%strue},\n", byte_level);
    TRY(strbuf_append_c(out, "{\"type\":\"TemplateProcessing\""));
    TRY(write_template(e, 1, out));
    TRY(write_template(e, 2, out));
    TRY(strbuf_append_c(out, ",\"special_tokens\":{"));
    if (before >= 0) TRY(write_template_token(e, before, out));
    if (before >= 0 && after >= 0 && after != before) TRY(strbuf_append_char(out, ','));
    if (after >= 0 && after != before) TRY(write_template_token(e, after, out));
    return strbuf_append_c(out, "}},\n");
}

static status write_stages(const struct export *e, struct strbuf *out)
{
    const char *pattern = pretokenizer_pattern(e->t->pretokenizer);
    TRY(strbuf_append_c(out, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["));
    if (pattern) {
        TRY(strbuf_append_c(out, "{\"type\":\"Split\",\"pattern\":{\"Regex\":"));
        TRY(json_write_string(out, str_of(pattern), false));
        TRY(strbuf_append_c(out, "},\"behavior\":\"Isolated\",\"invert\":false},"));
    }
    TRY(strbuf_appendf(out, "%sfalse}]},\n", byte_level));
    TRY(write_post_processor(e, out));
    return strbuf_appendf(out, "\"decoder\":%strue},\n", byte_level);
}

static status write_vocabulary(struct export *e, struct strbuf *out)
{
    const struct tokenizer *t = e->t;
    bool any = false;
    TRY(strbuf_appendf(
        out,
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
        "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
        "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":%s,\"vocab\":{",
        t->bpe->whole_piece_wins ? "true" : "false"));
    for (token_id id = 0; id < t->n_ids; id++) {
        bool added = t->flags[id] & ADDED_TOKEN && !t->bpe_tokens[id].size;
        if (added || !t->tokens[id].size) continue;
        strbuf_clear(&e->text);
        TRY(spell(e, id, &e->text));
        TRY(strbuf_append_c(out, any ? ",\n" : "\n"));
        TRY(json_write_string(out, strbuf_view(&e->text), false));
        TRY(strbuf_appendf(out, ":%d", id));
        any = true;
    }
    TRY(strbuf_append_c(out, "},\"merges\":["));
    for (size_t i = 0; i < e->n_merges; i++) {
        for (int side = 0; side < 2; side++) {
            strbuf_clear(&e->text);
            TRY(spell(e, side ? e->merges[i].right : e->merges[i].left, &e->text));
            TRY(strbuf_append_c(out, side ? "," : i ? ",\n[" : "\n["));
            TRY(json_write_string(out, strbuf_view(&e->text), false));
        }
        TRY(strbuf_append_char(out, ']'));
    }
    return strbuf_append_c(out, "]}}\n");
}

static status write_tokenizer(struct export *e, struct strbuf *out)
{
    TRY(strbuf_append_c(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n"));
    TRY(write_added(e, out));
    TRY(strbuf_append_c(out, "\"normalizer\":null,\n"));
    TRY(write_stages(e, out));
    return write_vocabulary(e, out);
}

static status write_config(const struct export *e, struct strbuf *out)
{
    const struct tokenizer *t = e->t;
    const struct {
        const char *name;
        token_id id;
    } named[] = {{"bos_token", t->bos}, {"eos_token", t->eos}, {"pad_token", t->pad}};
    TRY(strbuf_append_c(out, "{\"tokenizer_class\":\"PreTrainedTokenizerFast\","
                             "\"clean_up_tokenization_spaces\":false"));
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (named[i].id < 0) continue;
        TRY(strbuf_appendf(out, ",\n\"%s\":", named[i].name));
        TRY(json_write_string(out, t->tokens[named[i].id], false));
    }
    if (t->n_templates) TRY(strbuf_append_c(out, ",\n\"chat_template\":"));
    if (t->n_templates == 1 && str_equal_c(t->templates[0].name, "default")) {
        TRY(json_write_string(out, t->templates[0].text, false));
    } else if (t->n_templates) {
        for (int i = 0; i < t->n_templates; i++) {
            TRY(strbuf_append_c(out, i ? ",\n{\"name\":" : "[{\"name\":"));
            TRY(json_write_string(out, t->templates[i].name, false));
            TRY(strbuf_append_c(out, ",\"template\":"));
            TRY(json_write_string(out, t->templates[i].text, false));
            TRY(strbuf_append_char(out, '}'));
        }
        TRY(strbuf_append_char(out, ']'));
    }
    return strbuf_append_c(out, "}\n");
}

status tokenizer_write_json(const struct tokenizer *t, struct strbuf *tokenizer_json,
                            struct strbuf *tokenizer_config_json, struct error *err)
{
    struct export e;
    TRY(begin(&e, t, err));
    status result = write_tokenizer(&e, tokenizer_json);
    if (result == STATUS_OK) result = write_config(&e, tokenizer_config_json);
    return finish(&e, result);
}
