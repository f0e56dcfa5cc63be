/* A build without CUDA. */
#include "device/device.h"

static status refuse(struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED,
                     "cuda: this program was built without CUDA (nvcc was not found by CMake)");
}

int device_count(struct error *why)
{
    refuse(why);
    return 0;
}
status device_open(struct device **out, int ordinal, struct error *err)
{
    (void)ordinal;
    *out = NULL;
    return refuse(err);
}
void device_close(struct device *d) { (void)d; }
void device_use(const struct device *d) { (void)d; }
const struct device_info *device_describe(const struct device *d)
{
    (void)d;
    return NULL;
}
void *device_stream(const struct device *d)
{
    (void)d;
    return NULL;
}
status device_free_bytes(struct device *d, size_t *bytes, struct error *err)
{
    (void)d, *bytes = 0;
    return refuse(err);
}
status device_allocate(struct device *d, size_t bytes, void **out, struct error *err)
{
    (void)d, (void)bytes, *out = NULL;
    return refuse(err);
}
void device_free(struct device *d, void *at) { (void)d, (void)at; }
status device_allocate_pinned(struct device *d, size_t bytes, void **out, struct error *err)
{
    return device_allocate(d, bytes, out, err);
}
void device_free_pinned(struct device *d, void *at) { (void)d, (void)at; }
status device_upload(struct device *d, void *to, const void *from, size_t bytes, struct error *err)
{
    (void)d, (void)to, (void)from, (void)bytes;
    return refuse(err);
}
status device_download(struct device *d, void *to, const void *from, size_t bytes,
                       struct error *err)
{
    return device_upload(d, to, from, bytes, err);
}
status device_copy(struct device *d, void *to, const void *from, size_t bytes, struct error *err)
{
    return device_upload(d, to, from, bytes, err);
}
status device_set_zero(struct device *d, void *at, size_t bytes, struct error *err)
{
    return device_upload(d, at, NULL, bytes, err);
}
status device_wait(struct device *d, struct error *err)
{
    (void)d;
    return refuse(err);
}
status device_check(struct device *d, const char *what, struct error *err)
{
    (void)what;
    return device_wait(d, err);
}
status device_lane_open(struct device *d, struct device_lane **out, size_t piece_bytes,
                        struct error *err)
{
    (void)d, (void)piece_bytes, *out = NULL;
    return refuse(err);
}
void device_lane_close(struct device_lane *lane) { (void)lane; }
status device_lane_upload(struct device_lane *lane, void *to, const void *from, size_t bytes,
                          struct error *err)
{
    (void)lane;
    return device_upload(NULL, to, from, bytes, err);
}
status device_lane_wait(struct device_lane *lane, struct error *err)
{
    (void)lane;
    return refuse(err);
}
void *device_lane_stream(const struct device_lane *lane)
{
    (void)lane;
    return NULL;
}
status device_graph_begin(struct device *d, struct error *err) { return device_wait(d, err); }
status device_graph_end(struct device *d, struct device_graph **out, struct error *err)
{
    *out = NULL;
    return device_wait(d, err);
}
status device_graph_launch(struct device *d, struct device_graph *graph, struct error *err)
{
    (void)graph;
    return device_wait(d, err);
}
void device_graph_destroy(struct device_graph *graph) { (void)graph; }
status device_mark(struct device *d, int which, struct error *err)
{
    (void)which;
    return device_wait(d, err);
}
status device_between_marks(struct device *d, double *milliseconds, struct error *err)
{
    *milliseconds = 0;
    return device_wait(d, err);
}
