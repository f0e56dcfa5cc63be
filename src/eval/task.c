#include "eval/task.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/sha256.h"
#include "data/json.h"

struct parse {
    struct eval_task *task;
    const struct json *root;
    const char *source;
    struct error *err;
};

void eval_task_close(struct eval_task *t)
{
    if (!t) return;
    struct chat_template *const templates[] = {
        t->text,    t->shot,   t->shot_answer, t->answer, t->possible_answers,
        t->letters, t->system, t->description};
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        chat_template_destroy(templates[i]);
    for (size_t i = 0; i < t->n_subsets; i++) chat_template_destroy(t->subsets[i].letters);
    arena_deinit(&t->arena);
    free(t);
}

static status no_memory(struct parse *p)
{
    return error_set(p->err, STATUS_NO_MEMORY, "%s: no memory", p->source);
}

/* Every member of an object is one of the names; a slip of the pen is not a silent default. */
static status check_members(struct parse *p, const struct json *object, const char *const *names,
                            size_t n_names)
{
    for (uint32_t i = 0; i < object->n_items; i++) {
        bool known = false;
        for (size_t k = 0; k < n_names; k++) known |= str_equal_c(object->items[i].key, names[k]);
        if (!known)
            return error_set(p->err, STATUS_FORMAT, "%s: \"%.*s\" is no field of a task", p->source,
                             (int)object->items[i].key.size, object->items[i].key.data);
    }
    return STATUS_OK;
}

/* A copy in the task's arena; `fallback` when absent. */
static status take_text(struct parse *p, const struct json *object, const char *key,
                        const char *fallback, struct str *out)
{
    struct str text;
    TRY(json_member_str(object, key, str_of(fallback), p->source, &text, p->err));
    if (!text.data)
        return error_set(p->err, STATUS_FORMAT, "%s: \"%s\" is missing", p->source, key);
    *out = text.size ? arena_copy_str(&p->task->arena, text) : (struct str){"", 0};
    return out->data ? STATUS_OK : no_memory(p);
}

/* NULL when absent. */
static status take_template(struct parse *p, const struct json *object, const char *key,
                            struct chat_template **out)
{
    struct str text;
    if (!json_get(object, key)) return STATUS_OK;
    TRY(json_member_str(object, key, STR(""), p->source, &text, p->err));
    status result = chat_template_compile(out, text, NULL, p->err);
    return result == STATUS_OK ? result
                               : error_prefix(p->err, result, "%s: \"%s\"", p->source, key);
}

static status take_texts(struct parse *p, const char *key, size_t most, struct str **out,
                         size_t *count)
{
    const struct json *list = json_get(p->root, key);
    if (!list) return STATUS_OK;
    if (list->type != JSON_ARRAY || list->n_items > most)
        return error_set(p->err, STATUS_FORMAT, "%s: \"%s\" must be a list of at most %zu texts",
                         p->source, key, most);
    *out = ARENA_ARRAY(&p->task->arena, struct str, list->n_items + 1u);
    if (!*out) return no_memory(p);
    for (; *count < list->n_items; ++*count) {
        struct str text;
        if (!json_str(json_at(list, *count), &text))
            return error_set(p->err, STATUS_FORMAT, "%s: \"%s\" holds something that is no text",
                             p->source, key);
        (*out)[*count] = arena_copy_str(&p->task->arena, text);
        if (!(*out)[*count].data) return no_memory(p);
    }
    return STATUS_OK;
}

/* One of several words; *out keeps its value when absent. */
static status take_word(struct parse *p, const char *key, const char *const *words, int n_words,
                        int *out)
{
    struct str text;
    if (!json_get(p->root, key)) return STATUS_OK;
    TRY(json_member_str(p->root, key, STR(""), p->source, &text, p->err));
    for (int i = 0; i < n_words; i++) {
        if (!str_equal_c(text, words[i])) continue;
        *out = i;
        return STATUS_OK;
    }
    return error_set(p->err, STATUS_FORMAT, "%s: \"%s\" cannot be \"%.*s\"", p->source, key,
                     (int)text.size, text.data);
}

static status take_subset(struct parse *p, const struct json *object, struct eval_subset *subset)
{
    static const char *const names[] = {"name",    "label", "group",         "letters",
                                        "dataset", "split", "fewshot_split", "config"};
    if (object->type != JSON_OBJECT)
        return error_set(p->err, STATUS_FORMAT, "%s: a subset is no object", p->source);
    TRY(check_members(p, object, names, sizeof names / sizeof *names));
    TRY(take_text(p, object, "name", NULL, &subset->name));
    TRY(take_text(p, object, "label", subset->name.data, &subset->label));
    TRY(take_text(p, object, "group", "", &subset->group));
    TRY(take_text(p, object, "config", subset->name.data, &subset->config));
    TRY(take_template(p, object, "letters", &subset->letters));
    const struct {
        const char *key;
        struct str *to;
        const char *fallback;
    } inherited[] = {{"dataset", &subset->dataset, NULL},
                     {"split", &subset->split, "test"},
                     {"fewshot_split", &subset->fewshot_split, ""}};
    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) {
        const struct json *from = json_get(object, inherited[i].key) ? object : p->root;
        TRY(take_text(p, from, inherited[i].key, inherited[i].fallback, inherited[i].to));
    }
    return STATUS_OK;
}

static status take_subsets(struct parse *p)
{
    const struct json *list = json_get(p->root, "subsets");
    if (!json_is(list, JSON_ARRAY) || list->n_items == 0 || list->n_items > EVAL_MAX_SUBSETS)
        return error_set(p->err, STATUS_FORMAT, "%s: \"subsets\" must be a list of 1 to %d objects",
                         p->source, EVAL_MAX_SUBSETS);
    struct eval_task *t = p->task;
    t->subsets = ARENA_ARRAY(&t->arena, struct eval_subset, list->n_items);
    if (!t->subsets) return no_memory(p);
    for (; t->n_subsets < list->n_items;) {
        struct eval_subset *subset = &t->subsets[t->n_subsets++];
        TRY(take_subset(p, &list->items[t->n_subsets - 1], subset));
        for (size_t i = 0; i + 1 < t->n_subsets; i++)
            if (str_equal(t->subsets[i].name, subset->name))
                return error_set(p->err, STATUS_FORMAT, "%s: two subsets are called \"%s\"",
                                 p->source, subset->name.data);
    }
    return STATUS_OK;
}

static status take_words(struct parse *p)
{
    static const char *const methods[] = {"loglikelihood", "generate"};
    static const char *const parsers[] = {"exact",      "ievals", "miulab",
                                          "miulab_cot", "tceval", "calls"};
    static const char *const averages[] = {"micro", "macro", "macro_groups"};
    int method = 0, parser = 0, average = 0;
    TRY(take_word(p, "method", methods, 2, &method));
    TRY(take_word(p, "parser", parsers, 6, &parser));
    TRY(take_word(p, "average", averages, 3, &average));
    p->task->method = (enum eval_method)method;
    p->task->parser = (enum eval_parser)parser;
    p->task->average = (enum eval_average)average;
    return STATUS_OK;
}

static status take_numbers(struct parse *p)
{
    int64_t shots, max_tokens;
    TRY(json_member_i64(p->root, "shots", 0, 0, EVAL_MAX_SHOTS, p->source, &shots, p->err));
    TRY(json_member_i64(p->root, "max_tokens", 128, 1, 1 << 20, p->source, &max_tokens, p->err));
    TRY(json_member_bool(p->root, "chat", false, p->source, &p->task->chat, p->err));
    p->task->shots = (int)shots;
    p->task->max_tokens = (int)max_tokens;
    return STATUS_OK;
}

static status take_description(struct parse *p)
{
    bool is_template;
    TRY(json_member_bool(p->root, "description_is_template", true, p->source, &is_template,
                         p->err));
    if (is_template) return take_template(p, p->root, "description", &p->task->description);
    return take_text(p, p->root, "description", "", &p->task->raw_description);
}

static status take_task(struct parse *p)
{
    static const char *const names[] = {
        "name",       "title",         "title_zh",       "about",
        "dataset",    "split",         "fewshot_split",  "columns",
        "method",     "shots",         "description",    "description_is_template",
        "text",       "shot",          "shot_delimiter", "prefill",
        "letters",    "choice_prefix", "answer",         "possible_answers",
        "chat",       "system",        "shot_answer",    "stop",
        "max_tokens", "parser",        "average",        "subsets"};
    struct eval_task *t = p->task;
    if (p->root->type != JSON_OBJECT)
        return error_set(p->err, STATUS_FORMAT, "%s: a task is a JSON object", p->source);
    TRY(check_members(p, p->root, names, sizeof names / sizeof *names));
    TRY(take_text(p, p->root, "name", NULL, &t->name));
    TRY(take_text(p, p->root, "title", t->name.data, &t->title));
    TRY(take_text(p, p->root, "title_zh", t->title.data, &t->title_zh));
    TRY(take_text(p, p->root, "about", "", &t->about));
    TRY(take_text(p, p->root, "shot_delimiter", "\n\n", &t->shot_delimiter));
    TRY(take_text(p, p->root, "prefill", "", &t->prefill));
    TRY(take_text(p, p->root, "choice_prefix", " ", &t->choice_prefix));
    const struct {
        const char *key;
        struct chat_template **to;
    } templates[] = {{"text", &t->text},
                     {"shot", &t->shot},
                     {"shot_answer", &t->shot_answer},
                     {"answer", &t->answer},
                     {"possible_answers", &t->possible_answers},
                     {"letters", &t->letters},
                     {"system", &t->system}};
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        TRY(take_template(p, p->root, templates[i].key, templates[i].to));
    TRY(take_description(p));
    TRY(take_texts(p, "columns", 64, &t->columns, &t->n_columns));
    TRY(take_texts(p, "stop", EVAL_MAX_STOPS, &t->stops, &t->n_stops));
    TRY(take_words(p));
    TRY(take_numbers(p));
    TRY(take_subsets(p));
    if (!t->text || !t->answer)
        return error_set(p->err, STATUS_FORMAT, "%s: \"text\" and \"answer\" are needed",
                         p->source);
    bool letters = t->letters != NULL;
    for (size_t i = 0; i < t->n_subsets && !letters; i++) letters = t->subsets[i].letters != NULL;
    if (t->method == EVAL_LOGLIKELIHOOD && !letters)
        return error_set(p->err, STATUS_FORMAT, "%s: \"letters\" are needed to compare", p->source);
    return STATUS_OK;
}

status eval_task_parse(struct eval_task **out, struct str json, const char *source,
                       struct error *err)
{
    struct arena arena = {0};
    struct json *root;
    const struct json_options options = {.max_bytes = 1 << 24};
    struct eval_task *task = *out = calloc(1, sizeof *task);
    if (!task) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    status result = json_parse(&arena, json, &options, source, &root, err);
    struct parse parse = {task, root, source, err};
    if (result == STATUS_OK) result = take_task(&parse);
    sha256_hex(json, task->sha256);
    arena_deinit(&arena);
    if (result != STATUS_OK) {
        eval_task_close(task);
        *out = NULL;
    }
    return result;
}

static status unknown_task(const char *name, struct error *err)
{
    struct strbuf names = {0};
    struct str json;
    const char *known;
    status result = STATUS_OK;
    for (size_t i = 0; result == STATUS_OK && eval_task_builtin(i, &known, &json); i++)
        result = strbuf_appendf(&names, "%s%s", i ? ", " : "", known);
    error_set(err, STATUS_NOT_FOUND, "no task and no file is called \"%s\"; there are: %s", name,
              strbuf_view(&names).data);
    strbuf_deinit(&names);
    return STATUS_NOT_FOUND;
}

status eval_task_open(struct eval_task **out, const char *name, struct error *err)
{
    struct str json;
    const char *known;
    *out = NULL;
    for (size_t i = 0; eval_task_builtin(i, &known, &json); i++)
        if (str_equal_c(str_of(name), known)) return eval_task_parse(out, json, known, err);
    if (!file_exists(name)) return unknown_task(name, err);
    struct strbuf text = {0};
    status result = file_read(name, 1 << 24, &text, err);
    if (result == STATUS_OK) result = eval_task_parse(out, strbuf_view(&text), name, err);
    strbuf_deinit(&text);
    return result;
}
