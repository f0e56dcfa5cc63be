#include "checkpoint/importance.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/gguf_write.h"

status importance_add(struct importance *set, const char *name, int64_t n,
                      struct importance_entry **out, struct error *err)
{
    struct importance_entry *entries =
        realloc(set->entries, (set->n_entries + 1) * sizeof *entries);
    if (!entries) return error_set(err, STATUS_NO_MEMORY, "no memory for importances");
    set->entries = entries;
    struct importance_entry *entry = &entries[set->n_entries++];
    *entry = (struct importance_entry){
        .name = strdup(name), .sums = calloc((size_t)n, sizeof(float)), .n = n};
    if (!entry->name || !entry->sums)
        return error_set(err, STATUS_NO_MEMORY, "no memory for importances");
    *out = entry;
    return STATUS_OK;
}

void importance_deinit(struct importance *set)
{
    for (size_t i = 0; i < set->n_entries; i++) {
        free(set->entries[i].name);
        free(set->entries[i].sums);
    }
    free(set->entries);
    free(set->dataset);
    *set = (struct importance){0};
}

const struct importance_entry *importance_find(const struct importance *set, const char *name)
{
    for (size_t i = 0; set && i < set->n_entries; i++)
        if (!strcmp(set->entries[i].name, name)) return &set->entries[i];
    return NULL;
}

/* ---- files ---- */

static status read_entry(struct importance *set, const struct gguf *file,
                         const struct tensor_entry *sums, struct error *err)
{
    const char *path = gguf_source(file);
    struct str name = str_slice(sums->name, 0, sums->name.size - strlen(".in_sum2"));
    struct strbuf text = {0};
    status result = strbuf_appendf(&text, "%.*s.counts", STR_ARGS(name));
    if (result != STATUS_OK) return error_set(err, result, "%s: no memory", path);
    const struct tensor_entry *counts = tensor_set_find(gguf_tensors(file), strbuf_view(&text));
    const struct tensor *t = &sums->tensor;
    struct importance_entry *entry;
    float count = 0;
    if (!counts || counts->tensor.dtype != DTYPE_F32 || tensor_count(&counts->tensor) != 1 ||
        t->dtype != DTYPE_F32 || tensor_count(t) != t->shape[t->n_dims - 1]) {
        result = error_set(err, STATUS_FORMAT,
                           "%s: \"%s\": expected F32 sums of one matrix and F32 counts of one "
                           "number beside them",
                           path, sums->name.data);
    } else {
        memcpy(&count, counts->tensor.data, sizeof count);
        text.data[name.size] = '\0';
        result = importance_add(set, text.data, tensor_count(t), &entry, err);
    }
    if (result == STATUS_OK) {
        memcpy(entry->sums, t->data, (size_t)entry->n * sizeof(float));
        entry->count = (double)count;
        for (int64_t i = 0; i < entry->n; i++)
            if (!isfinite(entry->sums[i]) || entry->sums[i] < 0)
                result = error_set(err, STATUS_FORMAT, "%s: \"%s\": element %" PRId64 " is %g",
                                   path, sums->name.data, i, (double)entry->sums[i]);
        if (!(count > 0) || !isfinite(count))
            result = error_set(err, STATUS_FORMAT, "%s: the count of \"%s\" is %g", path,
                               entry->name, (double)count);
    }
    strbuf_deinit(&text);
    return result;
}

static status read_all(struct importance *set, const struct gguf *file, struct error *err)
{
    struct str type;
    if (!gguf_str(gguf_find(file, "general.type"), &type) || !str_equal_c(type, "imatrix"))
        return error_set(err, STATUS_FORMAT, "%s: general.type is not \"imatrix\"",
                         gguf_source(file));
    const struct tensor_set *tensors = gguf_tensors(file);
    for (size_t i = 0; i < tensors->n_entries; i++) {
        const struct tensor_entry *entry = tensor_set_at(tensors, i);
        if (str_ends_with(entry->name, STR(".in_sum2"))) TRY(read_entry(set, file, entry, err));
    }
    if (set->n_entries) return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "%s: holds no importances", gguf_source(file));
}

status importance_read(struct importance *set, const char *path, struct error *err)
{
    struct gguf *file;
    *set = (struct importance){0};
    TRY(gguf_open(&file, path, err));
    status result = read_all(set, file, err);
    gguf_close(file);
    if (result != STATUS_OK) importance_deinit(set);
    return result;
}

status importance_write(const struct importance *set, struct strbuf *out, struct error *err)
{
    struct gguf_writer w = {0};
    struct strbuf name = {0}, data = {0};
    gguf_put_str(&w, "general.type", STR("imatrix"));
    gguf_put_array(&w, "imatrix.datasets", GGUF_STRING, 1);
    gguf_put_element_str(&w, str_of(set->dataset ? set->dataset : "text"));
    gguf_put_u32(&w, "imatrix.chunk_count", set->n_chunks);
    gguf_put_u32(&w, "imatrix.chunk_size", set->chunk_tokens);
    status result = STATUS_OK;
    for (size_t i = 0; i < set->n_entries && result == STATUS_OK; i++) {
        const struct importance_entry *entry = &set->entries[i];
        float count = (float)entry->count;
        const struct tensor parts[] = {tensor_2d(entry->sums, DTYPE_F32, 1, entry->n),
                                       tensor_2d(&count, DTYPE_F32, 1, 1)};
        for (int k = 0; k < 2 && result == STATUS_OK; k++) {
            strbuf_clear(&name);
            result = strbuf_appendf(&name, "%s.%s", entry->name, k ? "counts" : "in_sum2");
            gguf_put_tensor(&w, strbuf_view(&name), &parts[k]);
            if (result == STATUS_OK)
                result = strbuf_append(&data, (struct str){parts[k].data, tensor_bytes(&parts[k])});
            while (result == STATUS_OK && data.size % GGUF_WRITE_ALIGNMENT)
                result = strbuf_append_char(&data, '\0');
        }
    }
    if (result == STATUS_OK) result = gguf_writer_head(&w, out, err);
    if (result == STATUS_OK) result = strbuf_append(out, strbuf_view(&data));
    if (result == STATUS_NO_MEMORY) error_set(err, result, "no memory for importances");
    gguf_writer_deinit(&w);
    strbuf_deinit(&name);
    strbuf_deinit(&data);
    return result;
}
