#define _GNU_SOURCE
#include "cmd/chat_session.h"

#include <stdio.h>

#include "base/clock.h"
#include "cmd/output.h"
#include "cmd/terminal.h"

void chat_session_notice(const struct chat_session *chat, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    if (chat->dim_output) fputs("\x1b[2m", stderr);
    vfprintf(stderr, format, args);
    if (chat->dim_output) fputs("\x1b[0m", stderr);
    va_end(args);
}

/* ---- what is sent ----------------------------------------------------------------------------- */

static status tokens_of_conversation(struct chat_session *chat, int32_t **ids, size_t *n_ids,
                                     struct error *err)
{
    struct twllm_error error = {0};
    struct strbuf messages = {0};
    char *prompt = NULL;
    size_t size = 0;
    const struct twllm_model *model = chat->session.model;
    *ids = NULL;
    if (conversation_write(&chat->conversation, false, &messages) != STATUS_OK) {
        strbuf_deinit(&messages);
        return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    }
    int result = twllm_render_chat(model, messages.data, messages.size, &prompt, &size, &error);
    if (result == TWLLM_OK)
        result = twllm_encode(model, prompt, size, TWLLM_ENCODE_SPECIAL, ids, n_ids, &error);
    twllm_free(prompt);
    strbuf_deinit(&messages);
    return session_result(result, &error, err);
}

/* Room that must be left for an answer: an eighth of the model's length, at most 256 tokens. */
static size_t room_for_answer(size_t longest) { return longest / 8 < 256 ? longest / 8 : 256; }

/* The prompt's tokens, with the oldest turns left out (and that said) as far as needed. */
static status fit_conversation(struct chat_session *chat, int32_t **ids, size_t *n_ids,
                               struct error *err)
{
    size_t longest = (size_t)chat->session.plan.options.max_model_len;
    size_t most = longest - room_for_answer(longest);
    size_t before = chat->conversation.n_left_out;
    TRY(tokens_of_conversation(chat, ids, n_ids, err));
    while (*n_ids > most) {
        size_t needed = *n_ids;
        bool refused = !chat->drops_oldest && needed >= longest;
        if (!chat->drops_oldest && !refused) break; /* it fits; only the answer may be cut */
        twllm_free(*ids);
        *ids = NULL;
        if (refused && chat->conversation.count > 2)
            return error_set(err, STATUS_LIMIT, message(MESSAGE_CHAT_OVERFLOW_REFUSED), needed,
                             (int)longest);
        if (refused || !conversation_leave_out_turn(&chat->conversation)) {
            chat->conversation.n_left_out = before;
            return error_set(err, STATUS_LIMIT, message(MESSAGE_CHAT_TOO_LONG), needed,
                             (int)longest);
        }
        TRY(tokens_of_conversation(chat, ids, n_ids, err));
    }
    size_t left_out = chat->conversation.n_left_out;
    if (left_out > before)
        chat_session_notice(chat, message(MESSAGE_CHAT_DROPPED), (int)longest, left_out);
    return STATUS_OK;
}

/* ---- the answer ------------------------------------------------------------------------------- */

struct answer {
    struct chat_session *chat;
    struct strbuf text;
    int64_t sent_us, first_us, last_us;
    int32_t n_prompt, n_cached, n_generated;
    enum twllm_finish finish;
    bool ends_line; /* what was printed last ended a line */
    status result;
    struct error *err;
};

/* A model's text may hold anything; a terminal obeys escape sequences. */
static status print_text(const struct chat_session *chat, struct str text, struct error *err)
{
    size_t begin = 0;
    for (size_t at = 0; at < text.size && chat->clean_output; at++) {
        unsigned char c = (unsigned char)text.data[at];
        bool c1 = c == 0xC2 && at + 1 < text.size && (unsigned char)text.data[at + 1] < 0xA0;
        if ((c >= 0x20 && c != 0x7F && !c1) || c == '\n' || c == '\t') continue;
        TRY(output_write(str_slice(text, begin, at), err));
        at += c1;
        begin = at + 1;
    }
    TRY(output_write(str_slice(text, begin, text.size), err));
    return output_flush(err);
}

static void take_output(void *argument, const struct twllm_output *output)
{
    struct answer *answer = argument;
    if (output->index != 0) return;
    if (output->n_tokens) {
        answer->last_us = clock_monotonic_us();
        if (!answer->first_us) answer->first_us = answer->last_us;
    }
    answer->n_prompt = output->n_prompt_tokens;
    answer->n_cached = output->n_cached_tokens;
    answer->n_generated = output->n_generated_tokens;
    answer->finish = (enum twllm_finish)output->finish;
    if (answer->result != STATUS_OK) return;
    if (output->finish == TWLLM_FINISH_ERROR)
        answer->result =
            error_set(answer->err, STATUS_INTERNAL, "%s", output->error ? output->error : "");
    struct str piece = {output->text, output->text_size};
    if (piece.size == 0) return;
    answer->ends_line = piece.data[piece.size - 1] == '\n';
    answer->result = strbuf_append(&answer->text, piece);
    if (answer->result == STATUS_OK) answer->result = print_text(answer->chat, piece, answer->err);
}

static double per_second(double count, int64_t us) { return us > 0 ? count * 1e6 / (double)us : 0; }

static void report(struct chat_session *chat, const struct answer *answer)
{
    chat->n_prompt_tokens += answer->n_prompt;
    chat->n_cached_tokens += answer->n_cached;
    chat->n_generated_tokens += answer->n_generated;
    chat->last_length = (size_t)answer->n_prompt + (size_t)answer->n_generated;
    if (answer->finish == TWLLM_FINISH_CANCELLED)
        chat_session_notice(chat, "%s\n", message(MESSAGE_CHAT_STOPPED));
    if (answer->finish == TWLLM_FINISH_LENGTH)
        chat_session_notice(chat, "%s\n", message(MESSAGE_CHAT_CUT));
    if (!chat->shows_statistics || !answer->first_us) return;
    int64_t reading = answer->first_us - answer->sent_us;
    double read = per_second(answer->n_prompt - answer->n_cached, reading);
    double generated = per_second(answer->n_generated - 1, answer->last_us - answer->first_us);
    chat_session_notice(chat, message(MESSAGE_CHAT_STATISTICS), answer->n_prompt, answer->n_cached,
                        read, answer->n_generated, generated, (double)reading * 1e-6);
    chat_session_notice(chat, "\n");
}

/* Steps until the answer is done; Ctrl-C cancels it. */
static status run(struct chat_session *chat, struct answer *answer, const int32_t *ids,
                  size_t n_ids, struct error *err)
{
    struct twllm_engine *engine = chat->session.engine;
    struct twllm_error error = {0};
    uint64_t id;
    int more = 1;
    bool cancelled = false;
    terminal_take_interrupt();
    answer->sent_us = clock_monotonic_us();
    int result = twllm_submit(engine, ids, n_ids, chat->session.params, NULL, &id, &error);
    while (result == TWLLM_OK && more) {
        if (!cancelled && (terminal_take_interrupt() || answer->result != STATUS_OK)) {
            twllm_cancel(engine, id);
            cancelled = true;
        }
        result = twllm_step(engine, take_output, answer, &more, &error);
    }
    TRY(session_result(result, &error, err));
    return answer->result;
}

/* The publisher of such a model advises always to set a system message: its absence is said once. */
static void tell_about_system(struct chat_session *chat)
{
    if (chat->told_about_system || conversation_system(&chat->conversation)) return;
    chat->told_about_system = true;
    if (chat->session.info.system_recommended)
        chat_session_notice(chat, "%s", message(MESSAGE_CHAT_NO_SYSTEM));
}

status chat_session_answer(struct chat_session *chat, struct error *err)
{
    struct answer answer = {.chat = chat, .err = err, .ends_line = true};
    int32_t *ids = NULL;
    size_t n_ids = 0;
    tell_about_system(chat);
    status result = fit_conversation(chat, &ids, &n_ids, err);
    if (result == STATUS_OK) result = run(chat, &answer, ids, n_ids, err);
    twllm_free(ids);
    if (!answer.ends_line && result == STATUS_OK) result = output_write(STR("\n"), err);
    if (result == STATUS_OK) result = output_flush(err);
    if (result == STATUS_OK)
        result = conversation_add(&chat->conversation, "assistant", strbuf_view(&answer.text));
    strbuf_deinit(&answer.text);
    if (result != STATUS_OK) {
        if (!strcmp(conversation_last_role(&chat->conversation), "user"))
            conversation_remove_last(&chat->conversation);
        return result;
    }
    report(chat, &answer);
    bool ends = answer.finish == TWLLM_FINISH_CANCELLED && !chat->interactive;
    return ends ? error_set(err, STATUS_CANCELLED, "%s", message(MESSAGE_CHAT_STOPPED)) : STATUS_OK;
}

status chat_session_line(struct chat_session *chat, struct str line, struct error *err)
{
    if (line.size == 0) return STATUS_OK;
    if (line.data[0] == '/' && !str_starts_with(line, STR("//")))
        return chat_session_command(chat, line, err);
    if (line.data[0] == '/') line = str_slice(line, 1, line.size);
    if (conversation_add(&chat->conversation, "user", line) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    return chat_session_answer(chat, err);
}
