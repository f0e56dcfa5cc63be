#define _GNU_SOURCE
#include "checkpoint/convert.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/journal.h"
#include "base/sha256.h"
#include "checkpoint/convert_plan.h"
#include "tensor/quant.h"

enum {
    CHUNK_ELEMENTS = 1 << 20,
    SYNC_BYTES =
        256 << 20, /* so much, or what is done in so much time, may be lost by an interruption */
    SYNC_US = 300000,
};

struct run {
    struct convert_plan *plan;
    struct error *err;
    char *buffers; /* for each worker: a chunk as floats, and as bytes */
    size_t worker_bytes, float_bytes;
    uint64_t done, total;
    enum convert_phase phase;
    double squares, error_squares; /* of what was quantised */
    struct journal journal;
    struct strbuf pending; /* lines of the journal that wait for their bytes to be on the disk */
    uint64_t pending_bytes;
    int64_t synced_us;
};

/* One tensor, shared among the workers by chunks of rows. */
struct job {
    struct run *run;
    struct convert_item *item;
    int64_t chunk_rows, n_chunks, next;
    uint64_t digest
        [2]; /* atomic: chunks come in any order, their digests are combined by exclusive or */
    double squares, error_squares;
    int lock, failed; /* failed: atomic; the first error is kept */
    status result;
    struct error error;
};

/* ---- one chunk ---- */

static void fail(struct job *job, status result, const struct error *error)
{
    while (__atomic_exchange_n(&job->lock, 1, __ATOMIC_ACQUIRE))
        ;
    if (!job->failed) {
        job->result = result;
        job->error = *error;
    }
    __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&job->lock, 0, __ATOMIC_RELEASE);
}

static void add_digest(struct job *job, int64_t chunk, const void *data, size_t size)
{
    struct siphash_key key = {{(uint64_t)chunk, 0x7477}};
    struct siphash_digest digest = siphash_128(key, data, size);
    __atomic_fetch_xor(&job->digest[0], digest.words[0], __ATOMIC_RELAXED);
    __atomic_fetch_xor(&job->digest[1], digest.words[1], __ATOMIC_RELAXED);
}

/* Numbers that the new type cannot hold are refused, not bent. */
static status check_values(const struct convert_item *item, int64_t row, const float *x,
                           struct error *err)
{
    float most = item->to.dtype == DTYPE_F16 ? 65504.0f : INFINITY;
    for (int64_t i = 0; i < item->columns; i++) {
        if (fabsf(x[i]) < INFINITY && fabsf(x[i]) <= most) continue;
        return error_set(err, STATUS_FORMAT,
                         "tensor \"%s\": element %" PRId64 " of row %" PRId64
                         " is %g, which %s cannot hold",
                         item->name, i, row, (double)x[i], dtype_name(item->to.dtype));
    }
    return STATUS_OK;
}

static void add_error(struct job *job, const float *x, const void *row, float *scratch)
{
    const struct convert_item *item = job->item;
    double squares = 0, error = 0;
    quant_to_float(item->to.dtype, row, item->columns, scratch);
    for (int64_t i = 0; i < item->columns; i++) {
        double difference = (double)x[i] - (double)scratch[i];
        squares += (double)x[i] * (double)x[i];
        error += difference * difference;
    }
    while (__atomic_exchange_n(&job->lock, 1, __ATOMIC_ACQUIRE))
        ;
    job->squares += squares;
    job->error_squares += error;
    __atomic_store_n(&job->lock, 0, __ATOMIC_RELEASE);
}

/* Rows [first, first + n) of the output, into bytes. */
static status make_rows(struct job *job, int64_t first, int64_t n, float *x, char *bytes,
                        struct error *err)
{
    const struct convert_item *item = job->item;
    size_t from_bytes, to_bytes;
    dtype_bytes(item->from.dtype, item->columns, &from_bytes);
    dtype_bytes(item->to.dtype, item->columns, &to_bytes);
    bool same = item->from.dtype == item->to.dtype;
    for (int64_t r = 0; r < n; r++, bytes += to_bytes) {
        int64_t source = convert_source_row(job->run->plan, item, first + r);
        const char *from = (const char *)item->from.data + (size_t)source * from_bytes;
        if (same) {
            memcpy(bytes, from, to_bytes);
            continue;
        }
        quant_to_float(item->from.dtype, from, item->columns, x);
        TRY(check_values(item, source, x, err));
        quant_from_float(item->to.dtype, x, item->columns, item->importance, bytes);
        if (dtype_is_quantised(item->to.dtype)) add_error(job, x, bytes, x + item->columns);
    }
    return STATUS_OK;
}

static void advance(struct job *job, int worker, size_t size)
{
    struct run *run = job->run;
    const struct convert_options *o = run->plan->options;
    uint64_t done = __atomic_add_fetch(&run->done, size, __ATOMIC_RELAXED);
    struct error error = {0};
    if (worker == 0 && o->progress && !o->progress(o->argument, run->phase, done, run->total))
        fail(job, error_set(&error, STATUS_CANCELLED, "the conversion was stopped"), &error);
}

static void work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct job *job = argument;
    const struct convert_item *item = job->item;
    struct run *run = job->run;
    const struct file_sink *sink = &run->plan->parts[item->part].sink;
    float *x = (float *)(run->buffers + (size_t)worker * run->worker_bytes);
    char *bytes = (char *)x + run->float_bytes;
    size_t row_bytes = item->bytes / (size_t)item->rows;
    int64_t chunk;
    while (!__atomic_load_n(&job->failed, __ATOMIC_RELAXED) &&
           (chunk = thread_take(&job->next, 1, job->n_chunks)) >= 0) {
        int64_t first = chunk * job->chunk_rows, left = item->rows - first;
        int64_t n = left < job->chunk_rows ? left : job->chunk_rows;
        size_t size = (size_t)n * row_bytes;
        uint64_t offset = item->offset + (uint64_t)first * row_bytes;
        struct error error = {0};
        status result;
        if (run->phase == CONVERT_WRITING) {
            result = make_rows(job, first, n, x, bytes, &error);
            if (result == STATUS_OK) result = file_sink_write(sink, offset, bytes, size, &error);
        } else {
            result = file_sink_read(sink, offset, bytes, size, &error);
        }
        if (result != STATUS_OK) {
            fail(job, result, &error);
            return;
        }
        add_digest(job, chunk, bytes, size);
        advance(job, worker, size);
    }
}

static int64_t chunk_rows_of(const struct convert_item *item)
{
    int64_t rows = CHUNK_ELEMENTS / item->columns;
    return rows < 1 ? 1 : rows;
}

/* Writes a tensor, or reads it back; its digest into *digest. */
static status run_item(struct run *run, struct convert_item *item, struct siphash_digest *digest)
{
    struct job job = {.run = run, .item = item, .chunk_rows = chunk_rows_of(item)};
    job.n_chunks = (item->rows + job.chunk_rows - 1) / job.chunk_rows;
    thread_pool_share(run->plan->options->threads, work, &job);
    if (job.failed) {
        if (run->err) *run->err = job.error;
        return job.result;
    }
    *digest = (struct siphash_digest){{job.digest[0], job.digest[1]}};
    run->squares += job.squares;
    run->error_squares += job.error_squares;
    return STATUS_OK;
}

/* ---- the journal ---- */

/* Everything that the bytes of the output depend on. */
static status name_task(const struct convert_plan *plan, char out[SHA256_HEX + 16],
                        struct error *err)
{
    struct sha256 sha;
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX];
    const struct tensor_set *tensors = plan->checkpoint->tensors;
    sha256_begin(&sha);
    for (size_t p = 0; p < plan->n_parts; p++) {
        sha256_update(&sha, plan->parts[p].path, strlen(plan->parts[p].path) + 1);
        sha256_update(&sha, plan->parts[p].head.data, plan->parts[p].head.size);
    }
    for (size_t i = 0; i < plan->n_items; i++)
        if (plan->items[i].importance)
            sha256_update(&sha, plan->items[i].importance,
                          (size_t)plan->items[i].columns * sizeof(float));
    for (size_t i = 0; i < tensors->n_ranges && !plan->checkpoint->is_embedded; i++) {
        struct stat info;
        if (stat(tensors->ranges[i].file, &info) != 0)
            return error_set(err, STATUS_IO, "%s: cannot stat it", tensors->ranges[i].file);
        int64_t numbers[] = {(int64_t)info.st_size, (int64_t)info.st_mtim.tv_sec,
                             (int64_t)info.st_mtim.tv_nsec, (int64_t)info.st_ino};
        sha256_update(&sha, tensors->ranges[i].file, strlen(tensors->ranges[i].file) + 1);
        sha256_update(&sha, numbers, sizeof numbers);
    }
    sha256_finish(&sha, digest);
    sha256_write_hex(digest, hex);
    snprintf(out, SHA256_HEX + 16, "twllm-convert 1 %s", hex);
    return STATUS_OK;
}

static status flush_journal(struct run *run, struct error *err)
{
    if (run->pending.size == 0) return STATUS_OK;
    for (size_t p = 0; p < run->plan->n_parts; p++)
        TRY(file_sink_sync(&run->plan->parts[p].sink, err));
    TRY(journal_append(&run->journal, strbuf_view(&run->pending), err));
    strbuf_clear(&run->pending);
    run->pending_bytes = 0;
    run->synced_us = clock_monotonic_us();
    return STATUS_OK;
}

static status note_item(struct run *run, size_t index, struct error *err)
{
    struct convert_item *item = &run->plan->items[index];
    status result = strbuf_appendf(&run->pending, "%zu %016" PRIx64 " %016" PRIx64 "\n", index,
                                   item->digest.words[0], item->digest.words[1]);
    if (result != STATUS_OK) return error_set(err, result, "the journal: no memory");
    item->is_done = true;
    run->pending_bytes += item->bytes;
    bool due = run->pending_bytes >= SYNC_BYTES || clock_monotonic_us() - run->synced_us >= SYNC_US;
    return due ? flush_journal(run, err) : STATUS_OK;
}

/* Marks the tensors that the journal lists; each is read back before it is believed. */
static status resume(struct run *run, struct str lines, struct convert_report *report)
{
    struct convert_plan *plan = run->plan;
    for (size_t p = 0; p < plan->n_parts; p++)
        if (!plan->parts[p].sink.resumed) return STATUS_OK;
    enum convert_phase phase = run->phase;
    run->phase = CONVERT_VERIFYING;
    status result = STATUS_OK;
    for (size_t at = 0; at < lines.size && result == STATUS_OK;) {
        struct str rest = str_slice(lines, at, lines.size);
        size_t length = (size_t)str_find(rest, STR("\n"));
        char line[96];
        size_t index;
        struct siphash_digest said, found;
        at += length + 1;
        snprintf(line, sizeof line, "%.*s", (int)(length < 95 ? length : 95), rest.data);
        if (sscanf(line, "%zu %" SCNx64 " %" SCNx64, &index, &said.words[0], &said.words[1]) != 3 ||
            index >= plan->n_items || plan->items[index].is_done)
            continue;
        struct convert_item *item = &plan->items[index];
        result = run_item(run, item, &found);
        if (result != STATUS_OK || !siphash_equal(said, found)) {
            run->done -= result == STATUS_OK ? item->bytes : 0;
            continue;
        }
        item->digest = said;
        item->is_done = true;
        report->resumed_bytes += item->bytes;
    }
    run->phase = phase;
    return result;
}

/* ---- the whole ---- */

static status open_parts(struct run *run, bool may_resume, struct error *err)
{
    struct convert_plan *plan = run->plan;
    for (size_t p = 0; p < plan->n_parts; p++) {
        struct convert_part *part = &plan->parts[p];
        TRY(file_sink_open(&part->sink, part->path, part->size, may_resume, err));
        TRY(file_sink_write(&part->sink, 0, part->head.data, part->head.size, err));
    }
    return STATUS_OK;
}

static status write_items(struct run *run, struct error *err)
{
    struct convert_plan *plan = run->plan;
    for (size_t i = 0; i < plan->n_items; i++) {
        struct convert_item *item = &plan->items[i];
        if (item->is_done) continue;
        TRY(run_item(run, item, &item->digest));
        if (item->is_mapped) tensor_set_release(&item->from);
        TRY(note_item(run, i, err));
    }
    return flush_journal(run, err);
}

/* The head and every tensor once more from the disk. */
static status verify(struct run *run, struct error *err)
{
    struct convert_plan *plan = run->plan;
    run->phase = CONVERT_VERIFYING;
    run->done = 0;
    for (size_t p = 0; p < plan->n_parts; p++) {
        struct convert_part *part = &plan->parts[p];
        struct strbuf head = {0};
        file_sink_forget(&part->sink);
        status result = strbuf_reserve(&head, part->head.size);
        if (result != STATUS_OK) return error_set(err, result, "%s: no memory", part->path);
        result = file_sink_read(&part->sink, 0, head.data, part->head.size, err);
        if (result == STATUS_OK && memcmp(head.data, part->head.data, part->head.size) != 0)
            result = error_set(err, STATUS_IO, "%s: the head reads back differently", part->path);
        strbuf_deinit(&head);
        TRY(result);
    }
    for (size_t i = 0; i < plan->n_items; i++) {
        struct siphash_digest found;
        TRY(run_item(run, &plan->items[i], &found));
        if (!siphash_equal(found, plan->items[i].digest))
            return error_set(err, STATUS_IO, "%s: tensor \"%s\" reads back differently",
                             plan->parts[plan->items[i].part].path, plan->items[i].name);
    }
    return STATUS_OK;
}

static status write_beside(const struct convert_plan *plan, const char *name,
                           const struct strbuf *text, struct error *err)
{
    struct strbuf path = {0};
    status result = file_join(&path, str_of(plan->output), str_of(name));
    if (result != STATUS_OK) error_set(err, result, "%s: no memory", name);
    if (result == STATUS_OK && text->size)
        result = file_write_atomic(path.data, strbuf_view(text), err);
    else if (result == STATUS_OK)
        unlink(path.data); /* of a conversion that came before: it would be read in place of ours */
    strbuf_deinit(&path);
    return result;
}

/* The first file last: without it a split model is none; of a folder, config.json. */
static status commit(struct run *run, struct error *err)
{
    struct convert_plan *plan = run->plan;
    for (size_t p = plan->n_parts; p-- > 0;) TRY(file_sink_commit(&plan->parts[p].sink, err));
    if (!plan->options->to_safetensors) return STATUS_OK;
    const struct strbuf none = {0};
    TRY(write_beside(plan, "model.safetensors.index.json", &plan->index, err));
    if (plan->n_parts > 1) TRY(write_beside(plan, "model.safetensors", &none, err));
    TRY(write_beside(plan, "tokenizer.json", &plan->tokenizer_json, err));
    TRY(write_beside(plan, "tokenizer_config.json", &plan->tokenizer_config, err));
    TRY(write_beside(plan, "generation_config.json", &plan->generation, err));
    return write_beside(plan, "config.json", &plan->config, err);
}

static status allocate(struct run *run, struct error *err)
{
    size_t elements = CHUNK_ELEMENTS;
    int n_workers = thread_pool_size(run->plan->options->threads);
    for (size_t i = 0; i < run->plan->n_items; i++)
        if ((size_t)run->plan->items[i].columns > elements)
            elements = (size_t)run->plan->items[i].columns;
    /* A row as floats and once more for its error; a chunk of bytes, at most four for each element. */
    run->float_bytes = 2 * elements * sizeof(float);
    run->worker_bytes = run->float_bytes + elements * sizeof(float);
    run->buffers = aligned_alloc(64, (size_t)n_workers * run->worker_bytes);
    return run->buffers ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for buffers");
}

static status run_all(struct run *run, struct convert_report *report, struct error *err)
{
    struct convert_plan *plan = run->plan;
    char task[SHA256_HEX + 16];
    struct strbuf path = {0}, lines = {0};
    TRY(name_task(plan, task, err));
    TRY(allocate(run, err));
    status result = strbuf_appendf(&path, "%s.journal", plan->parts[0].path);
    if (result != STATUS_OK) return error_set(err, result, "no memory for a path");
    result = journal_open(&run->journal, path.data, str_of(task), &lines, err);
    if (result == STATUS_OK) result = open_parts(run, lines.size > 0, err);
    if (result == STATUS_OK) result = resume(run, strbuf_view(&lines), report);
    if (result == STATUS_OK) result = write_items(run, err);
    if (result == STATUS_OK) result = verify(run, err);
    if (result == STATUS_OK) result = commit(run, err);
    bool useless = result == STATUS_NO_SPACE && report->resumed_bytes == 0 && run->done == 0;
    for (size_t p = 0; useless && run->journal.fd >= 0 && p < plan->n_parts; p++)
        file_sink_close(&plan->parts[p].sink, true);
    journal_close(&run->journal, run->journal.fd >= 0 && (result == STATUS_OK || useless));
    strbuf_deinit(&path);
    strbuf_deinit(&lines);
    return result;
}

static void fill_report(const struct run *run, struct convert_report *report)
{
    const struct convert_plan *plan = run->plan;
    report->bytes = plan->total_bytes;
    report->n_files = plan->n_parts;
    report->n_tensors = plan->n_items;
    report->n_without_importance = plan->n_without_importance;
    for (size_t i = 0; i < plan->n_items; i++)
        report->n_parameters += plan->items[i].rows * plan->items[i].columns;
    report->bits_per_weight = 8 * (double)report->bytes / (double)report->n_parameters;
    report->error = run->squares > 0 ? sqrt(run->error_squares / run->squares) : 0;
}

status convert_run(const struct checkpoint *checkpoint, const char *output,
                   const struct convert_options *options, struct convert_report *report,
                   struct error *err)
{
    struct convert_plan plan;
    *report = (struct convert_report){0};
    TRY(convert_plan_make(&plan, checkpoint, output, options, err));
    struct run run = {.plan = &plan,
                      .err = err,
                      .total = plan.total_bytes,
                      .journal = {.fd = -1},
                      .synced_us = clock_monotonic_us()};
    status result = STATUS_OK;
    if (options->to_safetensors && !file_is_directory(output) && mkdir(output, 0777) != 0)
        result = error_set(err, STATUS_IO, "%s: cannot make this folder", output);
    if (result == STATUS_OK) result = run_all(&run, report, err);
    if (result == STATUS_OK) fill_report(&run, report);
    free(run.buffers);
    strbuf_deinit(&run.pending);
    convert_plan_deinit(&plan);
    return result;
}
