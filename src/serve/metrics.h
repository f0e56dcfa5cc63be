/* metrics: what the server measures, under vLLM's names, in Prometheus' text format (0.0.4).
 *
 * Observing costs a few relaxed atomic additions and never a lock. Counts of HTTP requests belong to the I/O thread,
 * which also writes the text; the others may come from any thread.
 */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "engine/engine.h"
#include "serve/engine_service.h"
#include "serve/http_server.h"
#include "serve/serve.h"

struct metrics;

struct metrics_options {
    const char *version;
    int32_t max_model_len, block_size;
    const char *cache_dtype;
    bool prefix_caching;
};
status metrics_create(struct metrics **, const struct metrics_options *, struct error *);
void metrics_destroy(struct metrics *);
/* The label model_name; before anything is written. */
void metrics_set_model_name(struct metrics *, const char *);

/* For serve_options.on_finished and on_step, with the metrics as their user. */
void metrics_finished(void *metrics, const struct serve_finished *);
void metrics_step(void *metrics, int64_t duration_us, const struct engine_stats *);
/* For http_server_options.on_access. */
void metrics_access(struct metrics *, const struct http_access *);

/* Appends everything. `service` and `http` are what holds now; either may be NULL. */
status metrics_write(struct metrics *, const struct engine_service_stats *service,
                     const struct http_counts *http, struct strbuf *out);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
