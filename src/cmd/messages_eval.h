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
      "--questions and --generate: the model's answers. With --questions and --answers: what the judge is to read.", \
      "給 --judgments：統計 FastChat 評審檔的平均、最高、最低、中位數、母體標準差與筆數，含全部（與公布方式相同，沒有評分者計 -1）、各輪與各類。" \
      "給 --questions 與 --generate：由模型作答。給 --questions 與 --answers：輸出要給評審讀的提示。") \
    X(EVAL_MT_NEEDS, "give --judgments, or --questions with --generate or --answers",              \
      "請給 --judgments，或 --questions 加上 --generate 或 --answers")                             \
    X(EVAL_MT_HEAD, "                               mean    max    min median       std (population) count\n", \
      "                               平均   最高   最低 中位數            母體標準差  筆數\n")     \
    X(EVAL_MT_ALL, "all, as published", "全部（公布方式）")                                        \
    X(EVAL_MT_PARSED, "without unparsable", "去掉沒有評分者")                                      \
    X(EVAL_MT_TURN, "turn %d", "第 %d 輪")                                                         \
    X(EVAL_MT_DIFFERING, "%lld stored scores differ from what the judgments say\n", "有 %lld 個記錄的分數與評語不符\n") \
    X(OPTION_MT_JUDGMENTS, "FastChat's judgment file; - for standard input", "FastChat 的評審檔；- 為標準輸入") \
    X(OPTION_MT_RADAR, "draw the categories as an SVG radar chart", "把各類成績畫成 SVG 雷達圖")   \
    X(OPTION_MT_QUESTIONS, "question.jsonl", "question.jsonl")                                     \
    X(OPTION_MT_GENERATE, "answer the questions, into this file", "回答題目，寫入此檔")            \
    X(OPTION_MT_ANSWERS, "answers to be judged: their judge prompts are printed", "待評的回答：印出評審提示") \
    X(OPTION_MT_REFERENCES, "reference answers; questions that have one are judged with it", "參考答案；有參考答案的題目會附上它來評") \
    X(OPTION_MT_PLACEHOLDERS, "with the questions in place of references, as the published run was judged", \
      "以題目代替參考答案，重現公布成績當時的評審方式")                                            \
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
