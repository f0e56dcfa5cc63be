#include "eval/perplexity.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/file_sink.h"

enum { HEAD_BYTES = 20, ROW_HEAD = 4 /* in levels: two floats */ };
static const float FLOOR =
    16; /* what lies further below the best is not told apart in a base file */

/* Sums over the counted tokens, in their order. */
struct sums {
    double nll, nll_squares, base, base_squares, product;
    double kl, kl_squares, difference_squares;
    int64_t n, n_same_top;
};

/* What one row of logits says. */
struct row {
    float nll, base_nll, kl;
    bool same_top;
};

struct measure {
    const struct perplexity_options *options;
    struct windows *windows;
    int64_t n_vocab, first, n_rows; /* counted rows of a window */
    size_t row_levels;              /* of a base file */
    int64_t chunk;
    token_id *tokens; /* of the window, as the text has them */
    struct sums sums;
    struct row *rows; /* of one call */
    float *kl_values; /* all of them */
    /* of the call that is running */
    const float *logits;
    int64_t row, n, next;
    uint16_t *levels; /* to be written, or those read */
    /* files */
    struct file_sink sink;
    struct file_map map;
    uint64_t offset;
};

/* ---- one row ---- */

static float largest(const float *x, int64_t n, int64_t *at)
{
    *at = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[*at]) *at = i;
    return x[*at];
}

static float log_of_sum(const float *x, int64_t n, float most)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)expf(x[i] - most);
    return (float)log(sum);
}

static void write_levels(const float *x, int64_t n, float most, float log_sum, uint16_t *out)
{
    float least = most;
    for (int64_t i = 0; i < n; i++) least = x[i] < least ? x[i] : least;
    if (least < most - FLOOR) least = most - FLOOR;
    const float head[2] = {(most - least) / 65535.0f, least - most - log_sum};
    float inverse = head[0] > 0 ? 1 / head[0] : 0;
    memcpy(out, head, sizeof head);
    for (int64_t i = 0; i < n; i++)
        out[ROW_HEAD + i] = x[i] > least ? (uint16_t)lrintf(inverse * (x[i] - least)) : (uint16_t)0;
    if (n % 2) out[ROW_HEAD + n] = 0;
}

static void compare(const float *x, int64_t n, float normal, int64_t top, token_id right,
                    const uint16_t *base, struct row *row)
{
    float head[2];
    memcpy(head, base, sizeof head);
    base += ROW_HEAD;
    int64_t base_top = 0;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        float log_base = head[0] * (float)base[i] + head[1];
        if (base[i] > base[base_top]) base_top = i;
        if (log_base > -FLOOR) sum += (double)(expf(log_base) * (log_base - x[i] + normal));
    }
    row->base_nll = -(head[0] * (float)base[right] + head[1]);
    row->kl = (float)sum;
    row->same_top = top == base_top;
}

static void row_work(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct measure *m = argument;
    int64_t i;
    while ((i = thread_take(&m->next, 1, m->n)) >= 0) {
        const float *x = m->logits + i * m->n_vocab;
        uint16_t *levels = m->levels ? m->levels + (size_t)i * m->row_levels : NULL;
        token_id right = m->tokens[m->row + i + 1];
        int64_t top;
        float most = largest(x, m->n_vocab, &top), log_sum = log_of_sum(x, m->n_vocab, most);
        struct row *row = &m->rows[i];
        row->nll = most + log_sum - x[right];
        if (levels && m->options->write_base) write_levels(x, m->n_vocab, most, log_sum, levels);
        if (levels && m->options->read_base)
            compare(x, m->n_vocab, most + log_sum, top, right, levels, row);
    }
}

static void add_row(struct measure *m, const struct row *row)
{
    struct sums *s = &m->sums;
    double a = (double)row->nll, b = (double)row->base_nll, kl = (double)row->kl;
    s->nll += a;
    s->nll_squares += a * a;
    if (m->options->read_base) {
        double difference = exp(-a) - exp(-b);
        s->base += b;
        s->base_squares += b * b;
        s->product += a * b;
        s->kl += kl;
        s->kl_squares += kl * kl;
        s->difference_squares += difference * difference;
        s->n_same_top += row->same_top;
        m->kl_values[s->n] = row->kl;
    }
    s->n++;
}

static status take_rows(void *argument, const float *logits, int64_t first, int64_t n,
                        struct error *err)
{
    struct measure *m = argument;
    int64_t end = m->first + m->n_rows; /* the last position predicts what is not in the window */
    if (first + n > end) n = end - first;
    if (n <= 0) return STATUS_OK;
    m->logits = logits;
    m->row = first;
    m->n = n;
    m->next = 0;
    size_t bytes = (size_t)n * m->row_levels * sizeof(uint16_t);
    if (m->options->read_base) memcpy(m->levels, m->map.data + m->offset, bytes);
    thread_pool_share(m->options->threads, row_work, m);
    for (int64_t i = 0; i < n; i++) add_row(m, &m->rows[i]);
    if (m->options->write_base) TRY(file_sink_write(&m->sink, m->offset, m->levels, bytes, err));
    m->offset += bytes;
    return STATUS_OK;
}

/* ---- base files ---- */

static uint64_t base_bytes(const struct measure *m, int64_t n_ctx, int64_t n_chunks)
{
    return HEAD_BYTES +
           (uint64_t)n_chunks * ((uint64_t)n_ctx * 4 + (uint64_t)m->n_rows * m->row_levels * 2);
}

static status create_base(struct measure *m, const struct perplexity_result *r, struct error *err)
{
    const struct perplexity_options *o = m->options;
    unsigned char head[HEAD_BYTES] = "_logits_";
    const int32_t numbers[3] = {(int32_t)r->n_ctx, (int32_t)m->n_vocab, (int32_t)r->n_chunks};
    memcpy(head + 8, numbers, sizeof numbers);
    size_t tokens = (size_t)(r->n_chunks * r->n_ctx) * sizeof(int32_t);
    TRY(file_sink_open(&m->sink, o->write_base, base_bytes(m, r->n_ctx, r->n_chunks), false, err));
    TRY(file_sink_write(&m->sink, 0, head, sizeof head, err));
    TRY(file_sink_write(&m->sink, HEAD_BYTES, o->tokens, tokens, err));
    m->offset = HEAD_BYTES + tokens;
    return STATUS_OK;
}

/* The head of a base file; n_chunks and n_ctx from it. */
static status open_base(struct measure *m, struct perplexity_result *r, struct error *err)
{
    const char *path = m->options->read_base;
    int32_t n[3] = {0};
    TRY(file_map_open(&m->map, path, err));
    if (m->map.size < HEAD_BYTES || memcmp(m->map.data, "_logits_", 8) != 0)
        return error_set(err, STATUS_FORMAT, "%s: not a file of log-probabilities", path);
    memcpy(n, m->map.data + 8, sizeof n);
    if (n[1] != m->n_vocab)
        return error_set(err, STATUS_FORMAT,
                         "%s: made with a vocabulary of %" PRId32 ", the model has %" PRId64, path,
                         n[1], m->n_vocab);
    if (n[0] < 8 || n[2] < 1 || n[0] > 1 << 28)
        return error_set(err, STATUS_FORMAT,
                         "%s: windows of %" PRId32 " tokens, %" PRId32 " of them", path, n[0],
                         n[2]);
    r->n_ctx = n[0];
    r->n_chunks = n[2];
    m->first = r->n_ctx / 2;
    m->n_rows = r->n_ctx - 1 - m->first;
    if (base_bytes(m, r->n_ctx, r->n_chunks) != m->map.size)
        return error_set(err, STATUS_FORMAT, "%s: %zu bytes, expected %" PRIu64, path, m->map.size,
                         base_bytes(m, r->n_ctx, r->n_chunks));
    m->offset = HEAD_BYTES + (uint64_t)r->n_chunks * (uint64_t)r->n_ctx * 4;
    return STATUS_OK;
}

/* ---- the whole ---- */

static status count_chunks(struct measure *m, struct perplexity_result *r, struct error *err)
{
    const struct perplexity_options *o = m->options;
    if (o->read_base) {
        TRY(open_base(m, r, err));
    } else {
        r->n_ctx = o->n_ctx;
        m->first = r->n_ctx / 2;
        m->n_rows = r->n_ctx - 1 - m->first;
        r->n_chunks = (int64_t)o->n_tokens / r->n_ctx;
        if (r->n_chunks < 2)
            return error_set(err, STATUS_INVALID,
                             "the text has %zu tokens: at least %" PRId64
                             " are needed, two windows",
                             o->n_tokens, 2 * r->n_ctx);
    }
    if (o->max_chunks && o->max_chunks < r->n_chunks) r->n_chunks = o->max_chunks;
    return STATUS_OK;
}

static status allocate(struct measure *m, const struct perplexity_result *r, struct error *err)
{
    const struct perplexity_options *o = m->options;
    const struct windows_options windows = {r->n_ctx, o->threads, o->table, o->kv_dtype};
    TRY(windows_create(&m->windows, o->model, &windows, err));
    m->tokens = calloc((size_t)r->n_ctx * 2, sizeof *m->tokens);
    m->rows = calloc((size_t)m->n_rows, sizeof *m->rows);
    m->kl_values = calloc((size_t)(r->n_chunks * m->n_rows), sizeof *m->kl_values);
    if (o->read_base || o->write_base)
        m->levels = calloc((size_t)m->n_rows * m->row_levels, sizeof *m->levels);
    bool lacks = !m->levels && (o->read_base || o->write_base);
    if (m->tokens && m->rows && m->kl_values && !lacks) return STATUS_OK;
    return error_set(err, STATUS_NO_MEMORY, "no memory for the rows of a window");
}

/* m->tokens: the window as it is, then as the model sees it. */
static status load_window(struct measure *m, int64_t n_ctx, struct error *err)
{
    const struct perplexity_options *o = m->options;
    size_t bytes = (size_t)n_ctx * sizeof(token_id);
    const unsigned char *from =
        o->read_base ? m->map.data + HEAD_BYTES : (const unsigned char *)o->tokens;
    memcpy(m->tokens, from + (size_t)m->chunk * bytes, bytes);
    memcpy(m->tokens + n_ctx, m->tokens, bytes);
    if (o->bos != TOKEN_NONE) m->tokens[n_ctx] = o->bos;
    for (int64_t i = 0; i < n_ctx; i++)
        if (m->tokens[i] < 0 || m->tokens[i] >= m->n_vocab)
            return error_set(err, STATUS_FORMAT,
                             "window %" PRId64 ": token %d is outside the model's vocabulary of "
                             "%" PRId64,
                             m->chunk, m->tokens[i], m->n_vocab);
    return STATUS_OK;
}

static status run_windows(struct measure *m, const struct perplexity_result *r, struct error *err)
{
    const struct windows_callbacks callbacks = {.rows = take_rows, .argument = m};
    const struct perplexity_options *o = m->options;
    for (m->chunk = 0; m->chunk < r->n_chunks; m->chunk++) {
        TRY(load_window(m, r->n_ctx, err));
        TRY(windows_run(m->windows, m->tokens + r->n_ctx, m->first, &callbacks, err));
        double mean = m->sums.nll / (double)m->sums.n;
        if (!isfinite(mean))
            return error_set(err, STATUS_FORMAT,
                             "window %" PRId64 ": the model's log-probabilities are not finite",
                             m->chunk);
        if (o->progress && !o->progress(o->argument, m->chunk + 1, r->n_chunks, exp(mean)))
            return error_set(err, STATUS_CANCELLED, "stopped");
    }
    return STATUS_OK;
}

static struct perplexity_mean mean_of(double sum, double squares, int64_t n)
{
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    return (struct perplexity_mean){mean, variance > 0 ? sqrt(variance / (double)(n - 1)) : 0};
}

static struct perplexity_mean exp_of(struct perplexity_mean m)
{
    return (struct perplexity_mean){exp(m.value), exp(m.value) * m.error};
}

static int float_compare(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return a < b ? -1 : a > b;
}

static double quantile(const float *sorted, int64_t n, double fraction)
{
    double place = fraction * (double)(n - 1);
    int64_t i = (int64_t)place;
    double rest = place - (double)i, low = (double)sorted[i];
    return i + 1 < n ? (1 - rest) * low + rest * (double)sorted[i + 1] : low;
}

static void fill_result(const struct measure *m, struct perplexity_result *r)
{
    const struct sums *s = &m->sums;
    double n = (double)s->n;
    struct perplexity_mean log_ppl = mean_of(s->nll, s->nll_squares, s->n);
    r->n_counted = s->n;
    r->ppl = exp_of(log_ppl);
    if (!m->options->read_base) return;
    struct perplexity_mean base = mean_of(s->base, s->base_squares, s->n);
    double covariance = (s->product / n - s->nll / n * (s->base / n)) / (n - 1);
    double variance = log_ppl.error * log_ppl.error + base.error * base.error - 2 * covariance;
    double same = (double)s->n_same_top / n;
    r->base_ppl = exp_of(base);
    r->log_ratio =
        (struct perplexity_mean){log_ppl.value - base.value, variance > 0 ? sqrt(variance) : 0};
    r->kl = mean_of(s->kl, s->kl_squares, s->n);
    r->same_top = (struct perplexity_mean){same, sqrt(same * (1 - same) / (n - 1))};
    r->rms_difference = sqrt(s->difference_squares / n);
    qsort(m->kl_values, (size_t)s->n, sizeof *m->kl_values, float_compare);
    r->kl_median = quantile(m->kl_values, s->n, 0.5);
    r->kl_p99 = quantile(m->kl_values, s->n, 0.99);
    r->kl_most = (double)m->kl_values[s->n - 1];
}

status perplexity_run(const struct perplexity_options *options, struct perplexity_result *r,
                      struct error *err)
{
    *r = (struct perplexity_result){0};
    int64_t n_vocab = llama_model_config(options->model)->vocab_size;
    struct measure m = {.options = options,
                        .n_vocab = n_vocab,
                        .row_levels = (size_t)((n_vocab + 1) / 2 * 2 + ROW_HEAD),
                        .sink = {.fd = -1}};
    status result = count_chunks(&m, r, err);
    if (result == STATUS_OK) result = allocate(&m, r, err);
    if (result == STATUS_OK && options->write_base) result = create_base(&m, r, err);
    if (result == STATUS_OK) result = run_windows(&m, r, err);
    if (result == STATUS_OK && options->write_base) result = file_sink_commit(&m.sink, err);
    if (result == STATUS_OK) fill_result(&m, r);
    file_sink_close(&m.sink, true);
    file_map_close(&m.map);
    windows_destroy(m.windows);
    free(m.tokens);
    free(m.rows);
    free(m.kl_values);
    free(m.levels);
    return result;
}
