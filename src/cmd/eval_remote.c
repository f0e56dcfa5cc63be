/* Tasks on a model behind an API. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/eval.h"
#include "data/json.h"
#include "eval/answer_parser.h"

struct eval_remote_question {
    struct remote_question question;
    struct strbuf prompt; /* messages or text */
    struct remote_choice choices[EVAL_MAX_LETTERS];
    struct strbuf texts[EVAL_MAX_LETTERS]; /* of the choices */
};

void eval_remote_deinit(struct eval_remote_question *q)
{
    if (!q) return;
    remote_question_deinit(&q->question);
    strbuf_deinit(&q->prompt);
    for (int i = 0; i < EVAL_MAX_LETTERS; i++) strbuf_deinit(&q->texts[i]);
    free(q);
}

struct remote_question *eval_remote_question_of(struct eval_remote_question *q)
{
    return &q->question;
}

/* ---- preparing --------------------------------------------------------------------------------- */

static status append_message(struct strbuf *out, const char *role, struct str text)
{
    TRY(strbuf_appendf(out, "%s{\"role\": \"%s\", \"content\": ", out->size > 1 ? ", " : "", role));
    TRY(json_write_string(out, text, false));
    return strbuf_append_char(out, '}');
}

/* A task with a prefill, as its authors send it: to OpenAI's API inside the question with an empty answer behind it,
 * to Anthropic's as the beginning of the answer, without blanks around. */
static status write_conversation(const struct eval_options *options, const struct eval_task *task,
                                 struct str text, struct strbuf *out)
{
    bool anthropic = !strcmp(options->remote.api, "anthropic");
    struct strbuf user = {0};
    status result = strbuf_append(&user, text);
    if (result == STATUS_OK && !anthropic) result = strbuf_append(&user, task->prefill);
    if (result == STATUS_OK) result = strbuf_append_c(out, "[");
    if (result == STATUS_OK) result = append_message(out, "user", strbuf_view(&user));
    if (result == STATUS_OK && task->prefill.size)
        result = append_message(out, "assistant",
                                anthropic ? answer_strip(task->prefill) : (struct str){"", 0});
    if (result == STATUS_OK) result = strbuf_append_c(out, "]");
    strbuf_deinit(&user);
    return result;
}

static bool is_conversation(const struct eval_task *task, const struct eval_options *options)
{
    return task->chat || options->apply_chat_template;
}

status eval_remote_prompt(const struct eval_job *job, const struct eval_options *options,
                          const struct eval_item *item, struct strbuf *prompt, struct error *err)
{
    const struct eval_task *task = job->task;
    strbuf_clear(prompt);
    if (task->method == EVAL_LOGLIKELIHOOD && is_conversation(task, options))
        return error_set(err, STATUS_UNSUPPORTED, "%s: %s", task->name.data,
                         "a conversation API does not rate given answers");
    if (task->chat) return strbuf_append(prompt, strbuf_view(&item->prompt));
    if (options->apply_chat_template)
        return write_conversation(options, task, strbuf_view(&item->prompt), prompt);
    TRY(strbuf_append(prompt, strbuf_view(&item->prompt)));
    return strbuf_append(prompt, task->prefill);
}

static status prepare_choices(const struct eval_job *job, struct eval_question *q,
                              const struct eval_options *options, const struct tokenizer *tokenizer,
                              struct str prompt, size_t most, struct error *err)
{
    struct eval_remote_question *r = q->remote;
    r->question.kind = REMOTE_CHOICES;
    r->question.choices = r->choices;
    r->question.n_choices = (int)strlen(q->letters);
    for (int i = 0; q->letters[i]; i++) {
        TRY(strbuf_append(&r->texts[i], job->task->choice_prefix));
        TRY(strbuf_append_char(&r->texts[i], q->letters[i]));
        r->choices[i].text = strbuf_view(&r->texts[i]);
    }
    if (!tokenizer) {
        q->request->is_choice = true;
        q->request->n_choices = r->question.n_choices;
        return STATUS_OK;
    }
    TRY(score_prepare_choices(q->request, tokenizer, prompt, job->task->choice_prefix, q->letters,
                              options->add_bos, most, err));
    size_t cut = score_choices_cut(q->request);
    r->question.ids = q->request->prompt + cut;
    r->question.n_ids = q->request->n_prompt - cut;
    for (int i = 0; q->letters[i]; i++)
        r->choices[i].ids = score_choice_ids(q->request, i, &r->choices[i].n_ids);
    return STATUS_OK;
}

status eval_remote_prepare(const struct eval_job *job, struct eval_question *q,
                           const struct eval_options *options, const struct tokenizer *tokenizer,
                           struct str prompt, struct error *err)
{
    const struct eval_task *task = job->task;
    size_t most = options->session.max_model_len > 0 ? (size_t)options->session.max_model_len - 1
                                                     : (size_t)INT32_MAX;
    struct eval_remote_question *r = q->remote = calloc(1, sizeof *r);
    q->request = calloc(1, sizeof *q->request);
    if (!r || !q->request) return error_set(err, STATUS_NO_MEMORY, "a question");
    TRY(strbuf_append(&r->prompt, prompt));
    r->question.prompt = r->question.messages = strbuf_view(&r->prompt);
    if (task->method == EVAL_LOGLIKELIHOOD)
        return prepare_choices(job, q, options, tokenizer, prompt, most, err);
    r->question.kind = is_conversation(task, options) ? REMOTE_CHAT : REMOTE_TEXT;
    r->question.max_tokens = task->max_tokens;
    r->question.stops = task->stops;
    r->question.n_stops = task->n_stops;
    if (r->question.kind == REMOTE_CHAT || !tokenizer) return STATUS_OK;
    struct sampling_params params = sampling_params_default();
    if ((size_t)task->max_tokens >= most)
        return error_set(err, STATUS_INVALID, "%s: answers of %d tokens do not fit the model",
                         task->name.data, task->max_tokens);
    TRY(score_prepare_answer(q->request, tokenizer, prompt, options->add_bos,
                             most - (size_t)task->max_tokens, &params, err));
    r->question.ids = q->request->prompt;
    r->question.n_ids = q->request->n_prompt;
    return STATUS_OK;
}

/* ---- asking ------------------------------------------------------------------------------------ */

struct asking {
    struct eval_remote_run *run;
    int64_t n_failed, n_prompt_tokens, n_completion_tokens, n_requests;
    struct error first;
};

static status on_done(void *argument, size_t index, struct remote_question *q, struct error *err)
{
    struct asking *a = argument;
    a->n_requests += q->n_requests;
    a->n_prompt_tokens += q->n_prompt_tokens;
    a->n_completion_tokens += q->n_completion_tokens;
    if (q->result == STATUS_OK) return a->run->take(a->run->argument, index, err);
    if (a->n_failed++ == 0) a->first = q->error;
    return STATUS_OK;
}

static bool is_cancelled(void *argument)
{
    const struct eval_remote_run *run = ((struct asking *)argument)->run;
    return run->is_cancelled && run->is_cancelled(run->argument);
}

status eval_remote_ask(struct eval_remote_run *run, struct remote_question *const *questions,
                       size_t count, struct error *err)
{
    struct remote_options options;
    struct asking asking = {.run = run};
    TRY(remote_arguments_options(run->arguments, run->model, run->option, run->environment,
                                 &options, err));
    TRY(remote_arguments_announce(run->arguments, &options, questions, count, &run->left, err));
    if (run->left || count == 0) return STATUS_OK;
    const struct remote_run remote = {
        .options = &options, .on_done = on_done, .is_cancelled = is_cancelled, .argument = &asking};
    status result = remote_run_all(&remote, questions, count, err);
    if (asking.n_prompt_tokens)
        fprintf(stderr, message(MESSAGE_REMOTE_USED), (long long)asking.n_prompt_tokens,
                (long long)asking.n_completion_tokens, (long long)asking.n_requests);
    TRY(result);
    if (asking.n_failed == 0) return STATUS_OK;
    return error_set(err, STATUS_IO, message(MESSAGE_REMOTE_SOME_FAILED),
                     (long long)asking.n_failed, (long long)count, asking.first.text);
}

status eval_remote_take(struct eval_question *q, struct error *err)
{
    struct remote_question *from = &q->remote->question;
    struct score_request *to = q->request;
    if (q->remote->question.kind == REMOTE_CHOICES) {
        memcpy(to->logprobs, from->logprobs, sizeof to->logprobs);
        return STATUS_OK;
    }
    strbuf_deinit(&to->text);
    if (strbuf_append(&to->text, strbuf_view(&from->text)) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "an answer");
    return STATUS_OK;
}
