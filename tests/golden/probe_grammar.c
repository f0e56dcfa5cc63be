/* probe_grammar: constrained decoding as a filter, for tests and benchmarks.
 *
 *   probe_grammar TOKENIZER     (a folder or file; "-": one token for each byte, then <|eot|>)
 *
 * Reads one JSON request a line, writes one JSON answer a line:
 *   kind      "regex", "choice", "object", "schema", "ebnf", "tag"
 *   source    the text ("choice": a list of texts)
 *   options   compact, no_unicode_escapes, whitespace_pattern, start, max_bytes, max_depth, max_steps, max_us,
 *             script ("hant", "where possible")
 *   accept    texts: is each a complete answer? byte by byte
 *   encoded   texts: is each a complete answer as the tokenizer writes it, every token allowed by the mask?
 *   walks     random answers: {"n", "seed", "max_tokens", "check": tokens to compare mask with accept at each step}
 *   forced    true: the bytes and tokens that must come first
 *   times     true: nanoseconds of each mask
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "data/json.h"
#include "grammar/grammar.h"

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may be busy on this machine */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct probe {
    struct tokenizer *tokenizer;
    struct grammar_vocabulary *vocabulary;
    struct str *tokens;
    size_t n_tokens;
    token_id stop;
    uint32_t *bits;
    token_id *allowed;
    uint64_t random;
    int64_t *times;
    size_t n_times, time_capacity;
};

static uint64_t draw(struct probe *p) /* xorshift64* */
{
    p->random ^= p->random >> 12;
    p->random ^= p->random << 25;
    p->random ^= p->random >> 27;
    return p->random * 0x2545F4914F6CDD1Du >> 11;
}

static void put_string(struct str text)
{
    struct strbuf out = {0};
    json_write_string(&out, text, true);
    fwrite(out.data, 1, out.size, stdout);
    strbuf_deinit(&out);
}

static struct str member(const struct json *request, const char *name)
{
    struct str text = {NULL, 0};
    json_str(json_get(request, name), &text);
    return text;
}

static uint64_t number(const struct json *request, const char *name)
{
    uint64_t value = 0;
    json_u64(json_get(request, name), &value);
    return value;
}

static status compile(struct probe *p, const struct json *request, struct grammar **out,
                      struct error *err)
{
    const struct json *o = json_get(request, "options");
    struct str kind = member(request, "kind"), source = member(request, "source");
    struct grammar_options options = {
        .vocabulary = p->vocabulary,
        .whitespace_pattern = member(o, "whitespace_pattern"),
        .max_bytes = (size_t)number(o, "max_bytes"),
        .max_depth = (uint32_t)number(o, "max_depth"),
        .max_steps = number(o, "max_steps"),
        .max_microseconds = (int64_t)number(o, "max_us"),
    };
    json_bool(json_get(o, "compact"), &options.compact);
    json_bool(json_get(o, "no_unicode_escapes"), &options.no_unicode_escapes);
    options.script = str_equal_c(member(o, "script"), "hant") ? GRAMMAR_HANT
                     : str_equal_c(member(o, "script"), "where possible")
                         ? GRAMMAR_HANT_WHERE_POSSIBLE
                         : GRAMMAR_SCRIPT_ANY;
    if (str_equal_c(kind, "regex")) return grammar_compile_regex(out, source, &options, err);
    if (str_equal_c(kind, "object")) return grammar_compile_json_object(out, &options, err);
    if (str_equal_c(kind, "schema")) return grammar_compile_json_schema(out, source, &options, err);
    if (str_equal_c(kind, "ebnf"))
        return grammar_compile_ebnf(out, source, member(o, "start"), &options, err);
    if (str_equal_c(kind, "tag")) return grammar_compile_structural_tag(out, source, &options, err);
    if (str_equal_c(kind, "choice")) {
        const struct json *list = json_get(request, "source");
        struct str *choices = calloc(list->n_items + 1, sizeof *choices);
        for (uint32_t i = 0; i < list->n_items; i++) json_str(&list->items[i], &choices[i]);
        status result = grammar_compile_choice(out, choices, list->n_items, &options, err);
        free(choices);
        return result;
    }
    return error_set(err, STATUS_INVALID, "kind '%.*s'", STR_ARGS(kind));
}

static struct grammar_matcher *matcher_of(struct probe *p, struct grammar *grammar)
{
    struct grammar_matcher *m;
    struct error err;
    if (grammar_matcher_create(&m, grammar, &p->stop, 1, &err)) {
        fprintf(stderr, "matcher: %s\n", err.text);
        exit(1);
    }
    return m;
}

static bool accepts(struct probe *p, struct grammar *grammar, struct str text)
{
    struct grammar_matcher *m = matcher_of(p, grammar);
    struct error err;
    bool ok = true;
    for (size_t i = 0; i < text.size && ok; i++)
        ok = grammar_matcher_accept_bytes(m, str_slice(text, i, i + 1), &err) == STATUS_OK;
    ok = ok && grammar_matcher_is_complete(m);
    grammar_matcher_destroy(m);
    return ok;
}

static void mask(struct probe *p, struct grammar_matcher *m)
{
    struct error err;
    int64_t start = now_ns();
    status result = grammar_matcher_mask(m, p->bits, &err);
    int64_t took = now_ns() - start;
    if (result != STATUS_OK) {
        fprintf(stderr, "mask: %s\n", err.text);
        exit(1);
    }
    if (p->n_times == p->time_capacity) {
        p->time_capacity = 2 * p->time_capacity + 1024;
        p->times = realloc(p->times, p->time_capacity * sizeof *p->times);
    }
    p->times[p->n_times++] = took;
}

static bool is_set(const struct probe *p, size_t token)
{
    return p->bits[token / 32] >> token % 32 & 1;
}

static const char *accepts_tokens(struct probe *p, struct grammar *grammar, struct str text)
{
    struct token_list ids = {0};
    struct error err;
    struct tokenizer_encode_options how = {TOKENIZER_SPECIAL_AS_TEXT, false};
    if (tokenizer_encode(p->tokenizer, text, how, &ids, &err)) return "unencodable";
    struct grammar_matcher *m = matcher_of(p, grammar);
    const char *why = "yes";
    for (size_t i = 0; i < ids.count && why[0] == 'y'; i++) {
        mask(p, m);
        bool allowed = is_set(p, (size_t)ids.ids[i]);
        bool ok = grammar_matcher_accept(m, ids.ids[i], &err) == STATUS_OK;
        why = allowed != ok ? "mask and accept differ" : ok ? "yes" : "no";
    }
    if (why[0] == 'y' && !grammar_matcher_is_complete(m)) why = "no";
    grammar_matcher_destroy(m);
    token_list_deinit(&ids);
    return why;
}

/* Prefers, now and then, tokens that may close something, so that answers end. */
static token_id choose(struct probe *p, size_t n)
{
    if (draw(p) % 3 == 0) {
        size_t n_closing = 0;
        for (size_t i = 0; i < n; i++) {
            struct str bytes = p->tokens[p->allowed[i]];
            if (p->allowed[i] == p->stop || (bytes.size && strchr("\"}],0", bytes.data[0])))
                p->allowed[n_closing++] = p->allowed[i];
        }
        if (n_closing) n = n_closing;
    }
    return p->allowed[draw(p) % n];
}

static void check_mask(struct probe *p, struct grammar_matcher *m, uint64_t n_checks)
{
    struct error err;
    for (uint64_t i = 0; i < n_checks; i++) {
        size_t token = draw(p) % p->n_tokens;
        bool allowed = is_set(p, token);
        if (grammar_matcher_accept(m, (token_id)token, &err) == STATUS_OK) {
            grammar_matcher_rollback(m, 1);
            if (allowed) continue;
        } else if (!allowed) {
            continue;
        }
        printf("\"defect\": \"token %zu: mask says %d\", ", token, allowed);
    }
}

static void walk(struct probe *p, struct grammar *grammar, const struct json *how, uint64_t seed)
{
    struct grammar_matcher *m = matcher_of(p, grammar);
    struct strbuf text = {0};
    struct error err;
    p->random = seed * 0x9E3779B97F4A7C15u + 1;
    uint64_t max_tokens = number(how, "max_tokens"), n_checks = number(how, "check");
    uint64_t n = 0;
    printf("{");
    for (; n < max_tokens && !grammar_matcher_has_ended(m); n++) {
        mask(p, m);
        size_t n_allowed = 0;
        for (size_t word = 0; word < (p->n_tokens + 31) / 32; word++)
            for (uint32_t left = p->bits[word]; left; left &= left - 1)
                p->allowed[n_allowed++] = (token_id)(word * 32 + (size_t)__builtin_ctz(left));
        if (n_allowed == 0) {
            printf("\"defect\": \"no token allowed\", ");
            break;
        }
        if (n_checks) check_mask(p, m, n_checks);
        token_id token = choose(p, n_allowed);
        if (grammar_matcher_accept(m, token, &err)) {
            printf("\"defect\": \"an allowed token is refused\", ");
            break;
        }
        if (token != p->stop) strbuf_append(&text, p->tokens[token]);
    }
    printf("\"ended\": %s, \"tokens\": %llu, \"text\": ",
           grammar_matcher_has_ended(m) ? "true" : "false", (unsigned long long)n);
    put_string(strbuf_view(&text));
    printf("}");
    strbuf_deinit(&text);
    grammar_matcher_destroy(m);
}

static void forced(struct probe *p, struct grammar *grammar)
{
    struct grammar_matcher *m = matcher_of(p, grammar);
    struct strbuf bytes = {0};
    struct token_list tokens = {0};
    struct error err;
    if (grammar_matcher_forced_bytes(m, 1000, &bytes, &err) ||
        (p->tokenizer && grammar_matcher_forced_tokens(m, p->tokenizer, STR(""), &tokens, &err))) {
        fprintf(stderr, "forced: %s\n", err.text);
        exit(1);
    }
    printf(", \"forced\": ");
    put_string(strbuf_view(&bytes));
    printf(", \"forced_tokens\": [");
    for (size_t i = 0; i < tokens.count; i++) printf("%s%d", i ? "," : "", (int)tokens.ids[i]);
    printf("]");
    strbuf_deinit(&bytes);
    token_list_deinit(&tokens);
    grammar_matcher_destroy(m);
}

static void answer(struct probe *p, const struct json *request)
{
    struct grammar *grammar = NULL;
    struct error err = {0};
    p->n_times = 0;
    int64_t start = now_ns();
    status result = compile(p, request, &grammar, &err);
    int64_t took = now_ns() - start;
    printf("{\"status\": \"%s\", \"compile_ns\": %lld", status_name(result), (long long)took);
    if (result != STATUS_OK) {
        printf(", \"error\": ");
        put_string(str_of(err.text));
        printf("}\n");
        return;
    }
    const struct json *texts = json_get(request, "accept");
    printf(", \"accept\": [");
    for (uint32_t i = 0; texts && i < texts->n_items; i++)
        printf("%s%s", i ? ", " : "", accepts(p, grammar, texts->items[i].text) ? "true" : "false");
    printf("], \"encoded\": [");
    texts = json_get(request, "encoded");
    for (uint32_t i = 0; texts && i < texts->n_items; i++)
        printf("%s\"%s\"", i ? ", " : "", accepts_tokens(p, grammar, texts->items[i].text));
    const struct json *walks = json_get(request, "walks");
    printf("], \"walks\": [");
    for (uint64_t i = 0; i < number(walks, "n"); i++) {
        if (i) printf(", ");
        walk(p, grammar, walks, number(walks, "seed") + i);
    }
    printf("]");
    bool yes = false;
    if (json_bool(json_get(request, "forced"), &yes) && yes) forced(p, grammar);
    yes = false;
    if (json_bool(json_get(request, "times"), &yes) && yes) {
        printf(", \"times\": [");
        for (size_t i = 0; i < p->n_times; i++)
            printf("%s%lld", i ? "," : "", (long long)p->times[i]);
        printf("]");
    }
    printf(", \"bytes\": %zu}\n", grammar_memory_bytes(grammar));
    grammar_release(grammar);
}

static status open_vocabulary(struct probe *p, const char *path, struct error *err)
{
    static char bytes[256];
    if (strcmp(path, "-") != 0) {
        TRY(tokenizer_open(&p->tokenizer, path, err));
        TRY(grammar_vocabulary_create(&p->vocabulary, p->tokenizer, err));
        p->stop = tokenizer_find(p->tokenizer, STR("<|eot_id|>"));
        if (p->stop == TOKEN_NONE) p->stop = tokenizer_eos(p->tokenizer);
        p->n_tokens = grammar_vocabulary_size(p->vocabulary);
        p->tokens = calloc(p->n_tokens, sizeof *p->tokens);
        for (size_t i = 0; i < p->n_tokens; i++)
            p->tokens[i] = tokenizer_token_bytes(p->tokenizer, (token_id)i);
        return STATUS_OK;
    }
    p->n_tokens = 257;
    p->tokens = calloc(p->n_tokens, sizeof *p->tokens);
    bool special[257] = {false};
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        p->tokens[i] = (struct str){bytes + i, 1};
    }
    p->tokens[256] = STR("<|eot|>");
    special[256] = true;
    p->stop = 256;
    return grammar_vocabulary_create_from(&p->vocabulary, p->tokens, special, 257, err);
}

int main(int argc, char **argv)
{
    struct probe p = {0};
    struct error err;
    if (argc != 2 || open_vocabulary(&p, argv[1], &err)) {
        fprintf(stderr, "probe_grammar: %s\n", argc == 2 ? err.text : "one argument");
        return 1;
    }
    p.bits = calloc(grammar_mask_words(p.vocabulary), sizeof *p.bits);
    p.allowed = calloc(p.n_tokens, sizeof *p.allowed);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    while ((n = getline(&line, &capacity, stdin)) > 0) {
        struct arena arena = {0};
        struct json *request;
        if (json_parse(&arena, (struct str){line, (size_t)n}, NULL, "request", &request, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        answer(&p, request);
        fflush(stdout);
        arena_deinit(&arena);
    }
    free(line);
    free(p.bits);
    free(p.allowed);
    free(p.times);
    free(p.tokens);
    grammar_vocabulary_release(p.vocabulary);
    tokenizer_destroy(p.tokenizer);
    return 0;
}
