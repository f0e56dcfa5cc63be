/* X(NAME, English, zh-TW). printf arguments come in the same order in both. */
#ifndef CMD_MESSAGES_LIST_H
#define CMD_MESSAGES_LIST_H

#include "cmd/messages_convert.h"
#include "cmd/messages_eval.h"
#include "cmd/messages_hub.h"
#include "cmd/messages_options.h"
#include "cmd/messages_remote.h"
#include "cmd/messages_serve.h"

#define MESSAGES_LIST(X)                                                                           \
    MESSAGES_GENERAL(X)                                                                            \
    MESSAGES_CHAT(X)                                                                               \
    MESSAGES_REPORTS(X)                                                                            \
    MESSAGES_COMMANDS(X)                                                                           \
    MESSAGES_OPTIONS(X)                                                                            \
    MESSAGES_SERVE(X)                                                                              \
    MESSAGES_EVAL(X)                                                                               \
    MESSAGES_REMOTE(X)                                                                             \
    MESSAGES_CONVERT(X)                                                                            \
    MESSAGES_HUB(X)

/* clang-format off */
#define MESSAGES_GENERAL(X)                                                                        \
    X(EMPTY, "", "")                                                                               \
    X(STATUS_OK, "success", "成功")                                                                \
    X(STATUS_INTERNAL, "a defect in this program", "程式本身的缺陷")                               \
    X(STATUS_INVALID, "unusable argument", "參數無法使用")                                         \
    X(STATUS_FORMAT, "malformed file or text", "檔案或文字格式有誤")                               \
    X(STATUS_UNSUPPORTED, "not supported", "不支援")                                               \
    X(STATUS_NOT_FOUND, "not found", "找不到")                                                     \
    X(STATUS_IO, "reading or writing failed", "讀寫失敗")                                          \
    X(STATUS_NO_MEMORY, "out of memory", "記憶體不足")                                             \
    X(STATUS_LIMIT, "over a limit", "超過上限")                                                    \
    X(STATUS_NO_SPACE, "no room for now", "暫時沒有空間")                                          \
    X(STATUS_CANCELLED, "stopped on request", "已依要求停止")                                      \
    X(STATUS_DEVICE, "the accelerator failed", "加速器發生錯誤")                                   \
    X(ERROR_LINE, "twllm: %s%s\n", "twllm：%s%s\n")                                                \
    X(NO_MEMORY, "out of memory", "記憶體不足")                                                    \
    X(OPTION_UNKNOWN, "unknown option --%.*s (see twllm %s --help)",                               \
      "沒有 --%.*s 這個選項（請看 twllm %s --help）")                                              \
    X(OPTION_UNKNOWN_SUGGEST, "unknown option --%.*s; did you mean --%s?",                         \
      "沒有 --%.*s 這個選項；您是指 --%s 嗎？")                                                    \
    X(OPTION_RANGE, "--%s takes a value from %s to %s, not %s", "--%s 的值要在 %s 到 %s 之間，不能是 %s") \
    X(OPTION_NOT_INTEGER, "--%s takes an integer, not '%s'", "--%s 要給整數，不能是「%s」")        \
    X(OPTION_NOT_NUMBER, "--%s takes a number, not '%s'", "--%s 要給數字，不能是「%s」")           \
    X(OPTION_NOT_BYTES, "--%s takes a size such as 512M or 2G, not '%s'",                          \
      "--%s 要給大小，例如 512M 或 2G，不能是「%s」")                                              \
    X(OPTION_CHOICE, "--%s is one of %s, not '%s'", "--%s 只能是 %s 其中之一，不能是「%s」")       \
    X(OPTION_NO_VALUE, "--%s takes no value", "--%s 不需要值")                                     \
    X(OPTION_NEEDS_VALUE, "--%s needs a value", "--%s 需要一個值")                                 \
    X(OPTION_NEEDS_OTHER, "--%s needs --%s", "--%s 要和 --%s 一起使用")                                \
    X(OPTIONS_EXCLUDE, "--%s and --%s exclude each other", "--%s 與 --%s 不能同時使用")            \
    X(ARGUMENT_EXTRA, "unexpected argument '%s'", "多餘的參數「%s」")                              \
    X(ARGUMENT_MISSING, "missing argument %s (see twllm %s --help)",                               \
      "缺少參數 %s（請看 twllm %s --help）")                                                       \
    X(COMMAND_UNKNOWN, "unknown command '%s' (see twllm --help)",                                  \
      "沒有「%s」這個指令（請看 twllm --help）")                                                   \
    X(COMMAND_UNKNOWN_SUGGEST, "unknown command '%s'; did you mean '%s'?",                         \
      "沒有「%s」這個指令；您是指「%s」嗎？")                                                      \
    X(LANGUAGE_UNKNOWN, "--lang is en or zh-TW, not '%s'", "--lang 只能是 en 或 zh-TW，不能是「%s」") \
    X(WRITE_FAILED, "standard output: cannot write: %s", "標準輸出：無法寫入：%s")                 \
    X(READ_FAILED, "standard input: cannot read: %s", "標準輸入：無法讀取：%s")                    \
    X(HELP_USAGE, "usage: ", "用法：")                                                             \
    X(HELP_OPTIONS_WORD, "options", "選項")                                                        \
    X(HELP_COMMAND_WORD, "COMMAND", "指令")                                                        \
    X(HELP_DEFAULT, " [default: %s]", "〔預設：%s〕")                                              \
    X(HELP_EXAMPLES, "Examples:", "範例：")                                                        \
    X(HELP_COMMANDS, "Commands:", "指令：")                                                        \
    X(HELP_EXIT_CODES_TITLE, "Exit codes:", "結束代碼：")                                          \
    X(HELP_EXIT_CODES, "Exit code 0 means success; twllm --help lists the others.",                \
      "結束代碼 0 表示成功；其他代碼請看 twllm --help。")                                          \
    X(HELP_GLOBAL,                                                                                 \
      "Options before the command: --lang en|zh-TW, --version, --help. A MODEL is a folder as "    \
      "Hugging Face publishes it, a GGUF file, the name of a model in the Hugging Face cache, "    \
      "or nothing: then the small model inside this program answers.",                             \
      "指令之前的選項：--lang en|zh-TW、--version、--help。MODEL 可以是 Hugging Face 格式的資料夾、" \
      "GGUF 檔案、Hugging Face 快取裡的模型名稱；不寫時，由程式內建的小模型回答。")               \
    X(HELP_MORE, "twllm COMMAND --help explains one command, with examples.",                      \
      "twllm 指令 --help 會說明該指令並附範例。")                                                  \
    X(PROGRAM_SUMMARY, "twllm runs the Llama-3-Taiwan model family on this computer.",             \
      "twllm 在這台電腦上執行 Llama-3-Taiwan 系列模型。")                                          \
    X(PROGRESS_LOADING, "Loading weights", "載入權重")                                             \
    X(PROGRESS_GENERATING, "Generating", "產生中")                                                 \
    X(PROGRESS_RANDOM, "Making random weights", "產生隨機權重")                                    \
    X(PROGRESS_VERIFY, "Checking weights", "檢查權重")                                             \
    X(CONFIG_UNKNOWN_KEY, "%s: unknown member \"%.*s\"; known are model, system and params",       \
      "%s：不認得欄位「%.*s」；可用的有 model、system、params")                                    \
    X(CONFIG_WRONG_TYPE, "%s: member \"%s\" has the wrong type", "%s：欄位「%s」的型別不對")

#define MESSAGES_CHAT(X)                                                                           \
    X(CHAT_WELCOME, "Talking with %s. /help lists the commands, Ctrl-D leaves.\n",                 \
      "正在與 %s 對話。/help 列出指令，Ctrl-D 離開。\n")                                           \
    X(CHAT_PROMPT, "> ", "> ")                                                                     \
    X(CHAT_CONTINUATION, ". ", ". ")                                                               \
    X(CHAT_NO_SYSTEM,                                                                              \
      "(No system message is set; this model's publisher advises always to set one: "              \
      "/system TEXT or --system TEXT.)\n",                                                         \
      "（尚未設定系統訊息；這個模型的發布者建議一定要設定：/system 文字，或 --system 文字。）\n") \
    X(CHAT_DEFAULT_SYSTEM, "(System message: %.*s)\n", "（系統訊息：%.*s）\n")                     \
    X(CHAT_INTERRUPT_HINT, "(Ctrl-D or /exit leaves.)\n", "（按 Ctrl-D 或輸入 /exit 離開。）\n")   \
    X(CHAT_STOPPED, "(stopped)", "（已停止）")                                                     \
    X(CHAT_CUT, "(the answer reached its length limit)", "（回答已達長度上限）")                   \
    X(CHAT_STATISTICS,                                                                             \
      "[prompt: %d tokens (%d cached), %.1f tokens/s · answer: %d tokens, %.1f tokens/s · first "  \
      "token after %.2f s]",                                                                       \
      "〔提示：%d 個詞元（%d 個在快取），%.1f 個詞元/秒 · 回答：%d 個詞元，%.1f 個詞元/秒 · 首個詞元 %.2f 秒〕") \
    X(CHAT_HELP,                                                                                   \
      "/system [TEXT]   set the system message and begin anew; without TEXT show it\n"             \
      "/reset           forget the conversation, keep the system message\n"                        \
      "/undo            take back the last message and its answer\n"                               \
      "/regenerate      answer the last message again (where a seed is set: with the next one)\n"   \
      "/save FILE       write the conversation to FILE (JSON)\n"                                   \
      "/load FILE       go on with a conversation from FILE\n"                                     \
      "/stats           what this conversation has used\n"                                         \
      "/help            this list\n"                                                               \
      "/exit            leave (also Ctrl-D)\n"                                                     \
      "Several lines: Alt-Enter, a \\ at the end of a line, or a block between \"\"\" and \"\"\".\n" \
      "A message that begins with / is written as //...\n",                                        \
      "/system [文字]   設定系統訊息並重新開始；不寫文字則顯示目前的\n"                            \
      "/reset           清除對話，保留系統訊息\n"                                                  \
      "/undo            收回上一則訊息和它的回答\n"                                                \
      "/regenerate      重新回答上一則訊息（若設定了種子，則改用下一個種子）\n"                    \
      "/save 檔案       把對話存成檔案（JSON）\n"                                                  \
      "/load 檔案       從檔案接續對話\n"                                                          \
      "/stats           這次對話用了多少\n"                                                        \
      "/help            這份說明\n"                                                                \
      "/exit            離開（也可按 Ctrl-D）\n"                                                   \
      "多行輸入：Alt-Enter、行尾加 \\，或用 \"\"\" 與 \"\"\" 包起來。\n"                           \
      "要送出以 / 開頭的訊息，請寫成 //...\n")                                                     \
    X(CHAT_COMMAND_UNKNOWN, "no command %.*s; /help lists them", "沒有 %.*s 這個指令；/help 會列出全部") \
    X(CHAT_COMMAND_SUGGEST, "no command %.*s; did you mean %s?", "沒有 %.*s 這個指令；您是指 %s 嗎？") \
    X(CHAT_NEEDS_FILE, "%s needs a file name", "%s 需要檔案名稱")                                  \
    X(CHAT_SAVED, "(saved %zu messages to %s)\n", "（已將 %zu 則訊息存到 %s）\n")                  \
    X(CHAT_LOADED, "(loaded %zu messages from %s)\n", "（已從 %2$s 載入 %1$zu 則訊息）\n")         \
    X(CHAT_RESET, "(the conversation is forgotten)\n", "（對話已清除）\n")                         \
    X(CHAT_SYSTEM_SET, "(system message set; the conversation begins anew)\n",                     \
      "（已設定系統訊息；對話重新開始）\n")                                                        \
    X(CHAT_SYSTEM_NONE, "(no system message)\n", "（沒有系統訊息）\n")                             \
    X(CHAT_UNDONE, "(taken back)\n", "（已收回）\n")                                               \
    X(CHAT_NOTHING, "there is nothing to take back or answer again", "沒有可以收回或重新回答的訊息") \
    X(CHAT_DROPPED,                                                                                \
      "(The conversation no longer fits %d tokens: the oldest %zu messages were left out; they "   \
      "stay in what /save writes.)\n",                                                             \
      "（對話超過 %d 個詞元的長度：最舊的 %zu 則訊息已略過；/save 仍會存下它們。）\n")          \
    X(CHAT_TOO_LONG,                                                                               \
      "the message does not fit: %zu tokens with the system message, and the model holds %d; it "  \
      "was not sent",                                                                              \
      "訊息太長：連同系統訊息共 %zu 個詞元，模型最多容納 %d 個；沒有送出")                       \
    X(CHAT_OVERFLOW_REFUSED,                                                                       \
      "the conversation has %zu tokens and the model holds %d; /reset or /undo, or start with "    \
      "--overflow drop",                                                                           \
      "對話有 %zu 個詞元，模型最多容納 %d 個；請用 /reset 或 /undo，或以 --overflow drop 啟動")  \
    X(CHAT_NO_TEMPLATE, "%s has no chat template; twllm generate continues raw text",              \
      "%s 沒有對話範本；twllm generate 可以接續純文字")                                            \
    X(BENCH_GUESSES, "guesses accepted: %lld of %lld (%.1f %%), in %lld steps\n",                   \
      "猜中 %lld 個，共猜 %lld 個詞元（%.1f %%），分 %lld 步\n")                                   \
    X(CHAT_STATS,                                                                                  \
      "messages: %zu; tokens of the conversation: %zu of %d; in all %lld prompt tokens (%lld from "\
      "the prefix cache) and %lld generated\n",                                                    \
      "訊息：%zu 則；對話長度：%zu / %d 個詞元；累計提示 %lld 個（%lld 個來自前綴快取），產生 %lld 個\n") \
    X(CONVERSATION_SHAPE, "%s: message %zu: expected an object with \"role\" and \"content\" strings", \
      "%s：第 %zu 則訊息：應為含有「role」與「content」字串的物件")                                \
    X(CONVERSATION_NO_ARRAY, "%s: expected {\"messages\": [...]} or an array of messages",         \
      "%s：應為 {\"messages\": [...]} 或訊息陣列")

#define MESSAGES_REPORTS(X)                                                                        \
    X(GENERATE_NEEDS_PROMPT, "give a prompt, --prompt, or --input FILE",                           \
      "請給提示、--prompt，或 --input 檔案")                                                       \
    X(GENERATE_LINE, "%s: line %zu", "%s：第 %zu 行")                                          \
    X(GENERATE_LINE_SHAPE, "expected an object with \"prompt\" or \"messages\"",                   \
      "應為含有「prompt」或「messages」的物件")                                                    \
    X(GENERATE_PARTIAL,                                                                            \
      "twllm: %zu of %zu results are in %s; the same command with --resume goes on from there\n",  \
      "twllm：%2$zu 筆中已有 %1$zu 筆在 %3$s；同樣的指令加上 --resume 會從那裡接續\n")             \
    X(GENERATE_RESUME_MISMATCH, "%s: line %zu is not a result of this input; remove the file or leave out --resume", \
      "%s：第 %zu 行不是這份輸入的結果；請刪除該檔，或不要用 --resume")                            \
    X(GENERATE_DONE, "%zu results, %lld prompt and %lld generated tokens in %.1f s (%.1f tokens/s)\n", \
      "%zu 筆結果，提示 %lld 個詞元，產生 %lld 個，共 %.1f 秒（每秒 %.1f 個）\n")                \
    X(GENERATE_SOME_FAILED, "%zu of %zu requests failed; the results say why",                     \
      "%2$zu 筆要求中有 %1$zu 筆失敗；原因寫在結果裡")                                             \
    X(TOKENS_NOT_AN_ID, "'%.*s' is not a token id", "「%.*s」不是詞元編號")                     \
    X(INSPECT_MODEL, "model", "模型")                                                              \
    X(INSPECT_ARCHITECTURE, "architecture", "架構")                                                \
    X(INSPECT_PARAMETERS, "parameters", "參數量")                                                  \
    X(INSPECT_LAYERS, "layers", "層數")                                                            \
    X(INSPECT_WIDTH, "hidden size", "隱藏寬度")                                                    \
    X(INSPECT_FFN, "feed-forward size", "前饋寬度")                                                \
    X(INSPECT_HEADS, "heads (query / key-value)", "注意力頭（查詢／鍵值）")                        \
    X(INSPECT_HEAD_DIM, "head size", "頭寬度")                                                     \
    X(INSPECT_VOCABULARY, "vocabulary", "詞彙量")                                                  \
    X(INSPECT_POSITIONS, "positions", "位置數")                                                    \
    X(INSPECT_ROPE, "rotary positions", "旋轉位置編碼")                                            \
    X(INSPECT_TIED, "tied embeddings", "共用嵌入")                                                 \
    X(INSPECT_YES, "yes", "是")                                                                    \
    X(INSPECT_NO, "no", "否")                                                                      \
    X(INSPECT_EOS, "end-of-sequence ids", "結束詞元編號")                                       \
    X(INSPECT_TEMPLATE, "chat template", "對話範本")                                               \
    X(INSPECT_WEIGHTS, "weights", "權重")                                                          \
    X(INSPECT_TENSORS, "tensors", "張量")                                                          \
    X(INSPECT_MEMORY, "Memory needed (nothing is allocated yet):", "所需記憶體（尚未配置）：")     \
    X(INSPECT_KV, "key-value cache", "鍵值快取")                                                   \
    X(INSPECT_KV_DETAIL, "%lld blocks of %d tokens, %lld bytes per token, %s",                     \
      "%lld 個區塊，每塊 %d 個詞元，每個詞元 %lld 位元組，%s")                                 \
    X(INSPECT_WORKSPACE, "workspace", "工作區")                                                    \
    X(INSPECT_LOGITS, "logits", "logits")                                                          \
    X(INSPECT_BOOKKEEPING, "bookkeeping", "管理資料")                                              \
    X(INSPECT_TOTAL, "total", "合計")                                                              \
    X(INSPECT_AVAILABLE, "available now", "目前可用")                                              \
    X(INSPECT_LIMITS, "for max-model-len %d, max-num-seqs %d, max-num-batched-tokens %d",          \
      "以 max-model-len %d、max-num-seqs %d、max-num-batched-tokens %d 計算")                      \
    X(INSPECT_TOO_LARGE, "more than what is available: lower --max-model-len or --max-num-seqs",   \
      "超過可用的記憶體：請調低 --max-model-len 或 --max-num-seqs")                                \
    X(INSPECT_VERIFIED, "all %lld values are finite", "全部 %lld 個數值都是有限數")                \
    X(INSPECT_NOT_FINITE, "%s: tensor %s: %lld NaN and %lld infinite values, the first at index %lld", \
      "%s：張量 %s：%lld 個 NaN、%lld 個無限大，第一個在索引 %lld")                                \
    X(BENCH_HEADER, "%s, %s weights, %d threads, isa %s\n", "%s，權重 %s，%d 個執行緒，指令集 %s\n") \
    X(BENCH_RANDOM_SHAPE, "--random is a shape (%s) or a config.json, not '%s'",                   \
      "--random 要給形狀（%s）或 config.json，不能是「%s」")                                       \
    X(BENCH_SIZES, "--%s takes sizes from 1 up, separated by commas, not '%s'",                    \
      "--%s 要給 1 以上的大小，以逗號分隔，不能是「%s」")                                          \
    X(BENCH_PREFILL, "prefill", "讀提示")                                                          \
    X(BENCH_THROUGHPUT, "answers", "總產出")                                                       \
    X(BENCH_PAIRS, "--throughput takes pairs of sizes, prompt and answer, not '%s'",               \
      "--throughput 要成對的長度（提示、回答），不能是「%s」")                                     \
    X(BENCH_DECODE, "decode", "產生")                                                              \
    X(BENCH_TABLE, "work          tokens  sequences      best     median  tokens/s\n",             \
      "工作          tokens  sequences      best     median  tokens/s\n")                           \
    X(BENCH_REQUEST, "request %zu: ", "第 %zu 個請求：")                                           \
    X(BENCH_REQUEST_SHAPE, "expected lines of the form {\"prompt\": [ids], \"max_tokens\": N}",    \
      "每行應為 {\"prompt\": [編號], \"max_tokens\": N}")                                          \
    X(BENCH_LOAD,                                                                                  \
      "%lld requests, %lld at a time: %lld tokens in %.2f s, %.1f tokens/s; %.2f s of processor time; between tokens %.1f ms (median), %.1f ms (99 %% below)\n", \
      "%lld 個請求，同時 %lld 個：%lld 個 token，%.2f 秒，每秒 %.1f 個；處理器時間 %.2f 秒；token 間隔 %.1f 毫秒（中位數）、%.1f 毫秒（99 %% 以內）\n")
/* clang-format on */

#endif
