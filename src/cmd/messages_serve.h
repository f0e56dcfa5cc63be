/* What `twllm serve` says, in both languages; part of messages_list.h. */
#ifndef CMD_MESSAGES_SERVE_H
#define CMD_MESSAGES_SERVE_H

/* clang-format off */
#define MESSAGES_SERVE(X)                                                                          \
    X(SERVE_SUMMARY, "Serve a model over HTTP, as OpenAI's and vLLM's servers do.",                \
      "以 HTTP 提供模型服務，介面同 OpenAI 與 vLLM。")                                             \
    X(SERVE_DETAILS,                                                                               \
      "Options have vLLM's names and meanings where vLLM has them. Each can also stand in a file (--config) or in the environment (TWLLM_PORT=8001); the command line goes before the file, the file before the environment. SIGTERM lets running answers finish; SIGHUP reads the key file and the certificates again.", \
      "選項的名稱與意義盡量與 vLLM 相同；也可以寫在設定檔（--config）或環境變數（TWLLM_PORT=8001）裡。命令列優先於設定檔，設定檔優先於環境變數。SIGTERM 會等進行中的回答完成；SIGHUP 會重新讀取金鑰檔與憑證。") \
    X(GROUP_SERVE, "Server:", "伺服器：")                                                          \
    X(GROUP_SERVE_ACCESS, "Who may use it:", "誰可以使用：")                                       \
    X(GROUP_SERVE_LIMITS, "Limits:", "上限：")                                                     \
    X(GROUP_SERVE_MODEL, "Model and answers:", "模型與回答：")                                     \
    X(GROUP_SERVE_VLLM, "Options of vLLM, taken so that its command lines work:",                  \
      "為了沿用 vLLM 的命令列而接受的選項：")                                                      \
    X(OPTION_HOST, "name or address to listen on; 0.0.0.0: every interface", "要監聽的名稱或位址；0.0.0.0 表示所有介面") \
    X(OPTION_PORT, "port to listen on; 0: any free one, which is printed", "要監聽的連接埠；0 表示任選一個可用的並印出") \
    X(OPTION_UDS, "listen on this Unix socket instead of a port", "改為監聽這個 Unix socket，不用連接埠") \
    X(OPTION_SERVED_NAME, "name of the model in requests and answers; may be given several times, the first is reported", \
      "請求與回答中的模型名稱；可給多次，以第一個回報")                                            \
    X(OPTION_CONFIG, "file of options: YAML lines \"name: value\" as vLLM's, or JSON",             \
      "選項檔：與 vLLM 相同的 YAML「名稱: 值」，或 JSON")                                          \
    X(OPTION_LOG_LEVEL, "what is logged on standard error", "寫到標準錯誤輸出的紀錄等級")          \
    X(OPTION_NO_ACCESS_LOG, "do not log requests", "不記錄請求")                                   \
    X(OPTION_DRAIN, "seconds that running answers may take after SIGTERM", "收到 SIGTERM 後，進行中的回答最多可再花的秒數") \
    X(OPTION_API_KEY, "key that requests must show; may be given several times (a file or TWLLM_API_KEY is not seen by other users)", \
      "請求必須出示的金鑰；可給多次（寫在檔案或 TWLLM_API_KEY，其他使用者就看不到）")              \
    X(OPTION_API_KEY_FILE, "file of keys, one a line; lines that begin with # are comments; read again on SIGHUP", \
      "金鑰檔，每行一把；# 開頭的行是註解；收到 SIGHUP 會重新讀取")                                \
    X(OPTION_ALLOWED_HOSTS, "name that may stand in Host, besides this machine's own; * for all; may be repeated", \
      "除了本機之外，Host 標頭可以使用的名稱；* 表示全部；可給多次")                               \
    X(OPTION_ALLOWED_ORIGINS, "origin whose pages may use the server (CORS); * for all; may be repeated, or a JSON list", \
      "可以使用本伺服器的網頁來源（CORS）；* 表示全部；可給多次，或給 JSON 陣列")                  \
    X(OPTION_ALLOWED_METHODS, "methods that such pages may use", "這些網頁可以使用的方法")         \
    X(OPTION_ALLOWED_HEADERS, "headers that such pages may send", "這些網頁可以送出的標頭")        \
    X(OPTION_ALLOW_CREDENTIALS, "such pages may send credentials", "這些網頁可以附上認證資料")     \
    X(OPTION_SSL_CERTFILE, "certificate chain (PEM): the server speaks HTTPS", "憑證鏈（PEM）：伺服器改用 HTTPS") \
    X(OPTION_SSL_KEYFILE, "its key (PEM); none: in the same file", "憑證的金鑰（PEM）；不給則取自同一個檔案") \
    X(OPTION_SSL_CA, "authorities of client certificates (PEM)", "用戶端憑證的簽發機構（PEM）")    \
    X(OPTION_SSL_REQS, "client certificates: 0 not asked for, 1 optional, 2 required", "用戶端憑證：0 不要求、1 可有可無、2 必須") \
    X(OPTION_SSL_CIPHERS, "ciphers for TLS 1.2, as OpenSSL writes them", "TLS 1.2 的加密套件，寫法同 OpenSSL") \
    X(OPTION_SSL_REFRESH, "read the certificates again when the files change", "憑證檔變更時重新讀取") \
    X(OPTION_MAX_CONNECTIONS, "open connections; over it the longest idle one is closed", "同時連線數；超過時關閉閒置最久的連線") \
    X(OPTION_MAX_BODY, "largest body of a request", "請求本文的大小上限")                          \
    X(OPTION_MAX_HEAD, "largest head of a request, in bytes", "請求標頭總共的位元組上限")          \
    X(OPTION_MAX_HEADER_COUNT, "headers of a request", "請求標頭的個數上限")                       \
    X(OPTION_TIMEOUT_KEEP_ALIVE, "seconds a connection may be idle", "連線可以閒置的秒數")         \
    X(OPTION_TIMEOUT_BODY, "seconds a request's body may take to arrive", "請求本文必須在幾秒內送達") \
    X(OPTION_MAX_QUEUED, "completions running and waiting; over it 429", "執行中與等待中的回答數上限；超過時回 429") \
    X(OPTION_MAX_N, "completions of one prompt (n)", "一則提示最多的回答數（n）")                  \
    X(OPTION_MAX_LOGPROBS, "log-probabilities a request may ask for; -1: no cap", "請求最多可要求的對數機率個數；-1 表示不限") \
    X(OPTION_MAX_PROMPT_BYTES, "text of one request, all messages together", "一個請求的文字總量上限") \
    X(OPTION_CHAT_TEMPLATE, "file of a chat template, or the template itself, instead of the checkpoint's", \
      "對話範本的檔案，或範本本身，取代模型附帶的範本")                                            \
    X(OPTION_DEFAULT_SYSTEM, "system message of conversations that bring none", "未帶系統訊息的對話所用的系統訊息") \
    X(OPTION_POOLING, "what an embedding is made of: the last token, the mean of all, or the first", "嵌入向量的來源：最後一個詞元、全部的平均，或第一個") \
    X(OPTION_SERVE_SCRIPT, "hant: answers have no Simplified-only character, unless a request says script: any", "hant：回答不含簡體專用字，除非請求寫明 script: any") \
    X(OPTION_GENERATION_CONFIG, "sampling defaults: the checkpoint's (auto) or vLLM's (vllm)", "取樣的預設值：用模型附帶的（auto）或 vLLM 的（vllm）") \
    X(OPTION_ANY_MODEL, "answer whatever model a request names", "不論請求指名什麼模型都回答")     \
    X(OPTION_SERVE_SEED, "base of the seeds of requests that bring none", "未帶種子的請求，其種子的基底") \
    X(OPTION_DTYPE, "type of the weights: auto, or the one they are stored in", "權重型別：auto，或檔案中原本的型別") \
    X(OPTION_ONE_ONLY, "1: the model runs in this process, on this machine", "1：模型在這台機器的這個行程裡執行") \
    X(OPTION_GPU_SHARE, "share of a GPU's memory; without a GPU, see --kv-cache-memory", "使用 GPU 記憶體的比例；沒有 GPU 時請看 --kv-cache-memory") \
    X(OPTION_TOOLS_ALWAYS, "tool calls need no option here", "這裡的工具呼叫不需要選項")           \
    X(OPTION_NO_EFFECT, "has no effect here", "在這裡沒有作用")                                    \
    X(OPTION_ENABLE_PREFIX, "reuse the cache of prompts that begin alike", "開頭相同的提示共用快取") \
    X(OPTION_LOAD_FORMAT, "auto or safetensors", "auto 或 safetensors")                            \
    X(OPTION_REFUSED, "not supported", "不支援")                                                   \
    X(SERVE_READY, "ready: %s  model %s, after %.1f s\n", "就緒：%s　模型 %s，費時 %.1f 秒\n")     \
    X(SERVE_READY_PAGE, "chat page: %s/\n", "對話網頁：%s/\n")                                     \
    X(SERVE_ONLY_ONE, "--%s %s: the model runs in one process on this machine's processors; only 1 is possible", \
      "--%s %s：模型在單一行程、以這台機器的處理器執行，只能是 1")                                 \
    X(SERVE_REFUSED, "--%s: not supported: %s", "--%s：不支援：%s")                                \
    X(SERVE_NO_LORA, "LoRA adapters cannot be loaded; merge them into the checkpoint", "無法載入 LoRA；請先併入模型檔") \
    X(SERVE_NO_SPECULATION, "there is no speculative decoding", "沒有推測式解碼")                   \
    X(SERVE_NO_TOKENIZER, "the tokenizer of the checkpoint is used", "使用模型附帶的斷詞器")       \
    X(SERVE_NO_FORMAT, "weights come from safetensors files", "權重只能來自 safetensors 檔")       \
    X(SERVE_NO_TASK, "this server generates", "此伺服器只做文字生成")                              \
    X(SERVE_DTYPE, "--dtype %s: the weights are %s and are used as they are stored; give auto",    \
      "--dtype %s：權重是 %s，並依原樣使用；請用 auto")                                            \
    X(SERVE_NO_TLS, "--%s: this program was built without TLS; install libssl-dev and build again", \
      "--%s：此程式建置時沒有 TLS；請安裝 libssl-dev 後重新建置")                                  \
    X(SERVE_OPEN_WARNING, "listening on %s without an API key: whoever reaches this machine can use the model (see --api-key-file)", \
      "在 %s 上監聽而沒有 API 金鑰：連得到這台機器的人都能使用模型（請看 --api-key-file）")        \
    X(SERVE_DRAINING, "stopping: %d s for running answers; a second signal ends at once", "即將停止：進行中的回答還有 %d 秒；再收到一次信號就立即結束") \
    X(SERVE_STOPPED, "stopped", "已停止")                                                          \
    X(SERVE_RELOADED, "keys and certificates were read again", "已重新讀取金鑰與憑證")             \
    X(SERVE_NOT_RELOADED, "keys or certificates could not be read again, the old ones stay: %s", "無法重新讀取金鑰或憑證，沿用舊的：%s") \
    X(SERVE_KEY_FILE_EMPTY, "%s: holds no key", "%s：裡面沒有金鑰")

#endif
