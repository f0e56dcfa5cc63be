/* The published evaluation table of Llama-3-Taiwan (the model cards, and the repository MiuLab/Taiwan-LLM), for
 * comparison. "^" marks macro averages of the benchmark's authors, which other rows are not comparable with. */
#include "eval/report.h"

#define YES "✅"
#define ASK "❓"

static const struct eval_card_row rows[] = {
    {"yentinglin/Llama-3-Taiwan-70B-Instruct",
     {"74.76%", "80.95%", "68.42%", "7.54", "128k version", YES, "67.53%"}},
    {"yentinglin/Llama-3-Taiwan-70B-Instruct-DPO",
     {"74.60%", "81.75%", "70.33%", NULL, NULL, YES, NULL}},
    {"yentinglin/Llama-3-Taiwan-70B-Instruct-128k",
     {"73.01%", "80.16%", "63.64%", NULL, NULL, YES, NULL}},
    {"yentinglin/Llama-3-Taiwan-8B-Instruct",
     {"59.50%", "61.11%", "53.11%", "7.21", "128k version", YES, "52.28%"}},
    {"yentinglin/Llama-3-Taiwan-8B-Instruct-DPO",
     {"59.88%", "59.52%", "52.63%", NULL, NULL, YES, NULL}},
    {"yentinglin/Llama-3-Taiwan-8B-Instruct-128k", {NULL, NULL, NULL, NULL, NULL, YES, NULL}},
    {"Claude-3-Opus", {"73.59% (5-shot)", "69.84%", "60.29%", NULL, "200k", YES, NULL}},
    {"GPT4-o", {"65.56% (0-shot), 69.88% (5-shot)", "76.98%", "53.59%", NULL, "128k", YES, NULL}},
    {"GPT4-turbo", {"70.42% (5-shot)", NULL, NULL, NULL, "128k", YES, "60.34%^"}},
    {"Gemini-Pro", {"61.40% (5-shot)", NULL, NULL, NULL, "1000k", YES, "49.92%^"}},
    {"GPT-3.5-turbo-1106", {"49.37% (5-shot)", NULL, NULL, "7.1", "128k", YES, "41.76%^"}},
    {"Qwen1.5-110B-Chat", {"75.69%", "66.67%", "49.28%", NULL, "32k", YES, "65.81%"}},
    {"Yi-34B-Chat", {"73.59%", "71.43%", "55.02%", "6.9", "200k", YES, "64.10%"}},
    {"Meta-Llama-3-70B-Instruct", {"70.95%", "65.08%", "52.63%", NULL, "8k", YES, "62.75%"}},
    {"Mixtral-8x22B-Instruct-v0.1", {"55.57%", "52.38%", "44.98%", NULL, "64k", YES, "52.16%"}},
    {"Breexe-8x7B-Instruct-v0_1", {NULL, NULL, NULL, "7.2", "8k", ASK, "48.92%"}},
    {"c4ai-command-r-plus", {"62.87%", "64.29%", "34.45%", NULL, "128k", YES, "49.75%"}},
    {"Meta-Llama-3-8B-Instruct", {"55.81%", "46.83%", "35.89%", NULL, "8k", YES, "43.38%"}},
    {"Breeze-7B-Instruct-v1_0", {"55.57%", "52.38%", "39.23%", "6.0", "32k", ASK, "41.77%"}},
    {"Llama3-TAIDE-LX-8B-Chat-Alpha1", {"47.30%", "50.79%", "37.80%", NULL, "8k", ASK, "39.03%"}},
    {"Phi-3-mini-4k-instruct", {"40.97%", "37.30%", "27.27%", NULL, "4k", YES, "33.02%"}},
};

bool eval_published_row(size_t index, struct eval_card_row *row)
{
    if (index >= sizeof rows / sizeof *rows) return false;
    *row = rows[index];
    return true;
}
