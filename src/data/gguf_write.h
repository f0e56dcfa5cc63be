/* gguf_write: the head of a GGUF file, put together in memory; tensor data follows it, written by whoever has it.
 *
 * Values are put in any order, then tensors, whose places are given out in that order; gguf_writer_head makes the bytes
 * of the whole head (version 3), as long as data_begin says. A failure sticks: putters do nothing after it, and
 * gguf_writer_head reports it.
 */
#ifndef DATA_GGUF_WRITE_H
#define DATA_GGUF_WRITE_H

#include "data/gguf.h"

enum { GGUF_WRITE_ALIGNMENT = 32 };

struct gguf_writer {
    struct strbuf values, infos;
    uint64_t n_values, n_tensors;
    uint64_t data_bytes; /* of the tensors so far, each padded to the alignment */
    status failed;       /* STATUS_OK until memory runs out or a name is too long */
};

void gguf_writer_deinit(struct gguf_writer *);

void gguf_put_u16(struct gguf_writer *, const char *key, uint16_t);
void gguf_put_u32(struct gguf_writer *, const char *key, uint32_t);
void gguf_put_i32(struct gguf_writer *, const char *key, int32_t);
void gguf_put_f32(struct gguf_writer *, const char *key, float);
void gguf_put_bool(struct gguf_writer *, const char *key, bool);
void gguf_put_str(struct gguf_writer *, const char *key, struct str);
/* A value of another file, as it is. */
void gguf_put_value(struct gguf_writer *, const struct gguf_value *);

/* An array: its count first, then each element. */
void gguf_put_array(struct gguf_writer *, const char *key, enum gguf_type, uint64_t count);
void gguf_put_element_str(struct gguf_writer *, struct str);
void gguf_put_element_i32(struct gguf_writer *, int32_t);

/* Shape outermost first. Returns where its data begins, counted from the beginning of all data. */
uint64_t gguf_put_tensor(struct gguf_writer *, struct str name, const struct tensor *);

/* Appends the head to *out, padded up to the beginning of the data. */
status gguf_writer_head(const struct gguf_writer *, struct strbuf *out, struct error *err);

#endif
