/* The task files as part of the program, byte for byte. */
#include "eval/task.h"

/* X(symbol, file name without .json), in the order they are listed to the user */
#define TASK_FILES(X)                                                                              \
    X(tmlu, "tmlu")                                                                                \
    X(twllm_eval, "twllm_eval")                                                                    \
    X(tw_legal, "tw_legal")                                                                        \
    X(tmmluplus, "tmmluplus")                                                                      \
    X(tmlu_miulab, "tmlu-miulab")                                                                  \
    X(tmlu_miulab_generate, "tmlu-miulab-generate")                                                \
    X(tmlu_miulab_cot, "tmlu-miulab-cot")                                                          \
    X(tmmluplus_ievals, "tmmluplus-ievals")                                                        \
    X(tmmluplus_ievals_base, "tmmluplus-ievals-base")                                              \
    X(tceval_tmmluplus, "tceval-tmmluplus")                                                        \
    X(tceval_tmmluplus_generate, "tceval-tmmluplus-generate")                                      \
    X(tceval_drcd, "tceval-drcd")                                                                  \
    X(tceval_penguins, "tceval-penguins")                                                          \
    X(tceval_penguins_generate, "tceval-penguins-generate")                                        \
    X(ccp, "ccp")                                                                                  \
    X(pega, "pega")                                                                                \
    X(pega_mmlu, "pega_mmlu")                                                                      \
    X(umtceval, "umtceval")                                                                        \
    X(belebele, "belebele_zho_Hant")                                                               \
    X(mmlu, "mmlu")                                                                                \
    X(function_calling, "function-calling")

#define X(symbol, name)                                                                            \
    __asm__(".section .rodata\n"                                                                   \
            "eval_task_" #symbol "_begin:\n"                                                       \
            ".incbin \"" TWLLM_EVAL_TASKS_DIR "/" name ".json\"\n"                                 \
            "eval_task_" #symbol "_end:\n"                                                         \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char eval_task_##symbol##_begin[] __attribute__((visibility("hidden")));          \
    extern const char eval_task_##symbol##_end[] __attribute__((visibility("hidden")));
TASK_FILES(X)
#undef X

bool eval_task_builtin(size_t index, const char **name, struct str *json)
{
    static const struct {
        const char *name, *begin, *end;
    } files[] = {
#define X(symbol, name) {name, eval_task_##symbol##_begin, eval_task_##symbol##_end},
        TASK_FILES(X)
#undef X
    };
    if (index >= sizeof files / sizeof *files) return false;
    *name = files[index].name;
    *json = (struct str){files[index].begin, (size_t)(files[index].end - files[index].begin)};
    return true;
}
