/* The help of commands and options, in both languages; part of messages_list.h. */
#ifndef CMD_MESSAGES_OPTIONS_H
#define CMD_MESSAGES_OPTIONS_H

/* clang-format off */
#define MESSAGES_COMMANDS(X)                                                                       \
    X(CHAT_SUMMARY, "Talk with a model.", "與模型對話。")                                          \
    X(CHAT_DETAILS,                                                                                \
      "On a terminal: line editing with history, several lines, commands that begin with / (see "  \
      "/help); Ctrl-C stops the answer, Ctrl-D leaves. From a pipe: every line is one message and "\
      "its answer is printed; joined lines follow the same rules as on a terminal.",               \
      "在終端機上：可編輯輸入、有歷史紀錄、可輸入多行，並有以 / 開頭的指令（見 /help）；Ctrl-C "   \
      "停止回答，Ctrl-D 離開。由管線輸入時：每行一則訊息，逐一印出回答；合併多行的規則與終端機相同。") \
    X(GENERATE_SUMMARY, "Continue a prompt, or answer a file of prompts as one batch.",            \
      "接續一則提示，或整批回答檔案裡的提示。")                                                    \
    X(GENERATE_DETAILS,                                                                            \
      "One prompt comes from the argument or from standard input (-). A file of prompts has one "  \
      "JSON object per line with \"prompt\" (a string or token ids) or \"messages\", an \"id\" if you " \
      "like, and any sampling option under its vLLM name. The results keep the order of the input; "\
      "OUTPUT appears only when all are there. A line that cannot be answered has its error as its " \
      "result, and the exit code tells that there was one.",                                                   \
      "單一提示取自參數或標準輸入（-）。提示檔每行一個 JSON 物件，含「prompt」（字串或詞元編號）或" \
      "「messages」，可加「id」，以及任何以 vLLM 名稱書寫的取樣選項。結果依輸入順序排列；全部完成後才" \
      "會出現輸出檔。無法回答的那一行，其結果就是錯誤說明，並反映在結束代碼上。")                                                                            \
    X(TOKENIZE_SUMMARY, "Print the token ids of a text.", "印出文字的詞元編號。")               \
    X(TOKENIZE_DETAILS, "The text comes from the argument, or from standard input as it is (every byte counts).", \
      "文字取自參數；沒有參數時取自標準輸入，每個位元組都算數。")                                  \
    X(DETOKENIZE_SUMMARY, "Print the text of token ids.", "把詞元編號還原成文字。")             \
    X(DETOKENIZE_DETAILS,                                                                          \
      "Ids come from the arguments or from standard input, separated by spaces, commas or line ends; a JSON array is accepted as well. The text is written exactly, without a line end of its own when it does not go to a terminal.", \
      "編號取自參數或標準輸入，以空白、逗號或換行分隔，也接受 JSON 陣列。輸出與原文完全相同；不是輸出到終端機時不另加換行。") \
    X(TEMPLATE_SUMMARY, "Print the prompt that the chat template makes of a conversation.",        \
      "印出對話範本產生的提示。")                                                                  \
    X(TEMPLATE_DETAILS,                                                                            \
      "FILE (or standard input) holds an array of messages, or an object with \"messages\" and, if wanted, \"tools\", \"documents\" and \"chat_template_kwargs\".", \
      "檔案（或標準輸入）內容是訊息陣列，或含有「messages」的物件，可另有「tools」、「documents」、「chat_template_kwargs」。") \
    X(INSPECT_SUMMARY, "Show what a checkpoint holds and what running it would take.",             \
      "顯示模型檔的內容，以及執行它需要多少資源。")                                                \
    X(INSPECT_DETAILS, "Nothing is allocated: the memory plan is computed from the configuration.", \
      "不配置任何記憶體：記憶體計畫由設定計算而得。")                                              \
    X(BENCH_SUMMARY, "Measure the speed of reading prompts and of generating.",                    \
      "測量讀取提示與產生文字的速度。")                                                            \
    X(BENCH_DETAILS,                                                                               \
      "Lengths are forced (end-of-sequence is ignored) and the realised ones are printed. Each "   \
      "measurement is repeated; best and median are shown. With --random a model of that shape with random weights is measured, so nothing needs to be downloaded.", \
      "長度是強制的（忽略結束詞元），並印出實際長度。每項重複數次，列出最佳值與中位數。用 --random 可測量該形狀、隨機權重的模型，不需下載任何檔案。")

#define MESSAGES_OPTIONS(X)                                                                        \
    X(GROUP_OPTIONS, "Options:", "選項：")                                                         \
    X(GROUP_ENGINE, "Engine:", "引擎：")                                                           \
    X(GROUP_SAMPLING, "Sampling (names and meanings of vLLM and transformers):",                   \
      "取樣（名稱與意義同 vLLM 與 transformers）：")                                               \
    X(GROUP_STOPPING, "Length and stopping:", "長度與停止：")                                      \
    X(GROUP_BEAMS, "Beam search:", "集束搜尋：")                                                   \
    X(OPTION_MODEL, "folder, file, or name in the Hugging Face cache; none: the model inside twllm", \
      "資料夾、檔案，或 Hugging Face 快取裡的名稱；不給則用 twllm 內建的模型")                     \
    X(OPTION_JSON, "print JSON for another program", "輸出 JSON，供其他程式讀取")                  \
    X(OPTION_THREADS, "threads to compute with", "計算用的執行緒數")                               \
    X(OPTION_ISA, "instruction set to use", "使用的指令集")                                        \
    X(OPTION_DEVICE, "where to compute: auto, cpu, cuda or cuda:N", "在何處計算：auto、cpu、cuda 或 cuda:N")  \
    X(OPTION_QUANTIZATION, "weights on a GPU: none (bf16) or fp8", "GPU 上的權重：none（bf16）或 fp8")        \
    X(OPTION_DETERMINISTIC, "on a GPU: results do not depend on other requests; slower",           \
      "在 GPU 上：結果不受其他請求影響；較慢")                                                     \
    X(OPTION_MAX_MODEL_LEN, "longest sequence, prompt and answer together, in tokens",             \
      "最長序列（提示加回答）的詞元數")                                                         \
    X(OPTION_MAX_NUM_SEQS, "most sequences at once", "同時處理的序列數上限")                       \
    X(OPTION_MAX_NUM_BATCHED_TOKENS, "most tokens of one step", "每一步的詞元數上限")           \
    X(OPTION_BLOCK_SIZE, "tokens of one cache block, a power of two", "每個快取區塊的詞元數，須為 2 的次方") \
    X(OPTION_KV_CACHE_DTYPE, "number format of the key-value cache", "鍵值快取的數值格式")         \
    X(OPTION_KV_CACHE_MEMORY, "memory for the key-value cache", "鍵值快取的記憶體大小")            \
    X(OPTION_NO_PREFIX_CACHING, "compute every prompt anew", "每個提示都重新計算，不用前綴快取")   \
    X(OPTION_SPECULATIVE_MODEL,                                                                    \
      "guess the next tokens from the text (ngram) or with a smaller model of the same vocabulary: the same tokens, faster", \
      "先猜接下來的詞元再一次驗證：由文字本身猜（ngram），或用詞彙相同的較小模型；結果相同，速度較快") \
    X(OPTION_NUM_SPECULATIVE_TOKENS, "most guesses for a sequence in one step", "每一步每個序列最多猜幾個詞元") \
    X(OPTION_SPECULATIVE_CONFIG,                                                                   \
      "how to guess, as vLLM's JSON: {\"method\": \"ngram\", \"prompt_lookup_max\": 8, ...}",        \
      "猜測方式，寫法同 vLLM 的 JSON：{\"method\": \"ngram\", \"prompt_lookup_max\": 8, ...}")       \
    X(OPTION_SYSTEM, "system message", "系統訊息")                                                 \
    X(OPTION_ONCE, "send this one message, print the answer, leave", \
      "只送出這則訊息，印出回答後離開")                                                            \
    X(OPTION_STAY, "after --once, stay in the conversation when on a terminal",                    \
      "--once 之後，若在終端機上則留在對話中")                                                     \
    X(OPTION_LOAD, "begin with the conversation in FILE", "從檔案裡的對話開始")                    \
    X(OPTION_OVERFLOW,                                                                             \
      "when the conversation outgrows the model: leave out the oldest messages and say so, or refuse", \
      "對話超過模型長度時：略過最舊的訊息並告知（drop），或拒絕（refuse）")                        \
    X(OPTION_HISTORY, "file of typed lines; empty: none", "輸入歷史檔；空字串表示不保留")          \
    X(OPTION_NO_STATISTICS, "print the speed after each answer (--no-statistics: do not)", "回答後印出速度（--no-statistics 則不印）")            \
    X(OPTION_CHAT_PROMPT, "treat the prompt as a user's message of a chat", "把提示當作對話中使用者的訊息") \
    X(OPTION_GENERATE_PROMPT, "the prompt", "提示內容")                                            \
    X(OPTION_INPUT, "file of prompts, one JSON object per line; - is standard input",              \
      "提示檔，每行一個 JSON 物件；- 表示標準輸入")                                                \
    X(OPTION_OUTPUT, "where results go, one JSON object per line", "結果輸出檔，每行一個 JSON 物件") \
    X(OPTION_RESUME, "go on from an interrupted run's FILE.partial", "從中斷時留下的 檔名.partial 接續") \
    X(OPTION_ECHO, "print the prompt before its continuation", "先印出提示再印接續的文字")         \
    X(OPTION_SPECIAL, "how special tokens in the text are read: as ordinary text, or as themselves",\
      "文字裡的特殊詞元：當一般文字（text），或解讀為特殊詞元（parse）")                       \
    X(OPTION_BOS, "begin with the model's first token", "開頭加上模型的起始詞元")                \
    X(OPTION_SKIP_SPECIAL, "leave special tokens out of the text", "輸出時略過特殊詞元")         \
    X(OPTION_TOOLS, "file with a JSON array of tools", "工具清單（JSON 陣列）檔")                  \
    X(OPTION_ADD_GENERATION_PROMPT, "end with the beginning of an answer", "以回答的開頭作結")     \
    X(OPTION_TENSORS, "list every tensor", "列出每個張量")                                         \
    X(OPTION_VERIFY, "read every weight and look for NaN and infinity", "讀取所有權重，檢查 NaN 與無限大") \
    X(OPTION_RANDOM, "measure a model of this shape with random weights: 8b, 3b, 1b, tiny or a config.json", \
      "以隨機權重測量此形狀的模型：8b、3b、1b、tiny，或一份 config.json")                          \
    X(OPTION_RANDOM_DTYPE, "number format of the random weights", "隨機權重的數值格式")            \
    X(OPTION_PROMPT_SIZES, "prompt lengths to measure, separated by commas", "要測的提示長度，以逗號分隔") \
    X(OPTION_BATCH_SIZES, "numbers of sequences to generate at once, separated by commas",         \
      "同時產生的序列數，以逗號分隔")                                                              \
    X(OPTION_BENCH_CONTEXT, "tokens in front of what is generated", "生成之前的詞元數")           \
    X(OPTION_THROUGHPUT, "instead: answers a second of many requests of these lengths, e.g. 128,128,2048,128", \
      "改測：許多請求同時進行時每秒產生的詞元數，依序給提示長度與回答長度，例如 128,128,2048,128") \
    X(OPTION_NUM_PROMPTS, "how many requests --throughput submits", "--throughput 送出的請求數")   \
    X(OPTION_GENERATE_SIZE, "tokens to generate per sequence", "每個序列產生的詞元數")          \
    X(OPTION_BENCH_REQUESTS,                                                                       \
      "measure this load instead: a line each, {\"prompt\": [ids], \"max_tokens\": N}",            \
      "改為測量此負載：每行一個 {\"prompt\": [編號], \"max_tokens\": N}")                          \
    X(OPTION_CONCURRENCY, "how many requests of the file at a time", "同時進行檔案裡的幾個請求")   \
    X(OPTION_QUOTE, "force answers that quote the prompt: 56 tokens of it after 8 new ones, and so on", \
      "強制回答引用提示：每 8 個新詞元之後引用 56 個，如此反覆")                                   \
    X(OPTION_REPEAT, "how often to repeat each measurement", "每項測量重複的次數")                 \
    X(OPTION_TEMPERATURE, "0 takes the likeliest token; higher is more varied", "0 為取最可能的詞元；越高變化越多") \
    X(OPTION_TOP_P, "keep the likeliest tokens up to this probability", "保留累積機率到此值的最可能詞元") \
    X(OPTION_TOP_K, "keep this many of the likeliest tokens; 0: all", "保留最可能的前幾個詞元；0 表示全部") \
    X(OPTION_MIN_P, "drop tokens below this share of the likeliest one's probability",             \
      "略過機率低於最可能者此比例的詞元")                                                        \
    X(OPTION_TYPICAL_P, "keep the most typical tokens up to this probability", "保留最典型的詞元，累積機率到此值") \
    X(OPTION_REPETITION_PENALTY, "above 1 discourages tokens of prompt and answer", "大於 1 時抑制提示與回答中出現過的詞元") \
    X(OPTION_FREQUENCY_PENALTY, "subtracted for every earlier use in the answer", "依回答中已出現的次數扣分") \
    X(OPTION_PRESENCE_PENALTY, "subtracted once for tokens already in the answer", "回答中已出現過的詞元扣分一次") \
    X(OPTION_NO_REPEAT_NGRAM, "no sequence of this many tokens twice; 0: off", "不重複這麼多個詞元的序列；0 表示不限") \
    X(OPTION_DRY_MULTIPLIER, "strength of DRY, against repeated passages; 0: off", "DRY（抑制重複段落）的強度；0 表示關閉") \
    X(OPTION_DRY_BASE, "growth of DRY's penalty with length", "DRY 懲罰隨長度增長的底數")          \
    X(OPTION_DRY_ALLOWED_LENGTH, "longest repetition that DRY leaves alone", "DRY 容許的最長重複") \
    X(OPTION_DRY_PENALTY_LAST_N, "tokens that DRY looks back; -1: all", "DRY 往回看的詞元數；-1 表示全部") \
    X(OPTION_DRY_BREAKERS, "text at which DRY begins anew; may be repeated", "遇到此文字時 DRY 重新起算；可重複給") \
    X(OPTION_XTC_PROBABILITY, "chance that XTC drops the likeliest tokens; 0: off", "XTC 略過最可能詞元的機率；0 表示關閉") \
    X(OPTION_XTC_THRESHOLD, "probability from which XTC may drop a token", "XTC 可略過的機率門檻") \
    X(OPTION_SEED, "makes the draws repeatable", "讓抽樣可以重現")                                 \
    X(OPTION_LOGIT_BIAS, "added to a token's logit; may be repeated, also a JSON object",          \
      "加到某個詞元的 logit；可重複給，也可給 JSON 物件")                                       \
    X(OPTION_SCRIPT, "hant: no Simplified-only character is ever generated", "hant：絕不產生簡體專用字") \
    X(OPTION_LOGPROBS, "report log probabilities of the chosen and this many likeliest tokens",    \
      "回報所選與前幾名詞元的對數機率")                                                         \
    X(OPTION_PROMPT_LOGPROBS, "the same for the tokens of the prompt", "提示詞元的對數機率")    \
    X(OPTION_MAX_TOKENS, "most tokens to generate; 0: until the model's length", "最多產生的詞元數；0 表示到模型長度為止") \
    X(OPTION_MIN_TOKENS, "do not stop before this many", "產生到這個數目之前不停止")               \
    X(OPTION_IGNORE_EOS, "go on past the end-of-sequence token", "遇到結束詞元仍繼續")          \
    X(OPTION_STOP, "stop before this text; may be repeated", "遇到此文字就停止；可重複給")         \
    X(OPTION_STOP_TOKEN_IDS, "stop at these token ids, separated by commas", "遇到這些詞元編號就停止，以逗號分隔") \
    X(OPTION_STOP_TOKEN_SEQUENCES, "stop after this run of token ids; may be repeated",            \
      "遇到這串詞元編號就停止；可重複給")                                                       \
    X(OPTION_INCLUDE_STOP, "keep the stop text in the answer", "回答裡保留停止文字")               \
    X(OPTION_KEEP_SPECIAL, "leave special tokens out of the text (--no-skip-special-tokens keeps them)", \
      "輸出略過特殊詞元（--no-skip-special-tokens 則保留）")                                     \
    X(OPTION_N, "completions of each prompt", "每則提示的回答數")                                  \
    X(OPTION_NUM_BEAMS, "beams; above 1 turns sampling off", "集束數；大於 1 時不抽樣")            \
    X(OPTION_LENGTH_PENALTY, "exponent of the length that divides a beam's score", "集束分數除以長度的此次方") \
    X(OPTION_EARLY_STOPPING, "end when there are enough finished beams", "完成的集束足夠時就結束")
/* clang-format on */

#endif
