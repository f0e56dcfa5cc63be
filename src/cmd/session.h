/* session: what every command that runs a model shares: the options that choose model, engine and
 * sampling, the settings file, opening with a progress bar, and plain errors.
 *
 * Settings come, later ones over earlier ones, from the checkpoint's generation_config.json, from
 * $XDG_CONFIG_HOME/twllm/config.json ({"model": "...", "system": "...", "params": {...}}), and from the
 * command line. */
#ifndef CMD_SESSION_H
#define CMD_SESSION_H

#include "cmd/arguments.h"
#include "cmd/commands.h"
#include "twllm.h"

struct session_options {
    const char *model;
    int64_t threads, max_model_len, max_num_seqs, max_num_batched_tokens, block_size;
    int64_t kv_cache_memory;
    const char *isa, *kv_cache_dtype, *device, *quantization;
    bool deterministic;
    float gpu_memory_utilization;
    const char *speculative_config, *speculative_model;
    int64_t num_speculative_tokens;
    bool no_prefix_caching;
    bool leaves_weights; /* maps them, and does not read them in */
};

enum { SESSION_ENGINE_ARGUMENTS = 15, SESSION_SETTINGS = 1024 };
/* Fills the arguments of the engine's group; returns the group. */
struct argument_group session_engine_group(struct session_options *,
                                           struct argument out[SESSION_ENGINE_ARGUMENTS]);
struct argument session_model_argument(struct session_options *);

/* Sampling options as typed: checked at once, applied when the model is known. */
struct session_settings {
    struct twllm_params *checked;
    const char *names[SESSION_SETTINGS], *texts[SESSION_SETTINGS];
    size_t count;
};
enum {
    SESSION_SAMPLING_ARGUMENTS = 19,
    SESSION_STOPPING_ARGUMENTS = 11,
    SESSION_BEAM_ARGUMENTS = 3
};
struct session_sampling_arguments {
    struct argument sampling[SESSION_SAMPLING_ARGUMENTS], stopping[SESSION_STOPPING_ARGUMENTS],
        beams[SESSION_BEAM_ARGUMENTS];
};
/* Puts the three groups of sampling options into groups[0..3). */
void session_sampling_groups(struct session_settings *, struct session_sampling_arguments *,
                             const char *default_max_tokens, struct argument_group *groups);
void session_settings_deinit(struct session_settings *);

struct session {
    struct twllm_model *model, *draft; /* draft NULL: none */
    struct twllm_engine *engine;
    struct strbuf speculative_config; /* empty: no guesses */
    struct twllm_params *params;
    struct twllm_model_info info;
    struct twllm_memory_plan plan;                      /* of the engine */
    char *config_model, *config_system, *config_params; /* from the settings file; may be NULL */
};

/* Reads the settings file; a missing one is fine. */
status session_read_config(struct session *, const struct environment *, struct error *);
/* Fills speculative_config from the options; *draft (may be NULL) gets the name of the draft model, or
 * becomes empty. */
status session_read_speculation(struct session *, const struct session_options *,
                                struct strbuf *draft, struct error *);
/* Opens the model chosen, and the draft model if there is one; tokenizer_only leaves the weights
 * alone. */
status session_open_model(struct session *, const struct session_options *,
                          const struct environment *, bool tokenizer_only, struct error *);
/* Makes session->params; max_tokens applies where neither settings file nor command line says. */
status session_make_params(struct session *, const struct session_settings *,
                           const char *max_tokens, struct error *);
/* With the model open. What it points to belongs to the session and the options. */
void session_engine_options(const struct session *, const struct session_options *,
                            struct twllm_engine_options *);
status session_make_engine(struct session *, const struct session_options *, struct error *);
void session_close(struct session *);

/* A public function's result and error as the program's. */
status session_result(int result, const struct twllm_error *from, struct error *);

/* $XDG_<...>_HOME/twllm/name, or $HOME/fallback/twllm/name; NULL without either. malloc'ed. */
char *session_user_path(const char *xdg_home, const char *home, const char *fallback,
                        const char *name);

#endif
