/* The judge's prompts of TW MT-Bench (MediaTek Research, TCEval), which published scores depend on to the
 * letter: oddities of wording and spacing are theirs. */
#include "eval/mt_bench.h"

static const struct {
    const char *name, *system, *text;
} prompts[MT_PROMPTS] = {
    {"single-v1", "You are a helpful assistant.",
     "[Instruction]\n"
     "Please act as an impartial judge and evaluate the quality of the response provided by "
     "an AI assistant to the user question displayed below. Your evaluation should consider "
     "factors such as the helpfulness, relevance, accuracy, depth, creativity, and level of "
     "detail of the response. Responses in Traditional Chinese are expected and are more "
     "favourable than Simplified Chinese, English, and other languages. Begin your "
     "evaluation by providing a short explanation. Be as objective as possible. After "
     "providing your explanation, you must rate the response on a scale of 1 to 10 by "
     "strictly following this format: \"[[rating]]\", for example: \"Rating: [[5]]\".\n"
     "\n"
     "[Question]\n"
     "{question}\n"
     "\n"
     "[The Start of Assistant's Answer]\n"
     "{answer}\n"
     "[The End of Assistant's Answer]"},
    {"single-math-v1", "You are a helpful assistant.",
     "[Instruction]\n"
     "Please act as an impartial judge and evaluate the quality of the response provided by "
     "an AI assistant to the user question displayed below. Your evaluation should consider "
     "correctness and helpfulness. You will be given a reference answer and the assistant's "
     "answer. Responses in Traditional Chinese are expected and are more favourable than "
     "Simplified Chinese, English, and other languages. Begin your evaluation by comparing "
     "the assistant's answer with the reference answer. Identify and correct any mistakes. "
     "Be as objective as possible. After providing your explanation, you must rate the "
     "response on a scale of 1 to 10 by strictly following this format: \"[[rating]]\", for "
     "example: \"Rating: [[5]]\".\n"
     "\n"
     "[Question]\n"
     "{question}\n"
     "\n"
     "[The Start of Reference Answer]\n"
     "{ref_answer_1}\n"
     "[The End of Reference Answer]\n"
     "\n"
     "[The Start of Assistant's Answer]\n"
     "{answer}\n"
     "[The End of Assistant's Answer]"},
    {"single-v1-multi-turn",
     "Please act as an impartial judge and evaluate the quality of the response provided by "
     "an AI assistant to the user question displayed below. Your evaluation should consider "
     "factors such as the helpfulness, relevance, accuracy, depth, creativity, and level of "
     "detail of the response. Responses in Traditional Chinese are expected and are more "
     "favourable than Simplified Chinese, English, and other languages. You evaluation "
     "should focus on the assistant's answer to the second user question. Begin your "
     "evaluation by providing a short explanation. Be as objective as possible. After "
     "providing your explanation, you must rate the response on a scale of 1 to 10 by "
     "strictly following this format: \"[[rating]]\", for example: \"Rating: [[5]]\".\n"
     "\n",
     "<|The Start of Assistant A's Conversation with User|>\n"
     "\n"
     "### User:\n"
     "{question_1}\n"
     "\n"
     "### Assistant A:\n"
     "{answer_1}\n"
     "\n"
     "### User:\n"
     "{question_2}\n"
     "\n"
     "### Assistant A:\n"
     "{answer_2}\n"
     "\n"
     "<|The End of Assistant A's Conversation with User|>"},
    {"single-math-v1-multi-turn",
     "Please act as an impartial judge and evaluate the quality of the response provided by "
     "an AI assistant to the user question. Your evaluation should consider correctness and "
     "helpfulness. Responses in Traditional Chinese are expected and are more favourable "
     "than Simplified Chinese, English, and other languages.You will be given a reference "
     "answer and the assistant's answer. You evaluation should focus on the assistant's "
     "answer to the second question. Begin your evaluation by comparing the assistant's "
     "answer with the reference answer. Identify and correct any mistakes. Be as objective "
     "as possible. After providing your explanation, you must rate the response on a scale "
     "of 1 to 10 by strictly following this format: \"[[rating]]\", for example: \"Rating: "
     "[[5]]\".\n"
     "\n",
     "<|The Start of Reference Answer|>\n"
     "\n"
     "### User:\n"
     "{question_1}\n"
     "\n"
     "### Reference answer:\n"
     "{ref_answer_1}\n"
     "\n"
     "### User:\n"
     "{question_2}\n"
     "\n"
     "### Reference answer:\n"
     "{ref_answer_2}\n"
     "\n"
     "<|The End of Reference Answer|>\n"
     "\n"
     "\n"
     "<|The Start of Assistant A's Conversation with User|>\n"
     "\n"
     "### User:\n"
     "{question_1}\n"
     "\n"
     "### Assistant A:\n"
     "{answer_1}\n"
     "\n"
     "### User:\n"
     "{question_2}\n"
     "\n"
     "### Assistant A:\n"
     "{answer_2}\n"
     "\n"
     "<|The End of Assistant A's Conversation with User|>"},
};

const char *mt_bench_prompt_name(enum mt_bench_prompt which) { return prompts[which].name; }

struct str mt_bench_system(enum mt_bench_prompt which) { return str_of(prompts[which].system); }

/* The text that a name in braces stands for; data NULL for any other braces. */
static struct str value_of(enum mt_bench_prompt which, const struct mt_bench_case *c,
                           struct str name)
{
    bool single = which == MT_SINGLE || which == MT_SINGLE_MATH;
    const struct {
        const char *name;
        struct str value;
    } values[] = {{"question_1", c->questions[0]},    {"question_2", c->questions[1]},
                  {"answer_1", c->answers[0]},        {"answer_2", c->answers[1]},
                  {"ref_answer_1", c->references[0]}, {"ref_answer_2", c->references[1]}};
    if (single && str_equal_c(name, "question")) return c->questions[0];
    if (single && str_equal_c(name, "answer")) return c->answers[0];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (str_equal_c(name, values[i].name)) return values[i].value;
    return (struct str){NULL, 0};
}

status mt_bench_fill(enum mt_bench_prompt which, const struct mt_bench_case *c, struct strbuf *out)
{
    struct str text = str_of(prompts[which].text);
    for (size_t at = 0; at < text.size;) {
        const char *close =
            text.data[at] == '{' ? memchr(text.data + at, '}', text.size - at) : NULL;
        size_t end = close ? (size_t)(close - text.data) : at;
        struct str value = {NULL, 0};
        if (close) value = value_of(which, c, str_slice(text, at + 1, end));
        if (value.data) {
            TRY(strbuf_append(out, value));
            at = end + 1;
        } else {
            TRY(strbuf_append_char(out, text.data[at++]));
        }
    }
    return STATUS_OK;
}
