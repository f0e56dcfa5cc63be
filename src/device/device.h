/* device: one NVIDIA GPU with one stream of work; the only owner of its memory.
 *
 * Everything queued here, by these calls or by bodies of op/cuda, runs in order on the device's stream.
 * The driver is loaded when a device is opened: a machine without one runs the same program. In a build
 * without CUDA every call fails with STATUS_UNSUPPORTED. A struct device belongs to one thread at a time; a thread other
 * than the one that opened it says device_use first.
 *
 * A GPU that is lost or has faulted makes every later call fail with STATUS_INTERNAL and the driver's words;
 * the process and its other work go on.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct device;

struct device_info {
    char name[256];
    int major, minor;      /* compute capability */
    int n_multiprocessors; /* SMs */
    size_t total_bytes;
    size_t shared_bytes; /* most a block may have, opted in */
};

/* The number of devices that can be used; 0 without a driver, and why. */
int device_count(struct error *why);
/* STATUS_UNSUPPORTED, with one sentence a person can act on, without a GPU, a driver, one new enough, or a
 * build with CUDA. */
status device_open(struct device **, int ordinal, struct error *err);
void device_close(struct device *);
void device_use(const struct device *); /* cheap: may be said again and again */
const struct device_info *device_describe(const struct device *);
void *device_stream(const struct device *); /* a cudaStream_t */
/* What can still be allocated. */
status device_free_bytes(struct device *, size_t *bytes, struct error *err);

/* Device memory, aligned to 256 bytes; STATUS_NO_MEMORY saying what is left. */
status device_allocate(struct device *, size_t bytes, void **out, struct error *err);
void device_free(struct device *, void *);
/* Memory of the host that the device copies from and to without a detour. */
status device_allocate_pinned(struct device *, size_t bytes, void **out, struct error *err);
void device_free_pinned(struct device *, void *);

/* Queued; host memory must be pinned and stay as it is until device_wait. */
status device_upload(struct device *, void *to, const void *from, size_t bytes, struct error *err);
status device_download(struct device *, void *to, const void *from, size_t bytes,
                       struct error *err);
status device_copy(struct device *, void *to, const void *from, size_t bytes, struct error *err);
status device_set_zero(struct device *, void *at, size_t bytes, struct error *err);
/* Until everything queued is done. Reports what failed in between. */
status device_wait(struct device *, struct error *err);
/* Whether a launch since the last call failed. */
status device_check(struct device *, const char *what, struct error *err);

/* Copies host memory of any kind to the device in pieces through pinned memory, by several threads; waits.
 * `lanes` of them: a lane belongs to one thread at a time. */
struct device_lane;
status device_lane_open(struct device *, struct device_lane **, size_t piece_bytes,
                        struct error *err);
void device_lane_close(struct device_lane *);
/* At most piece_bytes; returns when `from` may change. */
status device_lane_upload(struct device_lane *, void *to, const void *from, size_t bytes,
                          struct error *err);
status device_lane_wait(struct device_lane *, struct error *err);
void *device_lane_stream(const struct device_lane *); /* a cudaStream_t */

/* Work recorded once and replayed with one call. Between begin and end what is queued is recorded and not
 * run; nothing may be allocated. */
struct device_graph;
status device_graph_begin(struct device *, struct error *err);
status device_graph_end(struct device *, struct device_graph **, struct error *err);
status device_graph_launch(struct device *, struct device_graph *, struct error *err);
void device_graph_destroy(struct device_graph *);

/* Times in milliseconds between two marks on the stream, for benchmarks; waits for the second. */
status device_mark(struct device *, int which, struct error *err); /* 0 or 1 */
status device_between_marks(struct device *, double *milliseconds, struct error *err);

#endif
