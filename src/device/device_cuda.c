/* The CUDA runtime, linked statically: it loads the driver when it is first called. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"

struct device {
    int ordinal;
    cudaStream_t stream;
    cudaEvent_t marks[2];
    struct device_info info;
};

static status failed(cudaError_t code, const char *what, struct error *err)
{
    return error_set(err, code == cudaErrorMemoryAllocation ? STATUS_NO_MEMORY : STATUS_INTERNAL,
                     "cuda: %s: %s (%s)", what, cudaGetErrorString(code), cudaGetErrorName(code));
}

#define CUDA(what, call)                                                                           \
    do {                                                                                           \
        cudaError_t code_ = (call);                                                                \
        if (code_ != cudaSuccess) return failed(code_, what, err);                                 \
    } while (0)

/* Why there is no device, in one sentence. */
static status explain(cudaError_t code, struct error *err)
{
    int driver = 0, runtime = CUDART_VERSION;
    cudaDriverGetVersion(&driver);
    cudaGetLastError();
    if (code == cudaErrorInsufficientDriver && driver == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuda: no NVIDIA driver was found (libcuda.so.1); install one, or run on "
                         "the processor with --device cpu");
    if (code == cudaErrorInsufficientDriver)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuda: the NVIDIA driver supports CUDA %d.%d, this program needs %d.%d or "
                         "newer: update the driver",
                         driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (code == cudaErrorNoDevice || code == cudaSuccess)
        return error_set(err, STATUS_UNSUPPORTED, "cuda: the driver sees no GPU");
    return error_set(err, STATUS_UNSUPPORTED, "cuda: the GPU cannot be used: %s",
                     cudaGetErrorString(code));
}

int device_count(struct error *why)
{
    int count = 0;
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaSuccess && count > 0) return count;
    explain(code, why);
    return 0;
}

static status open_on(struct device *d, struct error *err)
{
    struct cudaDeviceProp properties;
    CUDA("selecting the device", cudaSetDevice(d->ordinal));
    CUDA("reading the device's properties", cudaGetDeviceProperties(&properties, d->ordinal));
    snprintf(d->info.name, sizeof d->info.name, "%s", properties.name);
    d->info.major = properties.major;
    d->info.minor = properties.minor;
    d->info.n_multiprocessors = properties.multiProcessorCount;
    d->info.total_bytes = properties.totalGlobalMem;
    d->info.shared_bytes = properties.sharedMemPerBlockOptin;
    if (properties.major < 8)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuda: %s has compute capability %d.%d, 8.0 or newer is needed",
                         d->info.name, properties.major, properties.minor);
    CUDA("making a stream", cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
    for (int i = 0; i < 2; i++) CUDA("making an event", cudaEventCreate(&d->marks[i]));
    return STATUS_OK;
}

status device_open(struct device **out, int ordinal, struct error *err)
{
    *out = NULL;
    int count = device_count(err);
    if (count == 0) return STATUS_UNSUPPORTED;
    if (ordinal < 0 || ordinal >= count)
        return error_set(err, STATUS_INVALID, "cuda: device %d, expected 0 to %d", ordinal,
                         count - 1);
    struct device *d = calloc(1, sizeof *d);
    if (!d) return error_set(err, STATUS_NO_MEMORY, "cuda: no memory");
    d->ordinal = ordinal;
    status result = open_on(d, err);
    if (result != STATUS_OK)
        device_close(d);
    else
        *out = d;
    return result;
}

void device_close(struct device *d)
{
    if (!d) return;
    for (int i = 0; i < 2; i++)
        if (d->marks[i]) cudaEventDestroy(d->marks[i]);
    if (d->stream) cudaStreamDestroy(d->stream);
    free(d);
}

void device_use(const struct device *d)
{
    cudaSetDevice(d->ordinal); /* it worked when the device was opened */
}

const struct device_info *device_describe(const struct device *d) { return &d->info; }
void *device_stream(const struct device *d) { return d->stream; }

status device_free_bytes(struct device *d, size_t *bytes, struct error *err)
{
    size_t total;
    (void)d;
    CUDA("asking for free memory", cudaMemGetInfo(bytes, &total));
    return STATUS_OK;
}

status device_allocate(struct device *d, size_t bytes, void **out, struct error *err)
{
    cudaError_t code = cudaMalloc(out, bytes ? bytes : 1);
    if (code == cudaSuccess) return STATUS_OK;
    *out = NULL;
    size_t left = 0, total = 0;
    cudaGetLastError();
    cudaMemGetInfo(&left, &total);
    if (code != cudaErrorMemoryAllocation) return failed(code, "allocating", err);
    return error_set(err, STATUS_NO_MEMORY,
                     "cuda: %s: no room for %zu MiB, %zu of %zu MiB are free", d->info.name,
                     bytes >> 20, left >> 20, total >> 20);
}

void device_free(struct device *d, void *at)
{
    (void)d;
    if (at) cudaFree(at);
}

status device_allocate_pinned(struct device *d, size_t bytes, void **out, struct error *err)
{
    (void)d;
    *out = NULL;
    CUDA("allocating pinned memory", cudaMallocHost(out, bytes ? bytes : 1));
    return STATUS_OK;
}

void device_free_pinned(struct device *d, void *at)
{
    (void)d;
    if (at) cudaFreeHost(at);
}

status device_upload(struct device *d, void *to, const void *from, size_t bytes, struct error *err)
{
    CUDA("copying to the device",
         cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, d->stream));
    return STATUS_OK;
}

status device_download(struct device *d, void *to, const void *from, size_t bytes,
                       struct error *err)
{
    CUDA("copying from the device",
         cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, d->stream));
    return STATUS_OK;
}

status device_copy(struct device *d, void *to, const void *from, size_t bytes, struct error *err)
{
    CUDA("copying on the device",
         cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, d->stream));
    return STATUS_OK;
}

status device_set_zero(struct device *d, void *at, size_t bytes, struct error *err)
{
    CUDA("clearing memory", cudaMemsetAsync(at, 0, bytes, d->stream));
    return STATUS_OK;
}

status device_wait(struct device *d, struct error *err)
{
    CUDA("running a step", cudaStreamSynchronize(d->stream));
    return STATUS_OK;
}

status device_check(struct device *d, const char *what, struct error *err)
{
    (void)d;
    CUDA(what, cudaGetLastError());
    return STATUS_OK;
}

/* ---- lanes ------------------------------------------------------------------------------------- */

struct device_lane {
    struct device *device;
    cudaStream_t stream;
    size_t piece_bytes;
    int next; /* of the two pieces */
    void *pieces[2];
    cudaEvent_t done[2];
};

static status lane_init(struct device_lane *lane, struct error *err)
{
    CUDA("selecting the device", cudaSetDevice(lane->device->ordinal));
    CUDA("making a stream", cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking));
    for (int i = 0; i < 2; i++) {
        CUDA("allocating pinned memory", cudaMallocHost(&lane->pieces[i], lane->piece_bytes));
        CUDA("making an event", cudaEventCreateWithFlags(&lane->done[i], cudaEventDisableTiming));
    }
    return STATUS_OK;
}

status device_lane_open(struct device *d, struct device_lane **out, size_t piece_bytes,
                        struct error *err)
{
    struct device_lane *lane = *out = calloc(1, sizeof *lane);
    if (!lane) return error_set(err, STATUS_NO_MEMORY, "cuda: no memory");
    lane->device = d;
    lane->piece_bytes = piece_bytes;
    status result = lane_init(lane, err);
    if (result != STATUS_OK) {
        device_lane_close(lane);
        *out = NULL;
    }
    return result;
}

void device_lane_close(struct device_lane *lane)
{
    if (!lane) return;
    for (int i = 0; i < 2; i++) {
        if (lane->done[i]) cudaEventDestroy(lane->done[i]);
        if (lane->pieces[i]) cudaFreeHost(lane->pieces[i]);
    }
    if (lane->stream) cudaStreamDestroy(lane->stream);
    free(lane);
}

status device_lane_upload(struct device_lane *lane, void *to, const void *from, size_t bytes,
                          struct error *err)
{
    if (bytes > lane->piece_bytes)
        return error_set(err, STATUS_INTERNAL, "cuda: a piece of %zu bytes, at most %zu", bytes,
                         lane->piece_bytes);
    int i = lane->next;
    lane->next ^= 1;
    CUDA("copying to the device", cudaEventSynchronize(lane->done[i]));
    memcpy(lane->pieces[i], from, bytes);
    CUDA("copying to the device",
         cudaMemcpyAsync(to, lane->pieces[i], bytes, cudaMemcpyHostToDevice, lane->stream));
    CUDA("recording an event", cudaEventRecord(lane->done[i], lane->stream));
    return STATUS_OK;
}

status device_lane_wait(struct device_lane *lane, struct error *err)
{
    CUDA("copying to the device", cudaStreamSynchronize(lane->stream));
    return STATUS_OK;
}

void *device_lane_stream(const struct device_lane *lane) { return lane->stream; }

/* ---- graphs ------------------------------------------------------------------------------------ */

struct device_graph {
    cudaGraphExec_t exec;
};

status device_graph_begin(struct device *d, struct error *err)
{
    CUDA("recording a graph", cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal));
    return STATUS_OK;
}

status device_graph_end(struct device *d, struct device_graph **out, struct error *err)
{
    cudaGraph_t graph = NULL;
    *out = NULL;
    CUDA("recording a graph", cudaStreamEndCapture(d->stream, &graph));
    struct device_graph *made = calloc(1, sizeof *made);
    cudaError_t code = made ? cudaGraphInstantiate(&made->exec, graph, 0) : cudaSuccess;
    cudaGraphDestroy(graph);
    if (!made) return error_set(err, STATUS_NO_MEMORY, "cuda: no memory for a graph");
    if (code != cudaSuccess) {
        free(made);
        return failed(code, "making a graph", err);
    }
    *out = made;
    return STATUS_OK;
}

status device_graph_launch(struct device *d, struct device_graph *graph, struct error *err)
{
    CUDA("launching a graph", cudaGraphLaunch(graph->exec, d->stream));
    return STATUS_OK;
}

void device_graph_destroy(struct device_graph *graph)
{
    if (!graph) return;
    cudaGraphExecDestroy(graph->exec);
    free(graph);
}

status device_mark(struct device *d, int which, struct error *err)
{
    CUDA("recording an event", cudaEventRecord(d->marks[which & 1], d->stream));
    return STATUS_OK;
}

status device_between_marks(struct device *d, double *milliseconds, struct error *err)
{
    float ms = 0;
    CUDA("waiting for an event", cudaEventSynchronize(d->marks[1]));
    CUDA("reading an event", cudaEventElapsedTime(&ms, d->marks[0], d->marks[1]));
    *milliseconds = (double)ms;
    return STATUS_OK;
}
