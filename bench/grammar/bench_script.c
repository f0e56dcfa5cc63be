/* bench_script: what script "hant" adds to the choice of one token.
 *
 *   bench_script TOKENIZER < TEXT
 *
 * The text is cut into tokens; before each, the filter bans what may not follow. Printed are microseconds for one
 * token, of a row of logits of the vocabulary's size: between characters, inside one (for every token that ends so),
 * and the mean over the text. Compare with a step of the model (twllm bench): it is to stay under 1 % of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "grammar/script.h"

enum { ROUNDS = 200 };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of many fresh rows. */
static double microseconds(const struct script_filter *f, const struct script_state *state,
                           float *logits, size_t n)
{
    double times[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        for (size_t k = 0; k < n; k++) logits[k] = (float)(k % 97);
        double began = now_us();
        script_filter_apply(f, state, logits, n);
        times[i] = now_us() - began;
    }
    qsort(times, ROUNDS, sizeof *times, by_value);
    return times[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    struct tokenizer *tokenizer;
    struct script_filter *f = NULL;
    struct token_list list = {0};
    struct error err = {0};
    static char text[1 << 20];
    if (argc != 2 || tokenizer_open(&tokenizer, argv[1], &err) != STATUS_OK) {
        fprintf(stderr, "bench_script TOKENIZER < TEXT %s\n", err.text);
        return 2;
    }
    size_t n = (size_t)tokenizer_vocab_size(tokenizer), size = fread(text, 1, sizeof text, stdin);
    struct str *tokens = calloc(n, sizeof *tokens);
    bool *special = calloc(n, sizeof *special);
    float *logits = calloc(n, sizeof *logits);
    for (size_t i = 0; i < n && tokens && special; i++) {
        tokens[i] = tokenizer_token_bytes(tokenizer, (token_id)i);
        special[i] = tokenizer_is_special(tokenizer, (token_id)i);
    }
    double began = now_us();
    if (!tokens || !special || !logits || script_filter_create(&f, tokens, special, n, &err))
        return 7;
    printf("%zu tokens, filter made in %.1f ms\n", n, (now_us() - began) / 1e3);
    struct tokenizer_encode_options how = {.special = TOKENIZER_SPECIAL_AS_TEXT};
    if (tokenizer_encode(tokenizer, (struct str){text, size}, how, &list, &err) != STATUS_OK)
        return 2;
    struct script_state clean = {{0}, 0};
    size_t n_inside = 0;
    double between_us = microseconds(f, &clean, logits, n), inside_us = 0;
    for (size_t i = 0; i < list.count; i++) {
        struct script_state state = script_state_of(f, list.ids, i + 1);
        if (!state.n_pending) continue;
        if (n_inside++ < 20) inside_us += microseconds(f, &state, logits, n);
    }
    inside_us /= n_inside == 0 ? 1 : n_inside < 20 ? (double)n_inside : 20;
    double share = list.count ? (double)n_inside / (double)list.count : 0;
    printf("between characters %.2f us, inside %.2f us (%.1f %% of %zu tokens), mean %.2f us\n",
           between_us, inside_us, 100 * share, list.count,
           between_us * (1 - share) + inside_us * share);
    return 0;
}
