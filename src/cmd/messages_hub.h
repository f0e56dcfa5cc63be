/* What pull, list and rm say, in both languages; part of messages_list.h. */
#ifndef CMD_MESSAGES_HUB_H
#define CMD_MESSAGES_HUB_H

/* clang-format off */
#define MESSAGES_HUB(X)                                                                            \
    X(PULL_SUMMARY, "Download a model from the Hugging Face hub.", "從 Hugging Face Hub 下載模型。") \
    X(PULL_DETAILS,                                                                                \
      "The files go into the cache that transformers and hf download use, and every command then takes the name in place of a path. Of a repository with safetensors, these and the files that describe them are taken; of GGUF files those of QUANT (Q4_K_M, or the nearest, when none is given). What a broken download left is used by the next one, and every file is compared with its digest. HF_TOKEN, or the token that hf auth login keeps, opens private and gated models; HF_ENDPOINT names another hub; with HF_HUB_OFFLINE=1 nothing is fetched.", \
      "檔案存入 transformers 與 hf download 共用的快取，之後每個指令都可以用名稱代替路徑。儲存庫若有 safetensors，就下載這些檔案及其說明檔；若是 GGUF，則下載指定量化（QUANT）的檔案，未指定時為 Q4_K_M 或相近者。中斷的下載會由下一次接續，每個檔案都會核對雜湊值。私有或需同意條款的模型，用 HF_TOKEN 或 hf auth login 存下的權杖；HF_ENDPOINT 可指定其他站台；HF_HUB_OFFLINE=1 時不連線下載。") \
    X(PULL_NEEDS_NAME, "%s: which model? Give a name such as yentinglin/Llama-3-Taiwan-8B-Instruct", \
      "%s：要哪個模型？請給名稱，例如 yentinglin/Llama-3-Taiwan-8B-Instruct")                       \
    X(PULL_DONE, "fetched %zu of %zu files, %.3f of %.3f GB; commit %s\n",                         \
      "已下載 %zu 個檔案（共 %zu 個），%.3f GB（共 %.3f GB）；版本 %s\n")                          \
    X(PROGRESS_PULL, "downloading", "下載中")                                                      \
    X(OPTION_PULL_ALL, "take every file of the repository", "下載儲存庫裡的所有檔案")              \
    X(OPTION_PULL_CONNECTIONS, "connections at once", "同時連線數")                                \
    X(LIST_SUMMARY, "List the models in the shared cache.", "列出共用快取裡的模型。")              \
    X(LIST_DETAILS, "Name, size and revisions of every model that transformers, hf download or twllm pull brought here.", \
      "列出由 transformers、hf download 或 twllm pull 下載到本機的模型：名稱、大小與版本。")       \
    X(LIST_NOTHING, "the cache holds no models", "快取裡沒有模型")                                 \
    X(LIST_UNFINISHED, "  (%.3f GB of a broken download)", "（未完成的下載：%.3f GB）")            \
    X(RM_SUMMARY, "Remove a model from the shared cache.", "從共用快取移除模型。")                 \
    X(RM_DETAILS, "With @REVISION only that revision goes, with the files that no other one uses.", \
      "加上 @版本 時只移除該版本，以及其他版本沒有用到的檔案。")                                   \
    X(RM_NEEDS_YES, "%s: %.3f GB would be removed; confirm with --yes", "%s：將移除 %.3f GB；請以 --yes 確認") \
    X(RM_QUESTION, "Remove %s, %.3f GB? [y/N] ", "移除 %s（%.3f GB）？[y/N] ")                     \
    X(RM_KEPT, "%s stays", "保留 %s")                                                              \
    X(RM_DONE, "removed %s, %.3f GB\n", "已移除 %s，%.3f GB\n")                                    \
    X(OPTION_YES, "do not ask", "不再詢問")
/* clang-format on */

#endif
