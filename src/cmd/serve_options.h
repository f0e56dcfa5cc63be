/* serve_options: the options of `twllm serve` as one table, and what they were set to.
 *
 * They are read three times, from the environment, the file and the command line; of a list the last of these that
 * gives it counts, whole. */
#ifndef CMD_SERVE_OPTIONS_H
#define CMD_SERVE_OPTIONS_H

#include "base/arena.h"
#include "cmd/commands.h"
#include "cmd/serve_log.h"
#include "cmd/session.h"

enum { SERVE_LIST = 64 };

struct serve_list {
    const char *items[SERVE_LIST];
    size_t n;
    int source; /* which reading filled it */
    const int *reading;
    struct arena *arena;
};

struct serve_settings {
    int reading;        /* 1: environment, 2: file, 3: command line */
    struct arena arena; /* what settings from the file and the environment point to */
    struct session_options session;
    const char *host, *uds, *config, *log_level;
    int64_t port, drain_s;
    bool no_access_log;
    struct serve_list served_names, keys, allowed_hosts, origins, methods, headers;
    const char *key_file;
    bool allow_credentials, ssl_refresh;
    const char *ssl_certfile, *ssl_keyfile, *ssl_ca_certs, *ssl_ciphers;
    int64_t ssl_cert_reqs;
    int64_t max_connections, max_body_bytes, max_head_bytes, max_headers, keep_alive_s, body_s;
    int64_t max_queued, max_n, max_logprobs, max_prompt_bytes;
    const char *chat_template, *default_system_message, *generation_config, *script, *pooling,
        *dtype;
    bool any_model;
    int64_t seed; /* -1: drawn */
};

/* The command with its groups, pointing into *settings and `out`; *settings gets the defaults. */
struct serve_arguments {
    struct argument server[10], access[13], limits[10], model[8], engine[SESSION_ENGINE_ARGUMENTS],
        vllm[24];
};
void serve_options_init(struct serve_settings *, struct serve_arguments *out, struct command *);
void serve_options_deinit(struct serve_settings *);

/* argv with vLLM's "-tp N", "-pp N", "-dp N" written out; malloc'ed, its words borrowed. */
char **serve_options_long_names(int argc, char *const *argv);

#endif
