/* metrics_list: vLLM's histograms, with its names and buckets; smaller buckets were added where this program is
 * faster than its lowest. */
#ifndef SERVE_METRICS_LIST_H
#define SERVE_METRICS_LIST_H

/* X(field, name, buckets, units of the sum in 1, help) */
#define METRICS_HISTOGRAMS(X)                                                                      \
    X(first_token, "vllm:time_to_first_token_seconds", first_token_buckets, 1e6,                   \
      "Time from the request to its first token.")                                                 \
    X(between_tokens, "vllm:inter_token_latency_seconds", token_buckets, 1e6,                      \
      "Time between the steps that made tokens, counted for each token.")                          \
    X(per_token, "vllm:request_time_per_output_token_seconds", token_buckets, 1e6,                 \
      "Mean time of a request's tokens behind its first.")                                         \
    X(whole, "vllm:e2e_request_latency_seconds", request_buckets, 1e6,                             \
      "Time from the request to its end.")                                                         \
    X(queued, "vllm:request_queue_time_seconds", request_buckets, 1e6,                             \
      "Time from the request to the engine.")                                                      \
    X(inference, "vllm:request_inference_time_seconds", request_buckets, 1e6,                      \
      "Time from the engine to the end.")                                                          \
    X(prefill, "vllm:request_prefill_time_seconds", request_buckets, 1e6,                          \
      "Time from the engine to the first token.")                                                  \
    X(decode, "vllm:request_decode_time_seconds", request_buckets, 1e6,                            \
      "Time from the first token to the end.")                                                     \
    X(prompt_tokens, "vllm:request_prompt_tokens", count_buckets, 1, "Tokens of prompts.")         \
    X(generated_tokens, "vllm:request_generation_tokens", count_buckets, 1,                        \
      "Tokens generated for a request.")                                                           \
    X(max_generated, "vllm:request_max_num_generation_tokens", count_buckets, 1,                   \
      "Most tokens that a request could generate.")                                                \
    X(params_max_tokens, "vllm:request_params_max_tokens", count_buckets, 1,                       \
      "The max_tokens of requests.")                                                               \
    X(computed_tokens, "vllm:request_prefill_kv_computed_tokens", count_buckets, 1,                \
      "Prompt tokens that were computed, not found in the prefix cache.")                          \
    X(params_n, "vllm:request_params_n", n_buckets, 1, "The n of requests.")                       \
    X(step_tokens, "vllm:iteration_tokens_total", step_buckets, 1, "Tokens of one engine step.")

/* X(field, name, help) */
#define METRICS_REASONS(X)                                                                         \
    X(stop)                                                                                        \
    X(length)                                                                                      \
    X(abort)                                                                                       \
    X(error)

#endif
