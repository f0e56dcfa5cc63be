/* What `twllm convert`, `quantize`, `imatrix` and `perplexity` say, in both languages; part of messages_list.h. */
#ifndef CMD_MESSAGES_CONVERT_H
#define CMD_MESSAGES_CONVERT_H

/* clang-format off */
#define MESSAGES_CONVERT(X)                                                                        \
    X(CONVERT_SUMMARY, "Convert a model between safetensors and GGUF.", "在 safetensors 與 GGUF 之間轉換模型。") \
    X(CONVERT_DETAILS,                                                                             \
      "OUTPUT is a .gguf file, or a folder for safetensors. Tensors are streamed: a 70B model converts on a machine "  \
      "with little memory. OUTPUT appears when everything was written and read back; after an interruption the same "  \
      "command goes on where it stopped.",                                                         \
      "OUTPUT 是 .gguf 檔，或存放 safetensors 的資料夾。張量逐塊處理，70B 模型在記憶體小的機器上也能轉換。"                \
      "全部寫完並讀回核對之後 OUTPUT 才會出現；中斷之後再下同一個指令，會從停下的地方繼續。")      \
    X(QUANTIZE_SUMMARY, "Quantise a model to a GGUF file of fewer bits.", "把模型量化成位元較少的 GGUF 檔。") \
    X(QUANTIZE_DETAILS,                                                                            \
      "TYPE is a type or a mix, by llama.cpp's names and rules: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, "  \
      "Q2_K_S, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, IQ4_XS, MXFP4. Scales are searched "  \
      "for the least squared error; --imatrix weighs it by what was measured on a text (twllm imatrix).", \
      "TYPE 是型別或混合方式，名稱與規則同 llama.cpp：F32、F16、BF16、Q4_0、Q4_1、Q5_0、Q5_1、Q8_0、Q2_K、Q2_K_S、Q3_K_S、"   \
      "Q3_K_M、Q3_K_L、Q4_K_S、Q4_K_M、Q5_K_S、Q5_K_M、Q6_K、IQ4_NL、IQ4_XS、MXFP4。縮放值以平方誤差最小為準來搜尋；"        \
      "--imatrix 依在文字上量到的重要性加權（見 twllm imatrix）。")                                \
    X(GROUP_CONVERT, "Conversion:", "轉換：")                                                      \
    X(OPTION_CONVERT_FORMAT, "format of OUTPUT; otherwise by its name", "OUTPUT 的格式；不給則看檔名") \
    X(OPTION_CONVERT_TYPE, "type of the matrices; auto keeps them (quantised ones become BF16 in safetensors)", \
      "矩陣的型別；auto 表示保持原樣（量化過的矩陣在 safetensors 裡成為 BF16）")                   \
    X(OPTION_SPLIT, "most bytes of tensors in one file; then several are written", "單一檔案裡張量的位元組上限；超過就寫成多個檔案") \
    X(OPTION_REQUANTIZE, "also quantise what is quantised already", "已量化的矩陣也重新量化")      \
    X(OPTION_CONVERT_OVERWRITE, "replace OUTPUT if it exists", "OUTPUT 已存在時取代它")            \
    X(OPTION_IMATRIX, "importances measured by twllm imatrix or llama-imatrix", "twllm imatrix 或 llama-imatrix 量得的重要性") \
    X(OPTION_PURE, "every matrix of one type, no mix", "所有矩陣用同一型別，不混合")               \
    X(OPTION_OUTPUT_TYPE, "type of the output matrix", "輸出矩陣的型別")                           \
    X(OPTION_EMBEDDING_TYPE, "type of the embedding", "嵌入矩陣的型別")                            \
    X(PROGRESS_CONVERTING, "Converting", "轉換中")                                                 \
    X(CONVERT_IS_FOLDER, "%s is a folder: name a .gguf file", "%s 是資料夾：請給 .gguf 檔名")      \
    X(CONVERT_IS_FILE, "%s is a file: name a folder for safetensors", "%s 是檔案：safetensors 請給資料夾") \
    X(CONVERT_EXISTS, "%s exists (--overwrite replaces it)", "%s 已經存在（加上 --overwrite 會取代它）") \
    X(CONVERT_NOT_NAMED, "%s: the name of a GGUF file ends in .gguf", "%s：GGUF 檔名要以 .gguf 結尾") \
    X(QUANTIZE_TYPE_UNKNOWN, "unknown type '%s'; there are %s", "沒有「%s」這個型別；可用的有 %s") \
    X(CONVERT_DONE, "%s: %.1f MB, %zu tensors, %zu file(s), %.2f bits a weight\n", \
      "%s：%.1f MB，%zu 個張量，%zu 個檔案，每個權重 %.2f 位元\n")                                 \
    X(CONVERT_ERROR, "relative error of what was quantised: %.5f\n", "量化部分的相對誤差：%.5f\n") \
    X(CONVERT_RESUMED, "%.1f MB were there from an earlier run\n", "其中 %.1f MB 是先前已寫好的\n") \
    X(PERPLEXITY_SUMMARY, "Measure how well a model predicts a text, or how far it is from another.", \
      "測量模型預測一段文字的能力，或與另一個模型的差距。")                                        \
    X(PERPLEXITY_DETAILS,                                                                          \
      "The text is cut into windows of --ctx-size tokens; the second half of each is counted. The numbers are those "  \
      "of llama.cpp's llama-perplexity, and base files are read and written in its form.",         \
      "文字切成每段 --ctx-size 個詞元，各段的後半計入。數字與 llama.cpp 的 llama-perplexity 相同，基準檔的格式也相同。") \
    X(IMATRIX_SUMMARY, "Measure on a text which weights matter, for quantize.", "在文字上量出哪些權重重要，供 quantize 使用。") \
    X(IMATRIX_DETAILS,                                                                             \
      "Runs the text through the model and sums the squares of what meets each column of each matrix. OUTPUT is in "   \
      "llama.cpp's form (GGUF), which llama-quantize reads too.",                                  \
      "讓文字通過模型，累計每個矩陣各欄輸入值的平方。OUTPUT 是 llama.cpp 的格式（GGUF），llama-quantize 也能讀。") \
    X(GROUP_COMPARE, "Comparison:", "比較：")                                                      \
    X(OPTION_MEASURE_FILE, "the text; - for standard input", "文字檔；- 為標準輸入")               \
    X(OPTION_CTX_SIZE, "tokens of a window", "每段的詞元數")                                       \
    X(OPTION_CHUNKS, "windows at most; otherwise the whole text", "最多幾段；不給則全部")          \
    X(OPTION_KL_BASE, "file of a model's log-probabilities: written, or read with --kl-divergence", \
      "模型對數機率的檔案：寫入；加上 --kl-divergence 則讀取")                                     \
    X(OPTION_KL, "compare with the base file, whose text is taken", "與基準檔比較，文字也取自該檔") \
    X(MEASURE_NEEDS_FILE, "give a text with --file", "請用 --file 給一段文字")                     \
    X(PROGRESS_MEASURING, "Measuring", "測量中")                                                   \
    X(IMATRIX_DONE, "%s: %zu matrices, %u windows of %u tokens\n", "%s：%zu 個矩陣，%u 段，每段 %u 個詞元\n") \
    X(CONVERT_NO_IMPORTANCE, "%zu matrices are not in the importances and were weighed evenly\n", \
      "有 %zu 個矩陣不在重要性檔案裡，以相同權重處理\n")
/* clang-format on */

#endif
