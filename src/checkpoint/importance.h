/* importance: how much each input of each matrix matters, measured on a text: the mean square of the activations that
 * meet its columns. Files are llama.cpp's (GGUF with general.type "imatrix": NAME.in_sum2 and NAME.counts). */
#ifndef CHECKPOINT_IMPORTANCE_H
#define CHECKPOINT_IMPORTANCE_H

#include "base/status.h"
#include "base/str.h"
#include "data/gguf.h"

struct importance_entry {
    char *name;   /* of the matrix in GGUF files */
    float *sums;  /* (n) of squares */
    double count; /* of the vectors that were added up */
    int64_t n;
};

struct importance {
    struct importance_entry *entries;
    size_t n_entries;
    char *dataset; /* what it was measured on */
    uint32_t n_chunks, chunk_tokens;
};

/* Zero-filled entry added at the end. */
status importance_add(struct importance *, const char *name, int64_t n,
                      struct importance_entry **out, struct error *err);
status importance_read(struct importance *, const char *path, struct error *err);
/* The bytes of a file. */
status importance_write(const struct importance *, struct strbuf *out, struct error *err);
void importance_deinit(struct importance *);

/* NULL when the matrix was not measured. */
const struct importance_entry *importance_find(const struct importance *, const char *name);

#endif
