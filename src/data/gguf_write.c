#include "data/gguf_write.h"

#include "base/checked.h"

enum { MAX_NAME_BYTES = 63 }; /* what llama.cpp reads */

void gguf_writer_deinit(struct gguf_writer *w)
{
    strbuf_deinit(&w->values);
    strbuf_deinit(&w->infos);
    *w = (struct gguf_writer){0};
}

/* Numbers are little-endian, as the machines are that this program runs on. */
static void put(struct gguf_writer *w, struct strbuf *to, const void *data, size_t size)
{
    if (w->failed == STATUS_OK) w->failed = strbuf_append(to, (struct str){data, size});
}

static void put_text(struct gguf_writer *w, struct strbuf *to, struct str text)
{
    uint64_t size = text.size;
    put(w, to, &size, sizeof size);
    put(w, to, text.data, text.size);
}

static void put_key(struct gguf_writer *w, struct str key, enum gguf_type type)
{
    uint32_t number = type;
    w->n_values++;
    put_text(w, &w->values, key);
    put(w, &w->values, &number, sizeof number);
}

#define PUT_NUMBER(name, type, kind)                                                               \
    void name(struct gguf_writer *w, const char *key, type value)                                  \
    {                                                                                              \
        put_key(w, str_of(key), kind);                                                             \
        put(w, &w->values, &value, sizeof value);                                                  \
    }
PUT_NUMBER(gguf_put_u16, uint16_t, GGUF_U16)
PUT_NUMBER(gguf_put_u32, uint32_t, GGUF_U32)
PUT_NUMBER(gguf_put_i32, int32_t, GGUF_I32)
PUT_NUMBER(gguf_put_f32, float, GGUF_F32)
PUT_NUMBER(gguf_put_bool, bool, GGUF_BOOL)

void gguf_put_str(struct gguf_writer *w, const char *key, struct str text)
{
    put_key(w, str_of(key), GGUF_STRING);
    put_text(w, &w->values, text);
}

void gguf_put_value(struct gguf_writer *w, const struct gguf_value *value)
{
    put_key(w, value->key, value->type);
    if (value->type == GGUF_STRING) {
        put_text(w, &w->values, (struct str){(const char *)value->data, value->size});
        return;
    }
    if (value->type == GGUF_ARRAY) {
        uint32_t element = value->element_type;
        put(w, &w->values, &element, sizeof element);
        put(w, &w->values, &value->count, sizeof value->count);
    }
    put(w, &w->values, value->data, value->size);
}

void gguf_put_array(struct gguf_writer *w, const char *key, enum gguf_type type, uint64_t count)
{
    uint32_t element = type;
    put_key(w, str_of(key), GGUF_ARRAY);
    put(w, &w->values, &element, sizeof element);
    put(w, &w->values, &count, sizeof count);
}

void gguf_put_element_str(struct gguf_writer *w, struct str text) { put_text(w, &w->values, text); }

void gguf_put_element_i32(struct gguf_writer *w, int32_t value)
{
    put(w, &w->values, &value, sizeof value);
}

static uint64_t padded(uint64_t size)
{
    return (size + GGUF_WRITE_ALIGNMENT - 1) & ~(uint64_t)(GGUF_WRITE_ALIGNMENT - 1);
}

uint64_t gguf_put_tensor(struct gguf_writer *w, struct str name, const struct tensor *t)
{
    uint32_t n_dims = (uint32_t)t->n_dims, type = (uint32_t)gguf_dtype_number(t->dtype);
    uint64_t offset = w->data_bytes;
    if (w->failed == STATUS_OK && (name.size > MAX_NAME_BYTES || gguf_dtype_number(t->dtype) < 0))
        w->failed = STATUS_UNSUPPORTED;
    put_text(w, &w->infos, name);
    put(w, &w->infos, &n_dims, sizeof n_dims);
    for (int i = t->n_dims - 1; i >= 0; i--) {
        uint64_t extent = (uint64_t)t->shape[i];
        put(w, &w->infos, &extent, sizeof extent);
    }
    put(w, &w->infos, &type, sizeof type);
    put(w, &w->infos, &offset, sizeof offset);
    w->n_tensors++;
    w->data_bytes += padded(tensor_bytes(t));
    return offset;
}

status gguf_writer_head(const struct gguf_writer *w, struct strbuf *out, struct error *err)
{
    uint32_t version = 3;
    size_t begin = out->size;
    status result = w->failed;
    if (result == STATUS_OK) result = strbuf_append_c(out, "GGUF");
    if (result == STATUS_OK) result = strbuf_append(out, (struct str){(char *)&version, 4});
    if (result == STATUS_OK)
        result = strbuf_append(out, (struct str){(const char *)&w->n_tensors, 8});
    if (result == STATUS_OK)
        result = strbuf_append(out, (struct str){(const char *)&w->n_values, 8});
    if (result == STATUS_OK) result = strbuf_append(out, strbuf_view(&w->values));
    if (result == STATUS_OK) result = strbuf_append(out, strbuf_view(&w->infos));
    while (result == STATUS_OK && (out->size - begin) % GGUF_WRITE_ALIGNMENT)
        result = strbuf_append_char(out, '\0');
    if (result == STATUS_OK) return STATUS_OK;
    return error_set(err, result, "GGUF: the head of the file cannot be made: %s",
                     status_text(result));
}
