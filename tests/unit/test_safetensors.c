#include "data/safetensors.h"

#include <unistd.h>

#include "base/file.h"
#include "check.h"

/* A file in 64-byte aligned memory: the header text padded to 8, then n_data bytes counting up. */
static _Alignas(64) unsigned char bytes[4096];

static size_t make_file(const char *header, size_t n_data)
{
    uint64_t length = (strlen(header) + 7) & ~(uint64_t)7;
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, strlen(header));
    for (size_t i = 0; i < n_data; i++) bytes[8 + length + i] = (unsigned char)i;
    return 8 + (size_t)length + n_data;
}

static void check_refused(const char *header, size_t n_data, status expected, const char *reason)
{
    struct safetensors *st;
    struct error err = {0};
    size_t size = make_file(header, n_data);
    status result = safetensors_open_memory(&st, bytes, size, "x.safetensors", &err);
    if (result != expected || !strstr(err.text, reason) || !strstr(err.text, "x.safetensors"))
        check_fail(__FILE__, __LINE__, "%s: status %d, message \"%s\", expected \"%s\"", header,
                   result, err.text, reason);
    CHECK(st == NULL);
}
#define REFUSED(header, n_data, reason) check_refused(header, n_data, STATUS_FORMAT, reason)

static const char two[] = "{\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                          "\"a\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[24,26]},"
                          "\"__metadata__\":{\"format\":\"pt\"}}";

TEST(safetensors_reads_tensors_in_place)
{
    struct safetensors *st;
    struct error err;
    size_t size = make_file(two, 26);
    CHECK_OK(safetensors_open_memory(&st, bytes, size, "x", &err), err);
    CHECK_INT(safetensors_tensors(st)->n_entries, 2);
    CHECK_INT(safetensors_tensors(st)->total_bytes, 26);
    const struct tensor_entry *b = tensor_set_find(safetensors_tensors(st), str_of("b")),
                              *a = tensor_set_find(safetensors_tensors(st), str_of("a"));
    CHECK(b == tensor_set_at(safetensors_tensors(st), 0) &&
          a == tensor_set_at(safetensors_tensors(st), 1) &&
          !tensor_set_at(safetensors_tensors(st), 2));
    CHECK(!tensor_set_find(safetensors_tensors(st), str_of("__metadata__")) &&
          !tensor_set_find(safetensors_tensors(st), str_of("")));
    CHECK(b->tensor.data == bytes + size - 26 && a->tensor.data == bytes + size - 2);
    CHECK_INT(b->tensor.dtype, DTYPE_F32);
    CHECK_INT(b->tensor.n_dims, 2);
    CHECK(b->tensor.shape[0] == 2 && b->tensor.shape[1] == 3 && b->tensor.stride[0] == 3);
    CHECK(tensor_is_contiguous(&b->tensor) && a->tensor.n_dims == 0 &&
          tensor_bytes(&a->tensor) == 2);
    safetensors_close(st);
    safetensors_close(NULL);
}

TEST(safetensors_refuses_every_truncation)
{
    size_t size = make_file(two, 26);
    for (size_t cut = 0; cut < size; cut++) {
        struct safetensors *st;
        struct error err = {0};
        void *copy = aligned_alloc(64, 4096);
        CHECK(copy);
        memcpy(copy, bytes, cut);
        CHECK_INT(safetensors_open_memory(&st, copy, cut, "cut", &err), STATUS_FORMAT);
        free(copy);
    }
}

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

TEST(safetensors_refuses_bad_tensors)
{
    REFUSED(ONE("\"F32\"", "[2]", "[0,9]"), 9, "span 9 bytes, its type and shape need 8");
    REFUSED(ONE("\"F32\"", "[2]", "[0,8]"), 7, "do not lie within the file's 7 bytes");
    REFUSED(ONE("\"F32\"", "[2]", "[0,8]"), 9, "describes 8 bytes of data, the file holds 9");
    REFUSED(ONE("\"F32\"", "[2]", "[8,0]"), 8, "do not lie within");
    REFUSED(ONE("\"F32\"", "[2]", "[1,9]"), 9, "a hole between tensors");
}

TEST(safetensors_refuses_hostile_numbers)
{
    REFUSED(ONE("\"U8\"", "[2]", "[1,3]"), 3, "a hole between tensors");
    REFUSED(ONE("\"U8\"", "[-2]", "[0,2]"), 2, "shape[0] is not a non-negative integer");
    REFUSED(ONE("\"U8\"", "[2.5]", "[0,2]"), 2, "shape[0]");
    REFUSED(ONE("\"U8\"", "[1,\"2\"]", "[0,2]"), 2, "shape[1]");
    REFUSED(ONE("\"U8\"", "[99999999999999999999]", "[0,2]"), 2, "shape[0]");
    REFUSED(ONE("\"F32\"", "[4611686018427387904]", "[0,0]"), 0,
            "product of its shape is too large");
    REFUSED(ONE("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, "too large");
    REFUSED(ONE("\"U8\"", "[2]", "[-1,1]"), 2, "data_offsets is not [begin, end]");
    REFUSED(ONE("\"U8\"", "[2]", "[0,2,2]"), 2, "data_offsets is not");
    REFUSED(ONE("\"U8\"", "[2]", "[0,18446744073709551615]"), 2, "do not lie within");
    REFUSED(ONE("\"U8\"", "[2]", "[18446744073709551615,1]"), 2, "do not lie within");
    REFUSED(ONE("\"U8\"", "2", "[0,2]"), 2, "shape is missing or not an array");
    REFUSED(ONE("3", "[2]", "[0,2]"), 2, "dtype is missing or not a string");
    check_refused(ONE("\"Q4_0\"", "[2]", "[0,2]"), 2, STATUS_UNSUPPORTED, "unknown dtype \"Q4_0\"");
    check_refused(ONE("\"U8\"", "[1,1,1,1,2]", "[0,2]"), 2, STATUS_UNSUPPORTED, "5 dimensions");
}

TEST(safetensors_refuses_bad_headers)
{
    REFUSED("", 0, "does not begin with '{'");
    REFUSED("[]", 0, "does not begin with '{'");
    REFUSED("{", 0, "line 1, column");
    REFUSED("{\"t\":3}", 0, "not described by an object");
    REFUSED("{\"t\\u0000\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "NUL");
    REFUSED("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ is not an object of strings");
    REFUSED("{\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
            4, "repeated key \"t\"");
    REFUSED("{\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"u\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
            3, "\"u\" begins at byte 1 of the data, expected 2 (tensors overlap)");

    struct safetensors *st;
    struct error err = {0};
    uint64_t lengths[] = {0, 17, 100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t size = make_file("{}", 8);
        memcpy(bytes, &lengths[i], 8);
        CHECK_INT(safetensors_open_memory(&st, bytes, size, "x", &err), STATUS_FORMAT);
    }
}

struct calls {
    size_t n, last, total, cancel_at;
};

static bool on_progress(void *argument, size_t done, size_t total)
{
    struct calls *calls = argument;
    CHECK(done >= calls->last && done <= total);
    calls->last = done;
    calls->total = total;
    return ++calls->n != calls->cancel_at;
}

TEST(safetensors_prefetch_reports_progress_and_can_be_cancelled)
{
    enum { MEGABYTES = 40 };
    char path[] = "/tmp/test_safetensors_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    char header[128];
    size_t data = (size_t)MEGABYTES << 20;
    snprintf(header, sizeof header,
             "{\"t\":{\"dtype\":\"U8\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}", data, data);
    size_t size = make_file(header, 0);
    bool written =
        write(fd, bytes, size) == (ssize_t)size && ftruncate(fd, (off_t)(size + data)) == 0;
    close(fd);
    struct safetensors *st = NULL;
    struct error err;
    status opened = written ? safetensors_open(&st, path, &err) : STATUS_IO;
    unlink(path);
    CHECK_OK(opened, err);
    struct thread_pool *pool;
    CHECK_OK(thread_pool_create(&pool, 3, &err), err);
    struct calls calls = {0};
    CHECK_OK(tensor_set_prefetch(safetensors_tensors(st), pool, on_progress, &calls, &err), err);
    CHECK(calls.n >= 1 && calls.last == data && calls.total == data);
    calls = (struct calls){.cancel_at = 1};
    CHECK_INT(tensor_set_prefetch(safetensors_tensors(st), NULL, on_progress, &calls, &err),
              STATUS_CANCELLED);
    CHECK_INT(calls.n, 1);
    CHECK_OK(tensor_set_prefetch(safetensors_tensors(st), NULL, NULL, NULL, &err), err);
    thread_pool_destroy(pool);
    safetensors_close(st);
}
