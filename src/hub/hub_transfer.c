#define _GNU_SOURCE
#include "hub/hub_transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sha1.h"
#include "base/sha256.h"

enum {
    DEFAULT_CONNECTIONS = 8,
    MOST_CONNECTIONS = 64,
    MOST_FAILURES = 6, /* of one part, one after another, without a byte between them */
    HEAD_BYTES = 64,   /* of the record of parts, in front of the marks */
    POLL_NS = 100 * 1000 * 1000,
};
static const uint64_t least_part = 16 << 20, most_part = 64 << 20, parts_wanted = 128;

/* ---- the record of parts ---- */

static uint64_t part_size_of(uint64_t size)
{
    uint64_t part = (size / parts_wanted + least_part - 1) / least_part * least_part;
    return part < least_part ? least_part : part > most_part ? most_part : part;
}

struct file_state {
    const struct hub_transfer *transfer;
    uint64_t part_size;
    size_t n_parts, n_left; /* n_left under the lock */
    char *marks;            /* (n_parts): '1' when done */
    int fd, record;
};

static status failed(const char *path, const char *what, struct error *err)
{
    return error_set(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, "%s: cannot %s: %s", path,
                     what, strerror(errno));
}

static void head_text(const struct file_state *f, char out[HEAD_BYTES + 1])
{
    int n = snprintf(out, HEAD_BYTES + 1, "twllm %llu %llu", (unsigned long long)f->transfer->size,
                     (unsigned long long)f->part_size);
    memset(out + n, ' ', HEAD_BYTES - 1 - (size_t)n);
    out[HEAD_BYTES - 1] = '\n';
    out[HEAD_BYTES] = '\0';
}

static status side_path(const struct hub_transfer *t, const char *suffix, struct strbuf *out)
{
    strbuf_clear(out);
    return strbuf_appendf(out, "%s%s", t->path, suffix);
}

/* Fills `marks` from what is on the disk: all '0' unless it is a record of this very file. */
static void read_marks(struct file_state *f, const char *data_path, int record)
{
    char head[HEAD_BYTES + 1], found[HEAD_BYTES];
    struct stat data;
    head_text(f, head);
    memset(f->marks, '0', f->n_parts);
    bool same = pread(record, found, HEAD_BYTES, 0) == HEAD_BYTES &&
                !memcmp(head, found, HEAD_BYTES) && stat(data_path, &data) == 0 &&
                (uint64_t)data.st_size == f->transfer->size;
    if (same && pread(record, f->marks, f->n_parts, HEAD_BYTES) != (ssize_t)f->n_parts)
        memset(f->marks, '0', f->n_parts);
    for (size_t i = 0; i < f->n_parts; i++)
        if (!same || f->marks[i] != '1') f->marks[i] = '0';
}

static status state_init(struct file_state *f, const struct hub_transfer *t, struct error *err)
{
    *f = (struct file_state){.transfer = t, .fd = -1, .record = -1};
    f->part_size = part_size_of(t->size);
    f->n_parts = (size_t)((t->size + f->part_size - 1) / f->part_size);
    f->marks = malloc(f->n_parts + 1);
    return f->marks ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "%s: no memory", t->name);
}

static uint64_t part_bytes(const struct file_state *f, size_t part)
{
    uint64_t from = (uint64_t)part * f->part_size, left = f->transfer->size - from;
    return left < f->part_size ? left : f->part_size;
}

static uint64_t marked_bytes(const struct file_state *f)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->n_parts; i++)
        if (f->marks[i] == '1') bytes += part_bytes(f, i);
    return bytes;
}

uint64_t hub_transfer_bytes_there(const struct hub_transfer *t)
{
    struct file_state f;
    struct strbuf data = {0}, record = {0};
    uint64_t bytes = 0;
    if (state_init(&f, t, NULL) == STATUS_OK && side_path(t, ".twllm", &data) == STATUS_OK &&
        side_path(t, ".twllm-parts", &record) == STATUS_OK) {
        int fd = open(record.data, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            read_marks(&f, data.data, fd);
            bytes = marked_bytes(&f);
            close(fd);
        }
    }
    free(f.marks);
    strbuf_deinit(&data);
    strbuf_deinit(&record);
    return bytes;
}

static status state_open(struct file_state *f, struct error *err)
{
    struct strbuf data = {0}, record = {0};
    char head[HEAD_BYTES + 1];
    status result = side_path(f->transfer, ".twllm", &data);
    if (result == STATUS_OK) result = side_path(f->transfer, ".twllm-parts", &record);
    if (result != STATUS_OK) error_set(err, result, "%s: no memory", f->transfer->name);
    if (result == STATUS_OK) {
        f->fd = open(data.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        f->record = open(record.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (f->fd < 0 || f->record < 0) result = failed(f->transfer->path, "open its parts", err);
    }
    if (result == STATUS_OK) {
        read_marks(f, data.data, f->record);
        head_text(f, head);
        if (ftruncate(f->fd, (off_t)f->transfer->size) ||
            pwrite(f->record, head, HEAD_BYTES, 0) != HEAD_BYTES ||
            pwrite(f->record, f->marks, f->n_parts, HEAD_BYTES) != (ssize_t)f->n_parts)
            result = failed(f->transfer->path, "write", err);
        for (size_t i = 0; i < f->n_parts; i++) f->n_left += f->marks[i] != '1';
    }
    strbuf_deinit(&data);
    strbuf_deinit(&record);
    return result;
}

static void state_close(struct file_state *f)
{
    if (f->fd >= 0) close(f->fd);
    if (f->record >= 0) close(f->record);
    f->fd = f->record = -1;
    free(f->marks);
    f->marks = NULL;
}

/* ---- one whole file ---- */

/* The digest that the name is, or empty when the name is none. */
static status digest_of(const struct file_state *f, char out[SHA256_HEX], struct error *err)
{
    const struct hub_transfer *t = f->transfer;
    size_t digits = strlen(t->etag), capacity = 1 << 20;
    struct sha256 sha256;
    struct sha1 sha1;
    unsigned char digest[SHA256_BYTES];
    char head[32], *buffer = malloc(capacity);
    out[0] = '\0';
    if (!buffer) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", t->name);
    sha256_begin(&sha256);
    sha1_begin(&sha1);
    sha1_update(&sha1, head,
                (size_t)snprintf(head, sizeof head, "blob %llu", (unsigned long long)t->size) + 1);
    status result = STATUS_OK;
    for (uint64_t at = 0; at < t->size && result == STATUS_OK;) {
        ssize_t got = pread(f->fd, buffer, capacity, (off_t)at);
        if (got <= 0) {
            result = failed(t->path, "read back", err);
            break;
        }
        if (digits == 64)
            sha256_update(&sha256, buffer, (size_t)got);
        else
            sha1_update(&sha1, buffer, (size_t)got);
        at += (uint64_t)got;
    }
    free(buffer);
    TRY(result);
    if (digits == 64) {
        sha256_finish(&sha256, digest);
        sha256_write_hex(digest, out);
    } else {
        sha1_finish(&sha1, digest);
        for (int i = 0; i < SHA1_BYTES; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
    return STATUS_OK;
}

static status finish_file(struct file_state *f, struct error *err)
{
    const struct hub_transfer *t = f->transfer;
    struct strbuf data = {0}, record = {0};
    char digest[SHA256_HEX];
    struct str etag = str_of(t->etag);
    status result = side_path(t, ".twllm", &data);
    if (result == STATUS_OK) result = side_path(t, ".twllm-parts", &record);
    if (result != STATUS_OK) error_set(err, result, "%s: no memory", t->name);
    bool is_digest = hub_name_is_commit(etag);
    if (result == STATUS_OK && is_digest) result = digest_of(f, digest, err);
    if (result == STATUS_OK && is_digest && strcasecmp(digest, t->etag) != 0) {
        unlink(record.data);
        unlink(data.data);
        result = error_set(err, STATUS_FORMAT,
                           "%s: what came has the digest %s, expected %s; thrown away, pull again",
                           t->name, digest, t->etag);
    }
    if (result == STATUS_OK && (fsync(f->fd) || rename(data.data, t->path)))
        result = failed(t->path, "put the file in its place", err);
    if (result == STATUS_OK) unlink(record.data);
    strbuf_deinit(&data);
    strbuf_deinit(&record);
    return result;
}

/* ---- the workers ---- */

struct run {
    const struct hub_transfer_options *options;
    struct file_state *files;
    size_t n_files;
    atomic_bool stop;
    _Atomic uint64_t done;
    pthread_mutex_t lock;
    size_t next_file, next_part; /* under the lock, as what follows */
    int n_working;
    status result;
    struct error error;
};

static void fail(struct run *run, status result, const struct error *why)
{
    pthread_mutex_lock(&run->lock);
    if (run->result == STATUS_OK) {
        run->result = result;
        run->error = *why;
    }
    pthread_mutex_unlock(&run->lock);
    atomic_store(&run->stop, true);
}

static bool take_part(struct run *run, struct file_state **file, size_t *part)
{
    bool found = false;
    pthread_mutex_lock(&run->lock);
    while (!found && run->next_file < run->n_files) {
        struct file_state *f = &run->files[run->next_file];
        if (run->next_part >= f->n_parts) {
            run->next_file++;
            run->next_part = 0;
            continue;
        }
        *file = f;
        *part = run->next_part++;
        found = f->marks[*part] != '1';
    }
    pthread_mutex_unlock(&run->lock);
    return found;
}

/* One attempt at the rest of a part. */
struct piece {
    struct run *run;
    struct file_state *file;
    uint64_t at, end; /* what is still wanted */
    uint64_t skip;    /* bytes in front of it, from a server that sends everything */
    bool checked;
    struct error *err;
};

/* What a 2xx head says about where its body begins. */
static status check_head(struct piece *p, const struct http_client_response *response)
{
    const char *name = p->file->transfer->name;
    unsigned long long from, to, size;
    struct str range = http_client_field_of(response, "Content-Range");
    char text[96];
    p->checked = true;
    if (response->code == 200) {
        struct str length = http_client_field_of(response, "Content-Length");
        snprintf(text, sizeof text, "%.*s", (int)(length.size < 90 ? length.size : 90),
                 length.data ? length.data : "");
        if (length.data && strtoull(text, NULL, 10) != p->file->transfer->size)
            return error_set(p->err, STATUS_FORMAT,
                             "%s: the server has %s bytes, the list says %llu", name, text,
                             (unsigned long long)p->file->transfer->size);
        p->skip = p->at;
        return STATUS_OK;
    }
    snprintf(text, sizeof text, "%.*s", (int)(range.size < 90 ? range.size : 90),
             range.data ? range.data : "");
    if (response->code != 206 || sscanf(text, "bytes %llu-%llu/%llu", &from, &to, &size) != 3 ||
        from != p->at || size != p->file->transfer->size)
        return error_set(p->err, STATUS_FORMAT,
                         "%s: asked for bytes from %llu of %llu, the server sends \"%s\" (%d)",
                         name, (unsigned long long)p->at,
                         (unsigned long long)p->file->transfer->size, text, response->code);
    return STATUS_OK;
}

static status take_piece(void *user, const struct http_client_response *response, struct str bytes)
{
    struct piece *p = user;
    if (!p->checked) TRY(check_head(p, response));
    if (p->skip > 0) {
        size_t n = p->skip < bytes.size ? (size_t)p->skip : bytes.size;
        bytes = str_slice(bytes, n, bytes.size);
        p->skip -= n;
    }
    if (bytes.size > p->end - p->at) bytes.size = (size_t)(p->end - p->at);
    while (bytes.size > 0) {
        ssize_t n = pwrite(p->file->fd, bytes.data, bytes.size, (off_t)p->at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failed(p->file->transfer->path, "write", p->err);
        p->at += (uint64_t)n;
        atomic_fetch_add(&p->run->done, (uint64_t)n);
        bytes = str_slice(bytes, (size_t)n, bytes.size);
    }
    /* A server that sends everything is not listened to behind the end. */
    return p->at == p->end && response->code == 200 ? STATUS_CANCELLED : STATUS_OK;
}

static status attempt(struct piece *p, struct http_client *client,
                      struct http_client_response *response, struct error *err)
{
    const struct hub_endpoint *endpoint = p->run->options->endpoint;
    char range[64];
    struct strbuf bearer = {0};
    struct http_client_field field;
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)p->at,
             (unsigned long long)(p->end - 1));
    struct http_client_request request = {
        .method = "GET",
        .url = p->file->transfer->url,
        .fields = &field,
        .n_fields = hub_api_authorization(endpoint, &bearer, &field),
        .range = range,
        .max_redirects = 5,
        .stall_timeout_s = 30,
        .max_body_bytes = 1 << 20,
        .sink = take_piece,
        .user = p,
        .cancel = &p->run->stop,
    };
    p->checked = false;
    p->skip = 0;
    p->err = err;
    status result = http_client_send(client, &request, response, err);
    strbuf_deinit(&bearer);
    return result;
}

static status fetch_part(struct run *run, struct http_client *client, struct file_state *f,
                         size_t part, struct error *err)
{
    static const struct http_client_patience patience = {.n_tries = MOST_FAILURES};
    uint64_t from = (uint64_t)part * f->part_size;
    struct piece p = {.run = run, .file = f, .at = from, .end = from + part_bytes(f, part)};
    struct http_client_response response = {0};
    status result = STATUS_OK;
    for (int failures = 1; p.at < p.end && result == STATUS_OK;) {
        uint64_t before = p.at;
        status sent = attempt(&p, client, &response, err);
        if (p.at == p.end) break;
        if (p.at > before) failures = 1;
        bool refused = sent == STATUS_OK && response.code / 100 != 2;
        if (atomic_load(&run->stop)) {
            result = STATUS_CANCELLED;
        } else if (sent != STATUS_OK && sent != STATUS_IO && sent != STATUS_LIMIT) {
            result = sent;
        } else if (refused && !http_client_is_temporary(sent, &response)) {
            result =
                hub_api_refused(run->options->endpoint, run->options->repository, &response, err);
        } else if (failures++ == MOST_FAILURES) {
            result = refused ? hub_api_refused(run->options->endpoint, run->options->repository,
                                               &response, err)
                     : sent == STATUS_OK
                         ? error_set(err, STATUS_IO, "%s: the server ends after %llu of %llu bytes",
                                     f->transfer->name, (unsigned long long)p.at,
                                     (unsigned long long)f->transfer->size)
                         : error_prefix(err, sent, "%s", f->transfer->name);
        } else {
            http_client_sleep(http_client_wait_us(&patience, failures - 1, &response), &run->stop);
        }
    }
    http_client_response_deinit(&response);
    return result;
}

static status part_done(struct run *run, struct file_state *f, size_t part, struct error *err)
{
    if (pwrite(f->record, "1", 1, (off_t)(HEAD_BYTES + part)) != 1)
        return failed(f->transfer->path, "write", err);
    pthread_mutex_lock(&run->lock);
    f->marks[part] = '1';
    bool last = --f->n_left == 0;
    pthread_mutex_unlock(&run->lock);
    return last ? finish_file(f, err) : STATUS_OK;
}

static void *work(void *argument)
{
    struct run *run = argument;
    struct http_client *client = NULL;
    struct error err = {0};
    struct file_state *file;
    size_t part;
    status result = http_client_create(&client, run->options->client, &err);
    while (result == STATUS_OK && !atomic_load(&run->stop) && take_part(run, &file, &part)) {
        result = fetch_part(run, client, file, part, &err);
        if (result == STATUS_OK) result = part_done(run, file, part, &err);
    }
    if (result != STATUS_OK) fail(run, result, &err);
    http_client_destroy(client);
    pthread_mutex_lock(&run->lock);
    run->n_working--;
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* ---- all of it ---- */

static void watch(struct run *run, uint64_t total)
{
    for (;;) {
        pthread_mutex_lock(&run->lock);
        bool working = run->n_working > 0;
        pthread_mutex_unlock(&run->lock);
        if (run->options->on_progress)
            run->options->on_progress(run->options->user, atomic_load(&run->done), total);
        if (!working) return;
        nanosleep(&(struct timespec){0, POLL_NS}, NULL);
    }
}

static status run_workers(struct run *run, uint64_t total, size_t n_parts, struct error *err)
{
    pthread_t threads[MOST_CONNECTIONS];
    int wanted =
        run->options->n_connections > 0 ? run->options->n_connections : DEFAULT_CONNECTIONS;
    if (wanted > MOST_CONNECTIONS) wanted = MOST_CONNECTIONS;
    if ((size_t)wanted > n_parts) wanted = (int)n_parts;
    int n = 0;
    for (; n < wanted; n++) {
        pthread_mutex_lock(&run->lock);
        run->n_working++;
        pthread_mutex_unlock(&run->lock);
        if (pthread_create(&threads[n], NULL, work, run) == 0) continue;
        pthread_mutex_lock(&run->lock);
        run->n_working--;
        pthread_mutex_unlock(&run->lock);
        break;
    }
    if (n == 0 && wanted > 0) return error_set(err, STATUS_NO_MEMORY, "hub: no thread to be had");
    watch(run, total);
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    if (run->result != STATUS_OK && err) *err = run->error;
    return run->result;
}

status hub_transfer_run(const struct hub_transfer *transfers, size_t n,
                        const struct hub_transfer_options *options, struct error *err)
{
    struct run run = {.options = options, .n_files = n};
    uint64_t total = 0;
    size_t n_parts = 0;
    status result = STATUS_OK;
    run.files = calloc(n + 1, sizeof *run.files);
    if (!run.files) return error_set(err, STATUS_NO_MEMORY, "hub: no memory for %zu files", n);
    pthread_mutex_init(&run.lock, NULL);
    for (size_t i = 0; i < n; i++) run.files[i].fd = run.files[i].record = -1;
    for (size_t i = 0; i < n && result == STATUS_OK; i++) {
        struct file_state *f = &run.files[i];
        result = state_init(f, &transfers[i], err);
        if (result == STATUS_OK) result = state_open(f, err);
        if (result != STATUS_OK) break;
        total += transfers[i].size;
        n_parts += f->n_left;
        atomic_fetch_add(&run.done, marked_bytes(f));
        if (f->n_left == 0) result = finish_file(f, err); /* empty, or killed before this */
    }
    if (result == STATUS_OK) result = run_workers(&run, total, n_parts, err);
    for (size_t i = 0; i < n; i++) state_close(&run.files[i]);
    free(run.files);
    pthread_mutex_destroy(&run.lock);
    return result;
}
