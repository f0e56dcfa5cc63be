/* The files of MT-Bench: questions, answers, references. */
#include "cmd/eval_mt.h"
#include "data/json.h"
#include "data/table.h"

void mt_turns_deinit(struct mt_turns *t)
{
    arena_deinit(&t->arena);
    *t = (struct mt_turns){0};
}

const struct mt_turns_row *mt_turns_find(const struct mt_turns *t, int64_t id)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].id == id) return &t->rows[i];
    return NULL;
}

static const struct cell *cell_of(const struct table *t, const char *column, size_t row)
{
    int index = table_find(t, column);
    return index < 0 ? NULL : table_cell(t, (size_t)index, row);
}

/* The two texts of a question's "turns", or of the first of an answer's "choices". */
static status take_turns(struct mt_turns *t, const struct table *table, size_t row,
                         const char *path, struct error *err)
{
    const struct cell *id = cell_of(table, "question_id", row),
                      *category = cell_of(table, "category", row),
                      *model = cell_of(table, "model_id", row);
    const struct cell *turns = cell_of(table, "turns", row);
    if (!turns) turns = cell_of(table, "choices", row);
    struct mt_turns_row *to = &t->rows[t->count];
    struct json *list = NULL, *number = NULL;
    *to = (struct mt_turns_row){0};
    if (id && id->kind == CELL_JSON) TRY(json_parse(&t->arena, id->text, NULL, path, &number, err));
    if (turns && turns->kind == CELL_JSON)
        TRY(json_parse(&t->arena, arena_copy_str(&t->arena, turns->text), NULL, path, &list, err));
    const struct json *inner = json_get(json_at(list, 0), "turns");
    const struct json *texts = inner ? inner : list;
    bool good = number && json_i64(number, &to->id) && texts;
    for (size_t i = 0; good && i < MT_BENCH_TURNS; i++) {
        good = json_str(json_at(texts, i), &to->turns[i]);
        if (good && !to->turns[i].data) to->turns[i] = (struct str){"", 0};
    }
    if (!good)
        return error_set(err, STATUS_FORMAT, "%s, line %zu: expected question_id and two turns",
                         path, row + 1);
    if (category && category->kind == CELL_TEXT)
        to->category = arena_copy_str(&t->arena, category->text);
    if (model && model->kind == CELL_TEXT) to->model = arena_copy_str(&t->arena, model->text);
    t->count++;
    return STATUS_OK;
}

status mt_turns_read(struct mt_turns *t, const char *path, struct error *err)
{
    struct table table = {0};
    *t = (struct mt_turns){0};
    status result = table_read(&table, path, err);
    if (result == STATUS_OK)
        t->rows = ARENA_ARRAY(&t->arena, struct mt_turns_row, table.n_rows + 1);
    if (result == STATUS_OK && !t->rows) result = error_set(err, STATUS_NO_MEMORY, "%s", path);
    for (size_t i = 0; i < table.n_rows && result == STATUS_OK; i++)
        result = take_turns(t, &table, i, path, err);
    table_deinit(&table);
    return result;
}

void mt_turns_put_placeholders(struct mt_turns *references, const struct mt_turns *questions)
{
    static const int64_t later[] = {123, 132, 135, 138,
                                    139}; /* came to the references afterwards */
    size_t kept = 0;
    for (size_t i = 0; i < references->count; i++) {
        struct mt_turns_row row = references->rows[i];
        const struct mt_turns_row *question = mt_turns_find(questions, row.id);
        bool is_later = false;
        for (size_t k = 0; k < sizeof later / sizeof *later; k++) is_later |= row.id == later[k];
        if (is_later || !question) continue;
        memcpy(row.turns, question->turns, sizeof row.turns);
        references->rows[kept++] = row;
    }
    references->count = kept;
}

status mt_turns_fill(const struct mt_turns_row *question, const struct mt_turns_row *answer,
                     const struct mt_turns_row *reference, int turn, enum mt_bench_prompt *which,
                     struct strbuf *user)
{
    struct mt_bench_case c = {0};
    for (int i = 0; i < MT_BENCH_TURNS; i++) {
        c.questions[i] = question->turns[i];
        c.answers[i] = answer->turns[i];
        c.references[i] = reference ? reference->turns[i] : (struct str){"", 0};
    }
    *which = (enum mt_bench_prompt)((turn == 1 ? MT_SINGLE : MT_MULTI) + (reference != NULL));
    return mt_bench_fill(*which, &c, user);
}
