/* model_export: what a model's files say beside its tensors, for files of the other kind. */
#ifndef CHECKPOINT_MODEL_EXPORT_H
#define CHECKPOINT_MODEL_EXPORT_H

#include "checkpoint/checkpoint.h"
#include "data/gguf_write.h"

/* The metadata of a GGUF file of that model: configuration, decoding defaults, vocabulary. Those of a checkpoint that is
 * a GGUF file are copied as they are. The checkpoint is open with configuration and tokenizer. file_type is the number
 * of general.file_type. STATUS_UNSUPPORTED for rope kinds that GGUF files of this architecture do not have (dynamic,
 * longrope). */
status model_export_gguf(const struct checkpoint *, int file_type, struct gguf_writer *,
                         struct error *err);

/* Appends config.json and generation_config.json. */
status model_export_config(const struct checkpoint *, enum dtype weights, struct strbuf *config,
                           struct strbuf *generation, struct error *err);

#endif
