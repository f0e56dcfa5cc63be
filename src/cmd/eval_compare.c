/* twllm eval compare A B: two runs over the same questions, told apart or not. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "cmd/eval.h"
#include "cmd/output.h"
#include "data/json.h"

static const char examples[] = "twllm eval compare ./results-8b ./results-8b-dpo\n";

struct entry {
    struct str key; /* subset and row, in the arena */
    struct str prompt;
    bool is_correct;
};
struct answers {
    struct arena arena;
    struct entry *entries; /* sorted by key */
    size_t count, capacity;
};

static void answers_deinit(struct answers *a)
{
    free(a->entries);
    arena_deinit(&a->arena);
    *a = (struct answers){0};
}

static int compare_entries(const void *a, const void *b)
{
    return str_compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static status take_line(struct answers *a, struct str text, const char *path, struct error *err)
{
    struct arena arena = {0};
    struct json *line;
    struct str subset, prompt;
    int64_t row;
    double acc;
    char number[32];
    TRY(json_parse(&arena, text, NULL, path, &line, err));
    status result = STATUS_OK;
    bool good = json_str(json_get(line, "subset"), &subset) &&
                json_i64(json_get(line, "doc_id"), &row) && json_f64(json_get(line, "acc"), &acc) &&
                json_str(json_get(line, "prompt_hash"), &prompt);
    if (good && a->count == a->capacity) {
        a->capacity = a->capacity ? 2 * a->capacity : 256;
        struct entry *entries = realloc(a->entries, a->capacity * sizeof *entries);
        if (entries) a->entries = entries;
        if (!entries) result = error_set(err, STATUS_NO_MEMORY, "%s", path);
    }
    if (good && result == STATUS_OK) {
        struct strbuf key = {0};
        snprintf(number, sizeof number, "\n%012lld", (long long)row);
        result = strbuf_append(&key, subset);
        if (result == STATUS_OK) result = strbuf_append_c(&key, number);
        a->entries[a->count++] = (struct entry){arena_copy_str(&a->arena, strbuf_view(&key)),
                                                arena_copy_str(&a->arena, prompt), acc > 0};
        strbuf_deinit(&key);
    } else if (!good) {
        result = error_set(err, STATUS_FORMAT, message(MESSAGE_EVAL_NOT_SAMPLES), path);
    }
    arena_deinit(&arena);
    return result;
}

static status read_answers(struct answers *a, const char *path, struct error *err)
{
    struct strbuf text = {0};
    *a = (struct answers){0};
    status result = file_read(path, (size_t)1 << 32, &text, err);
    for (size_t at = 0; at < text.size && result == STATUS_OK;) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size_t stop = end ? (size_t)(end - text.data) : text.size;
        result = take_line(a, str_slice(strbuf_view(&text), at, stop), path, err);
        at = stop + 1;
    }
    if (a->count) qsort(a->entries, a->count, sizeof *a->entries, compare_entries);
    strbuf_deinit(&text);
    return result;
}

/* The questions both have, with equal prompts or not. */
static status pair_up(const struct answers *a, const struct answers *b, const char *task,
                      struct error *err)
{
    unsigned char *first = calloc(a->count + 1, 1), *second = calloc(a->count + 1, 1);
    size_t n = 0, n_other_prompt = 0;
    if (!first || !second) {
        free(first);
        free(second);
        return error_set(err, STATUS_NO_MEMORY, "%s", task);
    }
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        int order = str_compare(a->entries[i].key, b->entries[k].key);
        if (order == 0) {
            n_other_prompt += !str_equal(a->entries[i].prompt, b->entries[k].prompt);
            first[n] = a->entries[i].is_correct;
            second[n++] = b->entries[k].is_correct;
        }
        i += order <= 0;
        k += order >= 0;
    }
    struct eval_paired r = eval_compare(first, second, n);
    free(first);
    free(second);
    TRY(output_printf(
        err, message(MESSAGE_EVAL_COMPARE_LINE), task, (long long)r.n, (long long)r.only_first,
        (long long)r.only_second, 100 * r.difference, 196 * r.standard_error, r.p_value,
        message(r.p_value < 0.05 ? MESSAGE_EVAL_COMPARE_YES : MESSAGE_EVAL_COMPARE_NO)));
    if (n < a->count || n < b->count)
        TRY(output_printf(err, message(MESSAGE_EVAL_COMPARE_PART), (long long)(a->count - n),
                          (long long)(b->count - n)));
    if (n_other_prompt)
        TRY(output_printf(err, message(MESSAGE_EVAL_COMPARE_PROMPTS), (long long)n_other_prompt));
    return STATUS_OK;
}

static status compare_task(const char *a, const char *b, const char *file, struct error *err)
{
    struct strbuf paths[2] = {{0}, {0}};
    struct answers answers[2] = {{.count = 0}, {.count = 0}};
    char task[200];
    if (!file) return error_set(err, STATUS_INVALID, "no file of answers");
    int length = (int)(strlen(file) - sizeof "samples_.jsonl" + 1);
    snprintf(task, sizeof task, "%.*s", length, file + sizeof "samples_" - 1);
    status result = file_join(&paths[0], str_of(a), str_of(file));
    if (result == STATUS_OK) result = file_join(&paths[1], str_of(b), str_of(file));
    for (int i = 0; i < 2 && result == STATUS_OK; i++)
        result = read_answers(&answers[i], paths[i].data, err);
    if (result == STATUS_OK) result = pair_up(&answers[0], &answers[1], task, err);
    for (int i = 0; i < 2; i++) {
        answers_deinit(&answers[i]);
        strbuf_deinit(&paths[i]);
    }
    return result;
}

static int is_samples(const struct dirent *entry)
{
    struct str name = str_of(entry->d_name);
    return str_starts_with(name, STR("samples_")) && str_ends_with(name, STR(".jsonl"));
}

static status compare_folders(const char *a, const char *b, struct error *err)
{
    struct dirent **entries = NULL;
    int count = scandir(a, &entries, is_samples, alphasort), n_compared = 0;
    status result = STATUS_OK;
    for (int i = 0; i < count; i++) {
        struct strbuf other = {0};
        if (result == STATUS_OK) result = file_join(&other, str_of(b), str_of(entries[i]->d_name));
        if (result == STATUS_OK && file_exists(other.data)) {
            result = compare_task(a, b, entries[i]->d_name, err);
            n_compared++;
        }
        strbuf_deinit(&other);
        free(entries[i]);
    }
    free(entries);
    if (result == STATUS_OK && n_compared == 0)
        return error_set(err, STATUS_NOT_FOUND, message(MESSAGE_EVAL_COMPARE_NOTHING), a, b);
    return result;
}

status eval_compare_runs(int argc, char *const *argv, const struct environment *environment,
                         struct error *err)
{
    (void)environment;
    const struct command command = {.name = "eval compare",
                                    .usage = "A B",
                                    .summary = MESSAGE_EVAL_COMPARE_SUMMARY,
                                    .details = MESSAGE_EVAL_COMPARE_DETAILS,
                                    .examples = examples,
                                    .max_positionals = 2};
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals != 2)
            result = error_set(err, STATUS_INVALID, "%s", message(MESSAGE_EVAL_COMPARE_TWO));
        else
            result = compare_folders(parsed.positionals[0], parsed.positionals[1], err);
    }
    arguments_deinit(&parsed);
    return result;
}
