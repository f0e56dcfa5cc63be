/* A task's rows and prompts. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "cmd/eval.h"
#include "data/json.h"
#include "hub/hub_dataset.h"

void eval_job_deinit(struct eval_job *job)
{
    for (size_t i = 0; job->task && i < job->task->n_subsets; i++) {
        if (job->rows) table_deinit(&job->rows[i]);
        if (job->examples) table_deinit(&job->examples[i]);
    }
    for (size_t i = 0; i < job->n_questions; i++) {
        if (job->questions[i].request) score_request_deinit(job->questions[i].request);
        free(job->questions[i].request);
        eval_remote_deinit(job->questions[i].remote);
        free(job->questions[i].answer);
    }
    if (job->has_samples) result_file_close(&job->samples);
    free(job->rows);
    free(job->examples);
    free(job->tallies);
    free(job->questions);
    *job = (struct eval_job){0};
}

struct loader {
    const struct eval_options *options;
    struct hub_cache_options hub;
    struct error *err;
};

static status load_split(const struct loader *l, const struct eval_subset *subset, struct str split,
                         struct table *table)
{
    struct arena arena = {0};
    struct strbuf folder = {0};
    struct hub_files files = {0};
    status result =
        hub_dataset_folder(&l->hub, l->options->data, subset->dataset.data, &folder, l->err);
    if (result == STATUS_OK)
        result = hub_dataset_files(&arena, folder.data, subset->config, split, &files, l->err);
    for (size_t i = 0; i < files.count && result == STATUS_OK; i++)
        result = table_read(table, files.paths[i].data, l->err);
    arena_deinit(&arena);
    strbuf_deinit(&folder);
    return result;
}

static status load_subset(const struct loader *l, struct eval_job *job, size_t index)
{
    const struct eval_subset *subset = &job->task->subsets[index];
    struct str names[2] = {subset->split, subset->fewshot_split};
    struct table *tables[2] = {&job->rows[index], &job->examples[index]};
    for (int i = 0; i < (job->shots ? 2 : 1); i++) {
        status result = load_split(l, subset, names[i], tables[i]);
        if (result == STATUS_OK) {
            char source[200];
            snprintf(source, sizeof source, "%s, %s, %s", subset->dataset.data, subset->config.data,
                     names[i].data);
            result = eval_check_columns(job->task, tables[i], source, l->err);
        }
        if (result == STATUS_NOT_FOUND && i == 0 && l->options->skip_missing) {
            table_deinit(tables[0]);
            return STATUS_OK;
        }
        if (result != STATUS_OK)
            return error_prefix(l->err, result, "%s_%s", job->task->name.data, subset->name.data);
    }
    return STATUS_OK;
}

static status list_questions(struct eval_job *job, int64_t limit, struct error *err)
{
    for (int pass = 0; pass < 2; pass++) {
        size_t count = 0;
        for (size_t i = 0; i < job->task->n_subsets; i++) {
            size_t n = job->rows[i].n_rows;
            if (limit > 0 && n > (size_t)limit) n = (size_t)limit;
            for (size_t row = 0; row < n; row++, count++)
                if (pass == 1)
                    job->questions[count] =
                        (struct eval_question){.subset = (uint32_t)i, .row = (uint32_t)row};
        }
        if (count == 0)
            return error_set(err, STATUS_NOT_FOUND, "%s: no questions", job->task->name.data);
        if (pass == 0) job->questions = calloc(count, sizeof *job->questions);
        if (!job->questions) return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
        if (pass == 1) job->n_questions = count;
    }
    return STATUS_OK;
}

status eval_job_load(struct eval_job *job, const struct eval_task *task,
                     const struct eval_options *options, const struct environment *environment,
                     struct error *err)
{
    struct loader loader = {options,
                            {.hf_hub_cache = environment->hf_hub_cache,
                             .hf_home = environment->hf_home,
                             .xdg_cache_home = environment->xdg_cache_home,
                             .home = environment->home},
                            err};
    *job = (struct eval_job){.task = task};
    job->shots = options->shots >= 0 ? (int)options->shots : task->shots;
    job->rows = calloc(task->n_subsets, sizeof *job->rows);
    job->examples = calloc(task->n_subsets, sizeof *job->examples);
    job->tallies = calloc(task->n_subsets, sizeof *job->tallies);
    if (!job->rows || !job->examples || !job->tallies)
        return error_set(err, STATUS_NO_MEMORY, "%s", task->name.data);
    for (size_t i = 0; i < task->n_subsets; i++) {
        if (job->shots && task->subsets[i].fewshot_split.size == 0)
            return error_set(err, STATUS_UNSUPPORTED, message(MESSAGE_EVAL_NO_SHOTS),
                             task->name.data);
        TRY(load_subset(&loader, job, i));
    }
    return list_questions(job, options->limit, err);
}

/* ---- prompts ------------------------------------------------------------------------------------ */

static status apply_template(const struct session *session, struct str conversation,
                             struct strbuf *prompt, struct error *err)
{
    struct twllm_error error = {0};
    char *text = NULL;
    size_t size = 0;
    TRY(session_result(twllm_render_chat(session->model, conversation.data, conversation.size,
                                         &text, &size, &error),
                       &error, err));
    status result = strbuf_append(prompt, (struct str){text, size});
    twllm_free(text);
    return result;
}

static status as_user_turn(struct str text, struct strbuf *out)
{
    TRY(strbuf_append_c(out, "[{\"role\": \"user\", \"content\": "));
    TRY(json_write_string(out, text, false));
    return strbuf_append_c(out, "}]");
}

status eval_job_prompt(const struct eval_job *job, const struct eval_question *question,
                       const struct eval_options *options, const struct session *session,
                       struct eval_item *item, struct strbuf *prompt, struct error *err)
{
    const struct eval_task *task = job->task;
    size_t s = question->subset;
    TRY(eval_render(task, &task->subsets[s], &job->rows[s], question->row,
                    job->shots ? &job->examples[s] : NULL, job->shots, item, err));
    strbuf_clear(prompt);
    struct strbuf conversation = {0};
    status result = STATUS_OK;
    if (task->chat && session) {
        result = apply_template(session, strbuf_view(&item->prompt), prompt, err);
    } else if (options->apply_chat_template && session) {
        result = as_user_turn(strbuf_view(&item->prompt), &conversation);
        if (result == STATUS_OK)
            result = apply_template(session, strbuf_view(&conversation), prompt, err);
    } else {
        result = strbuf_append(prompt, strbuf_view(&item->prompt));
    }
    if (result == STATUS_OK) result = strbuf_append(prompt, task->prefill);
    strbuf_deinit(&conversation);
    return result;
}
