/* convert: a checkpoint's weights in another format and other types.
 *
 * Streams (but for checkpoints of packed weights, which were unpacked into memory): beside the maps of the source, of whose pages the system keeps what it likes, memory is some 10 MB for each
 * thread. The output has its name only when all of it was written, read back and found equal; before that it is
 * OUTPUT.partial beside a journal OUTPUT.journal, from which the same conversion goes on after it was stopped or killed.
 */
#ifndef CHECKPOINT_CONVERT_H
#define CHECKPOINT_CONVERT_H

#include "checkpoint/checkpoint.h"
#include "checkpoint/importance.h"
#include "checkpoint/quant_mix.h"

enum convert_phase { CONVERT_WRITING, CONVERT_VERIFYING };

struct convert_options {
    bool to_safetensors; /* else GGUF */
    struct quant_mix_options
        types; /* mix NONE: each matrix keeps its type (BF16 where the files have no such type) */
    bool allow_requantize;            /* from one quantised type to another */
    uint64_t split_bytes;             /* most bytes of tensors in one file; 0: one file */
    const struct importance *weights; /* NULL: none */
    struct thread_pool *threads;
    bool (*progress)(void *argument, enum convert_phase, uint64_t done, uint64_t total);
    void *argument;
};

struct convert_report {
    uint64_t bytes, resumed_bytes; /* of tensors: in all, and found written by an earlier run */
    size_t n_files, n_tensors, n_without_importance;
    int64_t n_parameters;
    double bits_per_weight;
    double
        error; /* relative: sqrt(sum (x - x')^2 / sum x^2) over the matrices that were quantised in this run */
};

/* `output`: a .gguf file, or a folder for safetensors, which is made. The checkpoint is open whole. STATUS_CANCELLED when
 * progress returns false. STATUS_NO_SPACE before anything is computed when the disk has too little room. */
status convert_run(const struct checkpoint *, const char *output, const struct convert_options *,
                   struct convert_report *, struct error *err);

#endif
