/* Every published prompt digest of the evaluations, on the document they were published for. */
#include "eval/prompt.h"

#include "base/sha256.h"
#include "check.h"
#include "data/json.h"

#define DOCUMENT                                                                                         \
    "{\"question\": \"下列何者是臺灣最高的山峰？\", \"A\": \"玉山\", \"B\": \"雪山\", " \
    "\"C\": \"秀姑巒山\", \"D\": \"合歡山\", \"E\": null, \"F\": null, \"answer\": \"A\", "       \
    "\"explanation\": \"高 3952 公尺。\"}\n"
#define FIVE_OPTIONS                                                                                     \
    "{\"question\": \"下列何者是臺灣最高的山峰？\", \"A\": \"玉山\", \"B\": \"雪山\", " \
    "\"C\": \"秀姑巒山\", \"D\": \"合歡山\", \"E\": \"阿里山\", \"answer\": \"A\"}\n"

static struct eval_task *task;
static struct eval_item item;

static void render_row(const char *name, const char *subset, const char *rows, int shots)
{
    struct table table = {0};
    struct error err = {0};
    size_t which = 0;
    eval_task_close(task);
    CHECK_OK(eval_task_open(&task, name, &err), err);
    while (which < task->n_subsets && !str_equal_c(task->subsets[which].name, subset)) which++;
    CHECK(which < task->n_subsets);
    CHECK_OK(table_append_json(&table, str_of(rows), "rows", &err), err);
    CHECK_OK(eval_check_columns(task, &table, "rows", &err), err);
    CHECK_OK(eval_render(task, &task->subsets[which], &table, 0, &table, shots, &item, &err), err);
    table_deinit(&table);
}

static void check_digest(struct str text, const char *digest)
{
    char hex[SHA256_HEX];
    sha256_hex(text, hex);
    if (strcmp(hex, digest))
        check_fail(__FILE__, __LINE__, "%s, expected %s, of:\n%.*s", hex, digest, STR_ARGS(text));
}

TEST(the_harness)
{
    render_row("tmlu", "AST_civics", DOCUMENT, 0);
    check_digest(strbuf_view(&item.prompt),
                 "1f334c2db4c23a2efd507632ff56c88c78971308f42d2f13b47a52b637b3ea72");
    CHECK_STR(str_of(item.letters), "ABCD");
    CHECK_INT(item.gold, 0);
    render_row("tmlu", "AST_civics", DOCUMENT, 1);
    check_digest(strbuf_view(&item.prompt),
                 "61dac000c2a2ddc589e8a85e9920f49e44716e8198d7816dabf201ab340fca76");
    render_row("tmlu", "AST_chemistry", FIVE_OPTIONS, 0);
    check_digest(strbuf_view(&item.prompt),
                 "b7a3fd55e391c9d723960dd88789cf341852aa76ecf48babf90bc900722b0815");
    CHECK_STR(str_of(item.letters), "ABCDE");
    render_row("twllm_eval", "tw_truthful_qa", DOCUMENT, 0);
    check_digest(strbuf_view(&item.prompt),
                 "53d7dba40e2d337a13a349f168963ab92228fa1fcab842f6e0fedb33fe3d7d16");
    render_row("tw_legal", "default", DOCUMENT, 0);
    check_digest(strbuf_view(&item.prompt),
                 "967948b0782beaa43078681ab4e861e2cb8460b40d0303e5938ed4e9ebd99b8c");
    render_row("tmmluplus", "geography_of_taiwan", DOCUMENT, 0);
    check_digest(strbuf_view(&item.prompt),
                 "6b89a87929eef3d644943bff84bab3ef8db821639d2cc5e050a94e25237346ef");
}

/* MiuLab's prompts are the rendered text and the prefill behind it. */
static void check_with_prefill(const char *digest)
{
    CHECK_INT(strbuf_append(&item.prompt, task->prefill), STATUS_OK);
    check_digest(strbuf_view(&item.prompt), digest);
}

TEST(miulab)
{
    render_row("tmlu-miulab", "AST_civics", DOCUMENT, 0);
    CHECK_STR(str_of(item.letters), "ABCD");
    check_with_prefill("8fefa10907f5bd4ea7f61a48218bc7e2798fb027f7f38d545bf447b8dff4b1e1");
    render_row("tmlu-miulab", "AST_civics", DOCUMENT, 1);
    check_with_prefill("7a90ebc1b8d8bc7fe0bdc844e9e65dcc6789c45d75d41da70997ed35fc8135db");
    render_row("tmlu-miulab", "AST_civics", FIVE_OPTIONS, 0);
    CHECK_STR(str_of(item.letters), "ABCDE");
    render_row("tmlu-miulab-cot", "AST_civics", DOCUMENT, 1);
    CHECK(
        str_find(strbuf_view(&item.prompt), STR("(D) 合歡山\n讓我們一步一步思考。\n高 3952 公尺。\n"
                                                "正確答案：(A)\n\n問題：")) > 0);
}

TEST(ievals)
{
    struct arena arena = {0};
    struct json *messages;
    struct error err;
    render_row("tmmluplus-ievals", "geography_of_taiwan", DOCUMENT, 0);
    CHECK_OK(json_parse(&arena, strbuf_view(&item.prompt), NULL, "messages", &messages, &err), err);
    CHECK_INT(messages->n_items, 2);
    CHECK_STR(json_get(json_at(messages, 0), "content")->text,
              "你是一位專業的中文AI助理，以下是關於台灣地理考試單選題，請選出正確的答案。");
    check_digest(json_get(json_at(messages, 1), "content")->text,
                 "09d4e96d51b9c44862fabe7a6982f38cc44e9543ecb01f89f3e89fb5b35abfaa");
    arena_deinit(&arena);
    render_row("tmmluplus-ievals", "tve_design", DOCUMENT, 2);
    CHECK_OK(json_parse(&arena, strbuf_view(&item.prompt), NULL, "messages", &messages, &err), err);
    CHECK_INT(messages->n_items, 4); /* the one row there is as an example, then the question */
    CHECK_STR(json_get(json_at(messages, 2), "content")->text, "A");
    CHECK(str_find(json_get(json_at(messages, 1), "content")->text, STR("統測＿設計")) > 0);
    CHECK(str_starts_with(json_get(json_at(messages, 3), "content")->text, STR("下列")));
    arena_deinit(&arena);
}

TEST(subsets_as_counted)
{
    static const struct {
        const char *name;
        size_t n_subsets;
    } tasks[] = {{"tmlu", 31},      {"tmlu-miulab", 37},      {"tmlu-miulab-cot", 37},
                 {"tmmluplus", 67}, {"tmmluplus-ievals", 66}, {"tceval-tmmluplus", 66},
                 {"ccp", 4},        {"umtceval", 3},          {"mmlu", 57}};
    struct error err;
    const char *name;
    struct str json;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        eval_task_close(task);
        CHECK_OK(eval_task_open(&task, tasks[i].name, &err), err);
        CHECK_INT(task->n_subsets, tasks[i].n_subsets);
    }
    for (size_t i = 0; eval_task_builtin(i, &name, &json); i++) {
        eval_task_close(task);
        CHECK_OK(eval_task_open(&task, name, &err), err);
        CHECK_STR(task->name, name); /* file and name agree, so that results can be told apart */
    }
}

static void check_refused(const char *rows, const char *reason)
{
    struct table table = {0};
    struct error err = {0};
    eval_task_close(task);
    CHECK_OK(eval_task_open(&task, "tmlu", &err), err);
    CHECK_OK(table_append_json(&table, str_of(rows), "rows.jsonl", &err), err);
    status result = eval_check_columns(task, &table, "rows.jsonl", &err);
    if (result == STATUS_OK)
        result = eval_render(task, &task->subsets[0], &table, 0, NULL, 0, &item, &err);
    CHECK_INT(result, STATUS_FORMAT);
    if (!strstr(err.text, reason)) check_fail(__FILE__, __LINE__, "said: %s", err.text);
    table_deinit(&table);
}

TEST(bad_rows_are_named)
{
    check_refused("", "rows.jsonl: no rows");
    check_refused("{\"question\": \"?\", \"A\": \"a\"}",
                  "rows.jsonl: column \"B\" is missing; there are: question, A");
    check_refused(
        "{\"question\":\"?\",\"A\":\"a\",\"B\":\"b\",\"C\":\"c\",\"D\":\"d\",\"answer\":\"E\"}",
        "tmlu, AST_civics, row 0: its answer is \"E\", not one of ABCD");
    check_refused(
        "{\"question\":null,\"A\":\"a\",\"B\":\"b\",\"C\":\"c\",\"D\":\"d\",\"answer\":\"A\"}",
        "tmlu, AST_civics, row 0");
}

TEST(an_answer_outside_the_letters_is_wrong)
{
    render_row("tmlu", "AST_civics",
               "{\"question\":\"?\",\"A\":\"a\",\"B\":\"b\",\"C\":\"c\",\"D\":\"d\",\"E\":\"e\","
               "\"answer\":\"E\"}",
               0);
    CHECK_STR(str_of(item.letters), "ABCD"); /* the subset's, whatever the row has */
    CHECK_INT(item.gold, -1);
}
