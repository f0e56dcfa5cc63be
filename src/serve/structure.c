#include "serve/structure.h"

#include <stdio.h>

#include "base/system_memory.h"
#include "serve/job.h"
#include "serve/out.h"

enum { MAX_CACHE_BYTES = 512 << 20, MAX_CHOICES = 4096 };

/* ---- the cache ---------------------------------------------------------------------------------------- */

enum {
    N_ENTRIES =
        sizeof((struct grammar_cache *)0)->entries / sizeof((struct grammar_cache *)0)->entries[0]
};

status grammar_cache_init(struct grammar_cache *cache, const struct tokenizer *tokenizer,
                          struct error *err)
{
    pthread_mutex_init(&cache->lock, NULL);
    TRY(system_random_bytes(&cache->key, sizeof cache->key, err));
    return grammar_vocabulary_create(&cache->vocabulary, tokenizer, err);
}

void grammar_cache_deinit(struct grammar_cache *cache)
{
    for (size_t i = 0; i < N_ENTRIES; i++)
        if (cache->entries[i].grammar) grammar_release(cache->entries[i].grammar);
    if (cache->vocabulary) grammar_vocabulary_release(cache->vocabulary);
    pthread_mutex_destroy(&cache->lock);
}

static struct grammar *find(struct grammar_cache *cache, struct siphash_digest digest)
{
    struct grammar *found = NULL;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < N_ENTRIES && !found; i++) {
        if (!cache->entries[i].grammar || !siphash_equal(cache->entries[i].digest, digest))
            continue;
        cache->entries[i].used = ++cache->clock;
        found = grammar_acquire(cache->entries[i].grammar);
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* The entry that was not used for longest; an empty one first. */
static size_t oldest(const struct grammar_cache *cache)
{
    size_t best = 0;
    for (size_t i = 1; i < N_ENTRIES; i++)
        if (cache->entries[i].used < cache->entries[best].used) best = i;
    return best;
}

static void drop(struct grammar_cache *cache, size_t i)
{
    if (cache->entries[i].grammar) grammar_release(cache->entries[i].grammar);
    cache->entries[i].grammar = NULL;
    cache->entries[i].used = 0;
}

static void keep(struct grammar_cache *cache, struct siphash_digest digest, struct grammar *grammar)
{
    size_t bytes = grammar_memory_bytes(grammar);
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < N_ENTRIES; i++)
        if (cache->entries[i].grammar) bytes += grammar_memory_bytes(cache->entries[i].grammar);
    for (size_t n = 0; bytes > MAX_CACHE_BYTES && n < N_ENTRIES; n++) {
        size_t at = N_ENTRIES;
        for (size_t i = 0; i < N_ENTRIES; i++)
            if (cache->entries[i].grammar &&
                (at == N_ENTRIES || cache->entries[i].used < cache->entries[at].used))
                at = i;
        if (at == N_ENTRIES) break;
        bytes -= grammar_memory_bytes(cache->entries[at].grammar);
        drop(cache, at);
    }
    size_t at = oldest(cache);
    drop(cache, at);
    cache->entries[at].digest = digest;
    cache->entries[at].grammar = grammar_acquire(grammar);
    cache->entries[at].used = ++cache->clock;
    pthread_mutex_unlock(&cache->lock);
}

/* ---- compiling ------------------------------------------------------------------------------------------ */

static status compile_choice(struct job *job, struct str source,
                             const struct grammar_options *options, struct grammar **out,
                             struct error *err)
{
    struct json *list = NULL;
    TRY(json_parse(&job->arena, source, NULL, "choice", &list, err));
    if (!json_is(list, JSON_ARRAY))
        return error_set(err, STATUS_INVALID, "choice: expected an array of strings");
    struct str *choices = ARENA_ARRAY(&job->arena, struct str, list->n_items + 1);
    if (!choices) return error_set(err, STATUS_NO_MEMORY, "choice: no memory");
    for (uint32_t i = 0; i < list->n_items; i++)
        if (!json_str(&list->items[i], &choices[i]))
            return error_set(err, STATUS_INVALID, "choice[%u]: expected a string", i);
    return grammar_compile_choice(out, choices, list->n_items, options, err);
}

static status compile_as(struct job *job, enum structure_kind kind, struct str source,
                         const struct grammar_options *options, struct grammar **out,
                         struct error *err)
{
    switch (kind) {
    case STRUCTURE_JSON_SCHEMA:
        return grammar_compile_json_schema(out, source, options, err);
    case STRUCTURE_JSON_OBJECT:
        return grammar_compile_json_object(out, options, err);
    case STRUCTURE_REGEX:
        return grammar_compile_regex(out, source, options, err);
    case STRUCTURE_CHOICE:
        return compile_choice(job, source, options, out, err);
    case STRUCTURE_EBNF:
        return grammar_compile_ebnf(out, source, (struct str){NULL, 0}, options, err);
    case STRUCTURE_TAG:
        return grammar_compile_structural_tag(out, source, options, err);
    }
    return error_set(err, STATUS_INTERNAL, "no such kind of grammar");
}

/* Traditional Chinese throughout if the grammar has such an answer; else everywhere but where it demands otherwise. */
static status compile(struct job *job, enum structure_kind kind, struct str source,
                      struct grammar_options options, struct grammar **out, struct error *err)
{
    status result = compile_as(job, kind, source, &options, out, err);
    if (result == STATUS_OK || options.script != GRAMMAR_HANT) return result;
    options.script = GRAMMAR_HANT_WHERE_POSSIBLE;
    return compile_as(job, kind, source, &options, out, err);
}

status structure_compile(struct job *job, enum structure_kind kind, struct str source,
                         const char *param, struct grammar **out)
{
    struct grammar_cache *cache = &job->serve->grammars;
    const struct asked *asked = &job->asked;
    struct grammar_options options = {.vocabulary = cache->vocabulary,
                                      .max_microseconds = 2000000,
                                      .compact = asked->compact_json,
                                      .whitespace_pattern = asked->whitespace_pattern,
                                      .no_unicode_escapes = asked->no_unicode_escapes};
    if (asked->params->values.script == SAMPLING_SCRIPT_HANT) options.script = GRAMMAR_HANT;
    struct strbuf key = {0};
    struct error err = {0};
    /* An empty pattern is not the same as none. */
    long long pattern =
        options.whitespace_pattern.data ? (long long)options.whitespace_pattern.size : -1;
    status result = strbuf_appendf(&key, "%d %d %d %d %lld ", (int)kind, (int)options.script,
                                   options.compact, options.no_unicode_escapes, pattern);
    if (result == STATUS_OK) result = strbuf_append(&key, options.whitespace_pattern);
    if (result == STATUS_OK) result = strbuf_append(&key, source);
    if (result != STATUS_OK) {
        strbuf_deinit(&key);
        return job_no_memory(job);
    }
    struct siphash_digest digest = siphash_128(cache->key, key.data, key.size);
    strbuf_deinit(&key);
    *out = find(cache, digest);
    if (*out) return STATUS_OK;
    result = compile(job, kind, source, options, out, &err);
    if (result == STATUS_OK) {
        keep(cache, digest, *out);
        return STATUS_OK;
    }
    if (result == STATUS_NO_MEMORY) return job_no_memory(job);
    return refuse(&job->refusal, 400, param, "%s: %s", param, err.text);
}

/* ---- the fields ------------------------------------------------------------------------------------------- */

/* What a request asked for, of which there may be only one. */
struct wish {
    enum structure_kind kind;
    struct str source;
    const char *param; /* NULL: nothing was asked */
};

static status wish_for(struct job *job, struct wish *wish, enum structure_kind kind,
                       struct str source, const char *param)
{
    if (wish->param)
        return refuse(&job->refusal, 400, param, "%s and %s exclude each other", wish->param,
                      param);
    *wish = (struct wish){kind, source, param};
    return STATUS_OK;
}

/* A schema comes as an object, or as the text of one; everything else as JSON. */
static status json_source(struct job *job, const struct json *value, struct str *out)
{
    struct strbuf text = {0};
    struct out o = out_begin(&text);
    if (json_str(value, out)) return STATUS_OK;
    out_json(&o, value);
    *out = o.result == STATUS_OK ? arena_copy_str(&job->arena, strbuf_view(&text))
                                 : (struct str){NULL, 0};
    strbuf_deinit(&text);
    return out->data ? STATUS_OK : job_no_memory(job);
}

static status wish_json(struct job *job, struct wish *wish, enum structure_kind kind,
                        const struct json *value, const char *param)
{
    struct str source;
    if (!json_is(value, JSON_OBJECT) && !json_is(value, JSON_STRING) &&
        !(kind == STRUCTURE_CHOICE && json_is(value, JSON_ARRAY)) &&
        !(kind == STRUCTURE_JSON_SCHEMA &&
          (json_is(value, JSON_TRUE) || json_is(value, JSON_FALSE))))
        return refuse(&job->refusal, 400, param, "%s: got %s, expected %s", param,
                      fields_type_name(value),
                      kind == STRUCTURE_CHOICE ? "an array of strings" : "an object");
    TRY(json_source(job, value, &source));
    return wish_for(job, wish, kind, source, param);
}

/* {"type": "json_schema", "json_schema": {"name", "schema", "strict"}}, or with these at the top (/v1/responses). */
static status read_format(struct job *job, const struct json *format, const char *param,
                          struct wish *wish)
{
    struct str type;
    if (!json_is(format, JSON_OBJECT) || !json_str(json_get(format, "type"), &type))
        return refuse(&job->refusal, 400, param, "%s: expected an object with a type", param);
    if (str_equal_c(type, "text")) return STATUS_OK;
    if (str_equal_c(type, "json_object"))
        return wish_for(job, wish, STRUCTURE_JSON_OBJECT, STR("{}"), param);
    if (str_equal_c(type, "structural_tag")) {
        struct str source;
        TRY(json_source(job, format, &source));
        return wish_for(job, wish, STRUCTURE_TAG, source, param);
    }
    if (!str_equal_c(type, "json_schema"))
        return refuse(&job->refusal, 400, param,
                      "%s: expected text, json_object, json_schema or structural_tag", param);
    const struct json *inner = json_get(format, "json_schema");
    char place[48];
    snprintf(place, sizeof place, "%s.json_schema", param);
    if (inner) {
        TRY(fields_check_members(format, "type|json_schema", param, &job->refusal));
        TRY(fields_check_members(inner, "name|description|schema|strict", place, &job->refusal));
    } else {
        inner = format;
        TRY(fields_check_members(inner, "type|name|description|schema|strict", param,
                                 &job->refusal));
    }
    const struct json *schema = json_get(inner, "schema");
    if (!schema) return refuse(&job->refusal, 400, param, "%s: json_schema has no schema", param);
    return wish_json(job, wish, STRUCTURE_JSON_SCHEMA, schema, param);
}

static status read_structured_outputs(struct job *job, struct wish *wish)
{
    const struct json *object = job->asked.structured_outputs;
    static const char param[] = "structured_outputs";
    for (uint32_t i = 0; object && i < object->n_items; i++) {
        const struct json *value = &object->items[i];
        bool truth;
        if (json_is(value, JSON_NULL)) continue;
        if (str_equal_c(value->key, "json"))
            TRY(wish_json(job, wish, STRUCTURE_JSON_SCHEMA, value, param));
        else if (str_equal_c(value->key, "regex") && json_is(value, JSON_STRING))
            TRY(wish_for(job, wish, STRUCTURE_REGEX, value->text, param));
        else if (str_equal_c(value->key, "choice"))
            TRY(wish_json(job, wish, STRUCTURE_CHOICE, value, param));
        else if (str_equal_c(value->key, "grammar") && json_is(value, JSON_STRING))
            TRY(wish_for(job, wish, STRUCTURE_EBNF, value->text, param));
        else if (str_equal_c(value->key, "structural_tag"))
            TRY(wish_json(job, wish, STRUCTURE_TAG, value, param));
        else if (str_equal_c(value->key, "json_object") && json_bool(value, &truth)) {
            if (truth) TRY(wish_for(job, wish, STRUCTURE_JSON_OBJECT, STR("{}"), param));
        } else if (str_equal_c(value->key, "disable_any_whitespace") && json_bool(value, &truth))
            job->asked.compact_json = truth;
        else if (str_equal_c(value->key, "whitespace_pattern") && json_is(value, JSON_STRING))
            job->asked.whitespace_pattern = value->text;
        else if (str_equal_c(value->key, "disable_unicode_escapes") && json_bool(value, &truth))
            job->asked.no_unicode_escapes = truth;
        else
            return refuse(&job->refusal, 400, param,
                          "%s: %.*s is not supported, or of another type", param,
                          STR_ARGS(str_slice(value->key, 0, 60)));
    }
    return STATUS_OK;
}

/* "json", or a schema. */
static status read_ollama_format(struct job *job, struct wish *wish)
{
    const struct json *format = job->asked.format;
    struct str word;
    if (!format || (json_str(format, &word) && word.size == 0)) return STATUS_OK;
    if (json_str(format, &word) && !str_equal_c(word, "json"))
        return refuse(&job->refusal, 400, "format", "format: expected \"json\" or a JSON Schema");
    if (json_is(format, JSON_STRING))
        return wish_for(job, wish, STRUCTURE_JSON_OBJECT, STR("{}"), "format");
    return wish_json(job, wish, STRUCTURE_JSON_SCHEMA, format, "format");
}

/* {"type": "json" | "json_schema" | "regex", "value": ...} */
static status read_tgi_grammar(struct job *job, struct wish *wish)
{
    const struct json *grammar = job->asked.tgi_grammar, *value = json_get(grammar, "value");
    struct str type;
    if (!grammar) return STATUS_OK;
    if (json_str(json_get(grammar, "type"), &type) && value) {
        const struct json *schema = json_get(value, "schema");
        if (str_equal_c(type, "json"))
            return wish_json(job, wish, STRUCTURE_JSON_SCHEMA, value, "grammar");
        if (str_equal_c(type, "json_schema"))
            return wish_json(job, wish, STRUCTURE_JSON_SCHEMA, schema ? schema : value, "grammar");
        if (str_equal_c(type, "regex") && json_is(value, JSON_STRING))
            return wish_for(job, wish, STRUCTURE_REGEX, value->text, "grammar");
    }
    return refuse(&job->refusal, 400, "grammar",
                  "grammar: expected a type of json, json_schema or regex, and a value");
}

static status read_tools(struct job *job, struct wish *wish)
{
    struct strbuf text = {0};
    const struct tools *tools = &job->tools;
    if (tools->n == 0 || tools->choice == TOOLS_NONE) return STATUS_OK;
    if (wish->param)
        return refuse(&job->refusal, 400, wish->param,
                      "%s: not together with tools (tool_choice none allows it)", wish->param);
    if (tools->choice == TOOLS_AUTO) return STATUS_OK;
    status result = tools_write_forced_schema(tools, &text);
    struct str source = result == STATUS_OK ? arena_copy_str(&job->arena, strbuf_view(&text))
                                            : (struct str){NULL, 0};
    strbuf_deinit(&text);
    if (!source.data) return job_no_memory(job);
    if (!job->asked.whitespace_pattern.data) job->asked.whitespace_pattern = STR(" ?");
    return wish_for(job, wish, STRUCTURE_JSON_SCHEMA, source, "tools");
}

status structure_read(struct job *job, struct grammar **out)
{
    const struct asked *asked = &job->asked;
    struct wish wish = {0};
    *out = NULL;
    if (asked->response_format)
        TRY(read_format(job, asked->response_format, "response_format", &wish));
    if (asked->text_format) TRY(read_format(job, asked->text_format, "text", &wish));
    if (asked->guided_json)
        TRY(wish_json(job, &wish, STRUCTURE_JSON_SCHEMA, asked->guided_json, "guided_json"));
    if (asked->guided_regex.data)
        TRY(wish_for(job, &wish, STRUCTURE_REGEX, asked->guided_regex, "guided_regex"));
    if (asked->guided_choice)
        TRY(wish_json(job, &wish, STRUCTURE_CHOICE, asked->guided_choice, "guided_choice"));
    if (asked->guided_grammar.data)
        TRY(wish_for(job, &wish, STRUCTURE_EBNF, asked->guided_grammar, "guided_grammar"));
    TRY(read_ollama_format(job, &wish));
    TRY(read_tgi_grammar(job, &wish));
    TRY(read_structured_outputs(job, &wish));
    TRY(read_tools(job, &wish));
    if (!wish.param) return STATUS_OK;
    return structure_compile(job, wish.kind, wish.source, wish.param, out);
}
