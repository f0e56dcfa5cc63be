/* What `twllm eval` says, in both languages; part of messages_list.h. */
#ifndef CMD_MESSAGES_EVAL_H
#define CMD_MESSAGES_EVAL_H

/* clang-format off */
#define MESSAGES_EVAL(X)                                                                           \
    X(EVAL_SUMMARY, "Measure a model on the evaluations of its card.", "用模型卡上的評測來測量模型。") \
    X(EVAL_DETAILS,                                                                                \
      "Rows come from a folder laid out as on the Hugging Face hub, or from its cache. With --output every " \
      "answered question is kept at once; a run that was stopped or killed goes on where it ended. Both averages " \
      "are printed: micro counts questions alike, macro the subsets, groups the mean of groups of subsets.", \
      "資料取自與 Hugging Face hub 相同結構的資料夾，或其快取。加上 --output 時每答完一題就記下；中斷的評測會從停下的地方繼續。" \
      "各種平均都會印出：micro 以題計，macro 以科目計，groups 為各類科目平均的平均。")                \
    X(EVAL_NEEDS_TASK, "name at least one task, or a task file (twllm eval list shows them)",      \
      "請至少指定一項評測，或評測檔案（twllm eval list 會列出）")                                  \
    X(EVAL_TWICE, "task %s is given twice", "評測 %s 給了兩次")                                    \
    X(EVAL_NO_SHOTS, "%s has no rows to take examples from: use --shots 0", "%s 沒有可當範例的資料：請用 --shots 0") \
    X(EVAL_OTHER_ROWS, "%s was written for other questions: choose another --output, or --overwrite", \
      "%s 是為別的題目寫下的：請換一個 --output，或加上 --overwrite")                              \
    X(EVAL_OTHER_RUN, "%s describes a run with other settings: choose another --output, or --overwrite", \
      "%s 記的是設定不同的評測：請換一個 --output，或加上 --overwrite")                            \
    X(EVAL_TASK_LINE, "%s: %lld of %lld right, %d-shot\n", "%s：答對 %lld 題，共 %lld 題，%d-shot\n") \
    X(EVAL_MICRO, "micro ", "micro ")                                                              \
    X(EVAL_MACRO, "macro ", "macro ")                                                              \
    X(EVAL_MACRO_GROUPS, "groups", "groups")                                                       \
    X(EVAL_PRIMARY, "  (the one it is reported by)", "（公布成績用這一項）")                       \
    X(EVAL_UNREADABLE, "  %lld answers name no choice and count as wrong\n", "  %lld 個回答看不出選項，算錯\n") \
    X(EVAL_OUTSIDE, "  %lld right answers are not among the choices offered and count as wrong\n", \
      "  %lld 題的正解不在所比較的選項之中，算錯\n")                                               \
    X(EVAL_TRUNCATED, "  %lld prompts were cut on the left to fit the model\n", "  %lld 個提示太長，已從左邊截去\n") \
    X(EVAL_FAILED, "  %lld questions failed in the engine and count as wrong\n", "  %lld 題在引擎裡失敗，算錯\n") \
    X(EVAL_STOPPED_RESUME, "stopped; the same command goes on from here", "已停止；再下同一個指令會從這裡繼續") \
    X(EVAL_MT_SUMMARY, "TW MT-Bench: answers, judge prompts, figures.", "TW MT-Bench：作答、評審提示、統計。") \
    X(EVAL_MT_DETAILS,                                                                             \
      "With --judgments: mean, maximum, minimum, median, population standard deviation and count of FastChat's " \
      "judgment file, all (as published, -1 for a judgment without a rating) and by turn and category. With "  \
      "--questions and --generate: the model answers first. With --judge-url: a judge rates the answers first. " \
      "With --questions and --answers alone: what the judge is to read.", \
      "給 --judgments：統計 FastChat 評審檔的平均、最高、最低、中位數、母體標準差與筆數，含全部（與公布方式相同，沒有評分者計 -1）、各輪與各類。" \
      "給 --questions 與 --generate：由模型作答。給 --judge-url：先請評審評分。只給 --questions 與 --answers：輸出要給評審讀的提示。") \
    X(EVAL_MT_NEEDS, "give --judgments, or --questions with --generate or --answers",              \
      "請給 --judgments，或 --questions 加上 --generate 或 --answers")                             \
    X(EVAL_MT_HEAD, "                               mean    max    min median       std (population) count\n", \
      "                               平均   最高   最低 中位數            母體標準差  筆數\n")     \
    X(EVAL_MT_ALL, "all, as published", "全部（公布方式）")                                        \
    X(EVAL_MT_PARSED, "without unparsable", "去掉沒有評分者")                                      \
    X(EVAL_MT_TURN, "turn %d", "第 %d 輪")                                                         \
    X(EVAL_MT_DIFFERING, "%lld stored scores differ from what the judgments say\n", "有 %lld 個記錄的分數與評語不符\n") \
    X(EVAL_MT_UNRATED, "%lld judgments have no rating and count as -1:", "%lld 則評語沒有評分，計 -1：") \
    X(EVAL_MT_OTHER_JUDGE, "%s holds judgments by %.*s, not by %s: choose another --judgments",    \
      "%s 裡是 %.*s 的評語，不是 %s 的：請換一個 --judgments")                                     \
    X(EVAL_MT_OTHER_ANSWERS, "%s: question %lld, turn %d was judged with other texts: choose another --judgments", \
      "%s：第 %lld 題第 %d 輪是以別的內容評的：請換一個 --judgments")                              \
    X(EVAL_MT_OTHER_MODEL, "%s was begun by model %.*s, not %s: choose another --generate",        \
      "%s 是模型 %.*s 寫的，不是 %s：請換一個 --generate")                                         \
    X(EVAL_MT_NO_ANSWER, "%s: no answer to question %lld", "%s：沒有第 %lld 題的回答")            \
    X(EVAL_MT_JUDGE_NEEDS, "--judge-url needs --questions, --answers (or --generate) and --judgments", \
      "--judge-url 需要 --questions、--answers（或 --generate）與 --judgments")                    \
    X(OPTION_MT_JUDGE_URL, "have the answers judged by the model at this address, into --judgments; the options of remote models hold for it too", \
      "由此位址的模型評審，寫入 --judgments；遠端模型的選項也適用")                                \
    X(OPTION_MT_JUDGE_API, "the interface the judge speaks", "評審伺服器的介面")                   \
    X(OPTION_MT_JUDGE_MODEL, "the judge's name there, such as gpt-4", "評審模型在該處的名稱，例如 gpt-4") \
    X(OPTION_MT_JUDGMENTS, "FastChat's judgment file; - for standard input", "FastChat 的評審檔；- 為標準輸入") \
    X(EVAL_MT_ONE_MODEL, "%s holds judgments of %zu models: --results takes one", "%s 裡有 %zu 個模型的評語：--results 只能放一個") \
    X(OPTION_MT_RESULTS, "write the mean as a results.json, for the board", "把平均寫成 results.json，供排行榜使用") \
    X(OPTION_NEEDLE_RESULTS, "write the share of tests passed as a results.json, for the board", "把通過的比例寫成 results.json，供排行榜使用") \
    X(OPTION_MT_RADAR, "draw the categories as an SVG radar chart", "把各類成績畫成 SVG 雷達圖")   \
    X(OPTION_MT_QUESTIONS, "question.jsonl", "question.jsonl")                                     \
    X(OPTION_MT_GENERATE, "answer the questions, into this file", "回答題目，寫入此檔")            \
    X(OPTION_MT_ANSWERS, "answers to be judged: their judge prompts are printed", "待評的回答：印出評審提示") \
    X(OPTION_MT_REFERENCES, "reference answers; questions that have one are judged with it", "參考答案；有參考答案的題目會附上它來評") \
    X(OPTION_MT_PLACEHOLDERS, "with the questions in place of references, as the published run was judged", \
      "以題目代替參考答案，重現公布成績當時的評審方式")                                            \
    X(EVAL_NEEDLE_SUMMARY, "Needle in a 出師表: a passkey found in long text.", "《出師表》大海撈針：在長文中找通行碼。") \
    X(EVAL_NEEDLE_DETAILS,                                                                         \
      "One line per length and depth is written; cells that OUTPUT already holds are not measured again. Lengths " \
      "count characters. --beams 4 is how the card's figure was decoded (beam search as transformers defines it), " \
      "greedy is the default.",                                                                    \
      "每個長度與深度寫一行；輸出檔裡已有的格子不會重測。長度以字計。--beams 4 是模型卡作圖時的解碼方式（集束搜尋，定義同 transformers），預設為貪婪解碼。") \
    X(EVAL_NEEDLE_LENGTH, "--%s takes thousands of characters such as 8k, not '%s'", "--%s 要給以千字計的長度，例如 8k，不能是「%s」") \
    X(EVAL_NEEDLE_DONE, "needle: %lld of %lld passed (%lld too long for the model), %lld beams\n", \
      "大海撈針：通過 %lld 次，共 %lld 次（其中 %lld 次超過模型長度），集束 %lld\n")              \
    X(OPTION_NEEDLE_MIN, "shortest filling, in thousands of characters", "最短的填充文字，以千字計") \
    X(OPTION_NEEDLE_MAX, "lengths stay below this", "長度都小於此值")                              \
    X(OPTION_NEEDLE_GAP, "from one length to the next", "相鄰長度的間隔")                          \
    X(OPTION_NEEDLE_TESTS, "keys tried at each length and depth", "每個長度與深度測試幾個通行碼")  \
    X(OPTION_NEEDLE_BEAMS, "beams to decode with", "解碼的集束數")                                 \
    X(OPTION_NEEDLE_OUTPUT, "file of JSON lines, added to", "JSON 逐行檔案，接續寫入")             \
    X(OPTION_NEEDLE_SVG, "draw the heat map into this file", "把熱圖畫到此檔")                     \
    X(OPTION_NEEDLE_PNG, "the same as PNG", "同一張圖，PNG 格式")                                  \
    X(OPTION_NEEDLE_DRAW, "draw an earlier run's lines; nothing is measured", "把先前的結果畫成圖，不重測") \
    X(OPTION_NEEDLE_TITLE, "second line of the heat map's title", "熱圖標題的第二行")             \
    X(OPTION_NEEDLE_SCALE, "colours from 0 to the largest score, as the original draws them (0 to 1 otherwise)", \
      "顏色以最高分為上限，如原作（否則為 0 到 1）")                                               \
    X(OPTION_NEEDLE_BOS, "do not begin prompts with the model's first token", "提示開頭不加起始詞元") \
    X(EVAL_COMPARE_SUMMARY, "Compare two runs over the same questions.", "比較兩次評測對相同題目的作答。") \
    X(EVAL_COMPARE_DETAILS,                                                                        \
      "A and B are folders written with --output. For each task both have: the questions only one got right, the " \
      "difference B - A with its confidence interval, and McNemar's exact test.",                        \
      "A 與 B 是以 --output 寫出的資料夾。對兩者都有的每項評測：只有一方答對的題數、B - A 的差與信賴區間，以及 McNemar 精確檢定。") \
    X(EVAL_COMPARE_TWO, "two folders are needed", "需要兩個資料夾")                                \
    X(EVAL_COMPARE_NOTHING, "%s and %s hold no task in common", "%s 與 %s 沒有共同的評測")         \
    X(EVAL_COMPARE_LINE, "%s: %lld questions, only A right %lld, only B right %lld, B - A %+.2f%% ± %.2f, p = %.4g: %s\n", \
      "%s：%lld 題，只有 A 答對 %lld，只有 B 答對 %lld，B - A %+.2f%% ± %.2f，p = %.4g：%s\n")     \
    X(EVAL_COMPARE_YES, "they differ", "有顯著差異")                                               \
    X(EVAL_COMPARE_NO, "no difference shown", "看不出差異")                                        \
    X(EVAL_COMPARE_PART, "  left out: %lld questions that only A has, %lld that only B has\n", "  未計入：只有 A 有的 %lld 題、只有 B 有的 %lld 題\n") \
    X(EVAL_COMPARE_PROMPTS, "  %lld questions were asked with different prompts\n", "  有 %lld 題的提示不同\n") \
    X(EVAL_BOARD_SUMMARY, "One page that compares many runs.", "把許多次評測放在同一頁比較。")     \
    X(EVAL_BOARD_DETAILS,                                                                          \
      "Reads every results*.json below DIR (of this program or of lm-evaluation-harness) and writes one HTML file that loads " \
      "nothing: sortable, to be filtered by task, with confidence intervals, the card's published rows in grey.", \
      "讀取 DIR 底下所有 results*.json（本程式或 lm-evaluation-harness 的），寫成一個不載入任何外部檔案的網頁：可排序、可依評測篩選，" \
      "附信賴區間，模型卡公布的成績以灰色列出。")                                             \
    X(EVAL_BOARD_NEEDS, "one folder of results is needed", "需要一個存放結果的資料夾")             \
    X(EVAL_BOARD_SKIPPED, "left out: %s\n", "略過：%s\n")                                         \
    X(EVAL_BOARD_DONE, "%s: %lld runs\n", "%s：%lld 次評測\n")                                    \
    X(OPTION_EVAL_BOARD_OUTPUT, "the page", "網頁檔")                                              \
    X(EVAL_NOT_SAMPLES, "%s: not a file of answers", "%s：不是作答檔")                             \
    X(OPTION_EVAL_DATA, "folder with the data sets, as ORG/NAME or NAME; none: the Hugging Face cache", \
      "資料集所在的資料夾，以 ORG/NAME 或 NAME 存放；不給則用 Hugging Face 快取")                  \
    X(OPTION_EVAL_OUTPUT, "folder for results.json, tables and every answer; also to go on from",  \
      "存放 results.json、表格與每題回答的資料夾；也由此繼續")                                     \
    X(OPTION_EVAL_SHOTS, "solved examples in front of each question (the task's own number)",      \
      "每題前面的範例數（預設依評測而定）")                                                        \
    X(OPTION_EVAL_LIMIT, "most questions of each subset", "每科最多幾題")                          \
    X(OPTION_EVAL_TEMPLATE, "put the prompt into the model's chat template", "把提示放進模型的對話範本") \
    X(OPTION_EVAL_BF16, "round logits to bfloat16, as models that compute in it: ties are real",   \
      "把 logits 捨入為 bfloat16，如同以它計算的模型：會出現同分")                                 \
    X(OPTION_EVAL_BOS, "begin every prompt with the model's first token (the harness does not)",   \
      "每個提示都以模型的起始詞元開頭（lm-eval 不加）")                                            \
    X(OPTION_EVAL_SKIP, "leave out subsets whose files are not there", "略過找不到檔案的科目")     \
    X(OPTION_EVAL_OVERWRITE, "begin anew, whatever --output holds", "不管 --output 裡有什麼，重新開始") \
    X(OPTION_EVAL_PROMPTS, "print the prompts as JSON lines and leave", "以 JSON 逐行印出提示後離開")
/* clang-format on */

#endif
