/* What the options of remote models and judges say, in both languages; part of messages_list.h. */
#ifndef CMD_MESSAGES_REMOTE_H
#define CMD_MESSAGES_REMOTE_H

/* clang-format off */
#define MESSAGES_REMOTE(X)                                                                         \
    X(GROUP_REMOTE, "Remote models:", "遠端模型：")                                                \
    X(OPTION_REMOTE_URL, "ask this server instead of a model here, up to its version: https://api.openai.com/v1; " \
      "-m is the name it knows the model by, the key is in OPENAI_API_KEY or ANTHROPIC_API_KEY",   \
      "改問此伺服器，網址含版本：https://api.openai.com/v1；-m 為伺服器上的模型名稱，金鑰取自 OPENAI_API_KEY 或 ANTHROPIC_API_KEY") \
    X(OPTION_REMOTE_API, "the interface it speaks", "伺服器的介面")                                \
    X(OPTION_REMOTE_TOKENIZER, "the model's tokenizer (folder or name): prompts are sent as token ids then, counts are exact", \
      "模型的分詞器（資料夾或名稱）：提示便以詞元編號送出，數量也精確")                            \
    X(OPTION_REMOTE_LOGPROBS, "how log-likelihoods are obtained: the echoed prompt's, vLLM's prompt_logprobs, or the likeliest first tokens", \
      "如何取得對數機率：回送提示的、vLLM 的 prompt_logprobs，或最可能的第一個詞元")               \
    X(OPTION_REMOTE_TOP, "how many likeliest tokens to ask for with --logprobs-by top", "--logprobs-by top 時要求幾個最可能的詞元") \
    X(OPTION_REMOTE_PARALLEL, "requests under way at once", "同時進行的請求數")                    \
    X(OPTION_REMOTE_RPM, "requests a minute, at most", "每分鐘最多幾個請求")                       \
    X(OPTION_REMOTE_TPM, "tokens a minute, prompts and longest answers, at most", "每分鐘最多幾個詞元（提示與最長回答）") \
    X(OPTION_REMOTE_TRIES, "how often a request is sent before its question has failed", "每個請求最多送幾次") \
    X(OPTION_REMOTE_TIMEOUT, "seconds for one answer", "等一個回答的秒數")                         \
    X(OPTION_REMOTE_PRICE_IN, "price of a million prompt tokens, for the estimate", "一百萬個提示詞元的價格，供估算") \
    X(OPTION_REMOTE_PRICE_OUT, "price of a million generated tokens", "一百萬個生成詞元的價格")    \
    X(OPTION_REMOTE_MAX_COST, "do not begin what may cost more", "估計費用超過就不開始")           \
    X(OPTION_REMOTE_ESTIMATE, "say what would be asked and what it may cost, and leave", "只說明會問多少、可能花費多少，然後離開") \
    X(OPTION_REMOTE_CA, "certificates to trust instead of the system's", "改為信任此檔的憑證")     \
    X(REMOTE_NEEDS_MODEL, "--%s needs the model's name there: --%s", "--%s 需要伺服器上的模型名稱：--%s") \
    X(REMOTE_BAD_URL, "--%s takes http:// or https:// and an address, not '%s'", "--%s 要以 http:// 或 https:// 開頭，不能是「%s」") \
    X(REMOTE_PLAIN, "the key is not sent over http:// to another machine (%s): use https://", "不會經由 http:// 把金鑰送到別的主機（%s）：請用 https://") \
    X(REMOTE_ESTIMATE_LINE, "%lld requests, %s%lld prompt tokens, at most %lld generated tokens",  \
      "%lld 個請求，%s%lld 個提示詞元，最多生成 %lld 個詞元")                                      \
    X(REMOTE_ABOUT, "about ", "約 ")                                                               \
    X(REMOTE_COST, ": at most %.4f\n", "：最多 %.4f\n")                                            \
    X(REMOTE_TOO_DEAR, "this may cost %.4f, more than --max-cost %.4f", "可能花費 %.4f，超過 --max-cost %.4f") \
    X(REMOTE_SOME_FAILED, "%lld of %lld questions were not answered, the first: %.300s (what was answered is kept; the same command asks the rest)", \
      "%lld 題（共 %lld 題）沒有得到回答，第一題：%.300s（已回答的都留著；再下同一個指令會問其餘的）") \
    X(REMOTE_USED, "the server counted %lld prompt tokens and %lld generated tokens in %lld requests\n", \
      "伺服器計得 %lld 個提示詞元、%lld 個生成詞元，共 %lld 個請求\n")
/* clang-format on */

#endif
