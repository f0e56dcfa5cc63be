/* params_json: sampling parameters from a JSON object, for the probes. Member names are those of
 * struct sampling_params; what is absent keeps its default. */
#ifndef TESTS_PARAMS_JSON_H
#define TESTS_PARAMS_JSON_H

#include <stdio.h>
#include <stdlib.h>

#include "data/json.h"
#include "engine/sampling_params.h"

static inline void probe_stop(const char *message)
{
    fprintf(stderr, "%s\n", message);
    exit(1);
}

static inline void *probe_array(struct arena *arena, size_t count, size_t bytes)
{
    void *p = arena_alloc_array(arena, count + 1, bytes);
    if (!p) probe_stop("no memory");
    return p;
}

static inline token_id *probe_ids(struct arena *arena, const struct json *list, size_t *count)
{
    *count = list ? list->n_items : 0;
    token_id *ids = probe_array(arena, *count, sizeof *ids);
    for (size_t i = 0; i < *count; i++) {
        int64_t id;
        if (!json_i64(json_at(list, i), &id)) probe_stop("a list of ids holds something else");
        ids[i] = (token_id)id;
    }
    return ids;
}

static inline void probe_float(const struct json *o, const char *key, float *out)
{
    double value;
    if (json_f64(json_get(o, key), &value)) *out = (float)value;
}

static inline void probe_int(const struct json *o, const char *key, int32_t *out)
{
    int64_t value;
    if (json_i64(json_get(o, key), &value)) *out = (int32_t)value;
}

static inline struct str *probe_strings(struct arena *arena, const struct json *list, size_t *count)
{
    *count = list ? list->n_items : 0;
    struct str *strings = probe_array(arena, *count, sizeof *strings);
    for (size_t i = 0; i < *count; i++)
        if (!json_str(json_at(list, i), &strings[i])) probe_stop("a list of strings holds other");
    return strings;
}

static inline struct sampling_params probe_params(struct arena *arena, const struct json *o)
{
    struct sampling_params p = sampling_params_default();
    int64_t seed;
    probe_int(o, "n", &p.n);
    probe_float(o, "temperature", &p.temperature);
    probe_float(o, "top_p", &p.top_p);
    probe_int(o, "top_k", &p.top_k);
    probe_float(o, "min_p", &p.min_p);
    probe_float(o, "typical_p", &p.typical_p);
    probe_float(o, "repetition_penalty", &p.repetition_penalty);
    probe_float(o, "frequency_penalty", &p.frequency_penalty);
    probe_float(o, "presence_penalty", &p.presence_penalty);
    probe_int(o, "no_repeat_ngram_size", &p.no_repeat_ngram_size);
    probe_float(o, "dry_multiplier", &p.dry_multiplier);
    probe_float(o, "dry_base", &p.dry_base);
    probe_int(o, "dry_allowed_length", &p.dry_allowed_length);
    probe_int(o, "dry_penalty_last_n", &p.dry_penalty_last_n);
    p.dry_sequence_breakers =
        probe_strings(arena, json_get(o, "dry_sequence_breakers"), &p.n_dry_sequence_breakers);
    probe_float(o, "xtc_probability", &p.xtc_probability);
    probe_float(o, "xtc_threshold", &p.xtc_threshold);
    probe_int(o, "logprobs", &p.logprobs);
    probe_int(o, "prompt_logprobs", &p.prompt_logprobs);
    probe_int(o, "max_tokens", &p.max_tokens);
    probe_int(o, "min_tokens", &p.min_tokens);
    json_bool(json_get(o, "ignore_eos"), &p.ignore_eos);
    p.stop = probe_strings(arena, json_get(o, "stop"), &p.n_stop);
    json_bool(json_get(o, "include_stop_str_in_output"), &p.include_stop_str_in_output);
    json_bool(json_get(o, "skip_special_tokens"), &p.skip_special_tokens);
    p.stop_token_ids = probe_ids(arena, json_get(o, "stop_token_ids"), &p.n_stop_token_ids);
    const struct json *list = json_get(o, "stop_token_sequences");
    p.n_stop_token_sequences = list ? list->n_items : 0;
    struct token_sequence *sequences =
        probe_array(arena, p.n_stop_token_sequences, sizeof *sequences);
    for (size_t i = 0; i < p.n_stop_token_sequences; i++)
        sequences[i].ids = probe_ids(arena, json_at(list, i), &sequences[i].count);
    p.stop_token_sequences = sequences;
    probe_int(o, "num_beams", &p.num_beams);
    probe_float(o, "length_penalty", &p.length_penalty);
    probe_int(o, "early_stopping", &p.early_stopping);
    p.has_seed = json_i64(json_get(o, "seed"), &seed);
    if (p.has_seed) p.seed = (uint64_t)seed;
    return p;
}

#endif
