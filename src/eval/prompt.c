#include "eval/prompt.h"

#include "data/json.h"

void eval_item_deinit(struct eval_item *item)
{
    strbuf_deinit(&item->prompt);
    strbuf_deinit(&item->answer);
    *item = (struct eval_item){0};
}

status eval_check_columns(const struct eval_task *task, const struct table *table,
                          const char *source, struct error *err)
{
    if (table->n_rows == 0)
        return error_set(err, STATUS_FORMAT, "%s: no rows, an evaluation of nothing", source);
    for (size_t i = 0; i < task->n_columns; i++) {
        if (table_find(table, task->columns[i].data) >= 0) continue;
        struct strbuf names = {.limit = 300};
        for (size_t k = 0; k < table->n_columns; k++)
            (void)strbuf_appendf(&names, "%s%.*s", k ? ", " : "", STR_ARGS(table->columns[k].name));
        error_set(err, STATUS_FORMAT, "%s: column \"%s\" is missing; there are: %s", source,
                  task->columns[i].data, strbuf_view(&names).data);
        strbuf_deinit(&names);
        return STATUS_FORMAT;
    }
    return STATUS_OK;
}

/* A row as the variables of a template. */
struct variables {
    struct arena arena;
    struct strbuf text;
    struct json *root;
};

static void variables_deinit(struct variables *v)
{
    arena_deinit(&v->arena);
    strbuf_deinit(&v->text);
}

/* {columns..., "doc": {columns...}, "label": ..., "subset": ..., "text": ...} */
static status write_variables(struct variables *v, const struct eval_subset *subset,
                              const struct table *table, size_t row, struct str text)
{
    struct strbuf *out = &v->text;
    TRY(table_write_row(table, row, out));
    struct str columns = strbuf_view(out);
    size_t size = columns.size;
    TRY(strbuf_reserve(out, 2 * size + 64));
    out->data[size - 1] = ' ';
    TRY(strbuf_append_c(out, size > 2 ? ", \"doc\": " : "\"doc\": "));
    TRY(strbuf_append(out, (struct str){out->data, size - 1}));
    TRY(strbuf_append_c(out, "}, \"label\": "));
    TRY(json_write_string(out, subset->label, false));
    TRY(strbuf_append_c(out, ", \"subset\": "));
    TRY(json_write_string(out, subset->name, false));
    TRY(strbuf_append_c(out, ", \"text\": "));
    TRY(json_write_string(out, text, false));
    return strbuf_append_char(out, '}');
}

static status variables_init(struct variables *v, const struct eval_subset *subset,
                             const struct table *table, size_t row, struct str text,
                             struct error *err)
{
    const struct json_options options = {.last_key_wins = true, .max_bytes = (size_t)1 << 30};
    *v = (struct variables){0};
    if (write_variables(v, subset, table, row, text) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "row %zu: no memory", row);
    return json_parse(&v->arena, strbuf_view(&v->text), &options, "row", &v->root, err);
}

static status render(const struct chat_template *t, const struct variables *v, struct strbuf *out,
                     struct error *err)
{
    const struct chat_template_input input = {.extra = v->root};
    return t ? chat_template_render(t, &input, out, err) : STATUS_OK;
}

/* The description, as a template sees it or as it stands. */
static status append_description(const struct eval_task *task, const struct variables *v,
                                 struct strbuf *out, struct error *err)
{
    return task->description ? render(task->description, v, out, err)
                             : strbuf_append(out, task->raw_description);
}

/* Text and solution of an example, whichever of the two the caller wants. */
static status render_example(const struct eval_task *task, const struct eval_subset *subset,
                             const struct table *examples, size_t row, struct strbuf *text,
                             struct strbuf *solved, struct error *err)
{
    struct variables v;
    strbuf_clear(text);
    status result = variables_init(&v, subset, examples, row, STR(""), err);
    if (result == STATUS_OK) result = render(task->text, &v, text, err);
    variables_deinit(&v);
    TRY(result);
    strbuf_clear(solved);
    result = variables_init(&v, subset, examples, row, strbuf_view(text), err);
    if (result == STATUS_OK)
        result = render(task->chat ? task->shot_answer : task->shot, &v, solved, err);
    variables_deinit(&v);
    return result;
}

struct turns {
    const struct eval_task *task;
    const struct variables *row;
    struct strbuf *out;
    bool has_user;
    struct error *err;
};

static status add_turn(struct turns *t, const char *role, struct str content)
{
    TRY(strbuf_appendf(t->out, "%s{\"role\": \"%s\", \"content\": ", t->out->size > 1 ? ", " : "",
                       role));
    TRY(json_write_string(t->out, content, false));
    return strbuf_append_char(t->out, '}');
}

/* The first turn of the user begins with the description. */
static status add_user_turn(struct turns *t, struct str content)
{
    struct strbuf whole = {0};
    status result = STATUS_OK;
    if (!t->has_user) result = append_description(t->task, t->row, &whole, t->err);
    if (result == STATUS_OK) result = strbuf_append(&whole, content);
    if (result == STATUS_OK) result = add_turn(t, "user", strbuf_view(&whole));
    t->has_user = true;
    strbuf_deinit(&whole);
    return result;
}

struct scratch {
    struct strbuf text, solved, system;
};

static status render_chat(const struct eval_task *task, const struct eval_subset *subset,
                          const struct variables *v, const struct table *examples,
                          struct eval_item *item, struct scratch *s, struct error *err)
{
    struct turns turns = {task, v, &item->prompt, false, err};
    TRY(strbuf_append_char(&item->prompt, '['));
    if (task->system) {
        TRY(render(task->system, v, &s->system, err));
        TRY(add_turn(&turns, "system", strbuf_view(&s->system)));
    }
    for (int i = 0; i < item->shots; i++) {
        TRY(render_example(task, subset, examples, (size_t)i, &s->text, &s->solved, err));
        TRY(add_user_turn(&turns, strbuf_view(&s->text)));
        TRY(add_turn(&turns, "assistant", strbuf_view(&s->solved)));
    }
    strbuf_clear(&s->text);
    TRY(render(task->text, v, &s->text, err));
    TRY(add_user_turn(&turns, strbuf_view(&s->text)));
    return strbuf_append_char(&item->prompt, ']');
}

static status render_text(const struct eval_task *task, const struct eval_subset *subset,
                          const struct variables *v, const struct table *examples,
                          struct eval_item *item, struct scratch *s, struct error *err)
{
    TRY(append_description(task, v, &item->prompt, err));
    for (int i = 0; i < item->shots; i++) {
        TRY(render_example(task, subset, examples, (size_t)i, &s->text, &s->solved, err));
        TRY(strbuf_append(&item->prompt, strbuf_view(&s->solved)));
        TRY(strbuf_append(&item->prompt, task->shot_delimiter));
    }
    return render(task->text, v, &item->prompt, err);
}

static status take_letters(const struct eval_task *task, const struct eval_subset *subset,
                           const struct variables *v, struct eval_item *item, struct error *err)
{
    struct strbuf letters = {0};
    status result = render(subset->letters ? subset->letters : task->letters, v, &letters, err);
    size_t count = letters.size;
    bool good = result == STATUS_OK && count > 0 && count <= EVAL_MAX_LETTERS;
    for (size_t i = 0; good && i < count; i++)
        good = (letters.data[i] >= 'A' && letters.data[i] <= 'Z') &&
               !memchr(letters.data, letters.data[i], i);
    if (good) memcpy(item->letters, letters.data, count);
    if (result == STATUS_OK && !good)
        result = error_set(err, STATUS_FORMAT, "its choices are \"%.80s\", not different letters",
                           strbuf_view(&letters).data);
    item->letters[good ? count : 0] = '\0';
    strbuf_deinit(&letters);
    return result;
}

static status take_answer(const struct eval_task *task, const struct eval_subset *subset,
                          const struct variables *v, struct eval_item *item, struct error *err)
{
    struct strbuf possible = {0};
    status result = render(task->answer, v, &item->answer, err);
    if (result == STATUS_OK && task->possible_answers)
        result = render(task->possible_answers, v, &possible, err);
    struct str answer = strbuf_view(&item->answer);
    bool one =
        answer.size == 1 && possible.size && memchr(possible.data, answer.data[0], possible.size);
    if (result == STATUS_OK && task->possible_answers && !one)
        result = error_set(err, STATUS_FORMAT, "its answer is \"%.80s\", not one of %.80s",
                           answer.data, strbuf_view(&possible).data);
    strbuf_deinit(&possible);
    TRY(result);
    if (task->method != EVAL_LOGLIKELIHOOD) return STATUS_OK;
    TRY(take_letters(task, subset, v, item, err));
    const char *at = answer.size == 1 ? strchr(item->letters, answer.data[0]) : NULL;
    item->gold = at && *at ? (int)(at - item->letters) : -1;
    return STATUS_OK;
}

status eval_render(const struct eval_task *task, const struct eval_subset *subset,
                   const struct table *table, size_t row, const struct table *examples, int n_shots,
                   struct eval_item *item, struct error *err)
{
    struct variables v;
    struct scratch scratch = {0};
    strbuf_clear(&item->prompt);
    strbuf_clear(&item->answer);
    item->gold = -1;
    item->letters[0] = '\0';
    item->shots = n_shots;
    if (!examples)
        item->shots = 0;
    else if ((size_t)n_shots > examples->n_rows)
        item->shots = (int)examples->n_rows;
    status result = variables_init(&v, subset, table, row, STR(""), err);
    if (result == STATUS_OK)
        result = (task->chat ? render_chat : render_text)(task, subset, &v, examples, item,
                                                          &scratch, err);
    if (result == STATUS_OK) result = take_answer(task, subset, &v, item, err);
    variables_deinit(&v);
    strbuf_deinit(&scratch.text);
    strbuf_deinit(&scratch.solved);
    strbuf_deinit(&scratch.system);
    if (result == STATUS_OK) return result;
    return error_prefix(err, result, "%s, %s, row %zu", task->name.data, subset->name.data, row);
}
