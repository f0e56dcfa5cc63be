/* quant_mix: named ways to quantise a whole model, tensor by tensor, by the rules that llama.cpp publishes for the same
 * names (llama-quantize), so that a file of a name has the same types whoever made it. */
#ifndef CHECKPOINT_QUANT_MIX_H
#define CHECKPOINT_QUANT_MIX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "model/llama.h"

/* X(name, number of general.file_type, the type that most matrices get) */
#define QUANT_MIX_LIST(X)                                                                          \
    X(F32, 0, F32)                                                                                 \
    X(F16, 1, F16)                                                                                 \
    X(BF16, 32, BF16)                                                                              \
    X(Q4_0, 2, Q4_0)                                                                               \
    X(Q4_1, 3, Q4_1)                                                                               \
    X(Q5_0, 8, Q5_0)                                                                               \
    X(Q5_1, 9, Q5_1)                                                                               \
    X(Q8_0, 7, Q8_0)                                                                               \
    X(Q2_K, 10, Q2_K)                                                                              \
    X(Q2_K_S, 21, Q2_K)                                                                            \
    X(Q3_K_S, 11, Q3_K)                                                                            \
    X(Q3_K_M, 12, Q3_K)                                                                            \
    X(Q3_K_L, 13, Q3_K)                                                                            \
    X(Q4_K_S, 14, Q4_K)                                                                            \
    X(Q4_K_M, 15, Q4_K)                                                                            \
    X(Q5_K_S, 16, Q5_K)                                                                            \
    X(Q5_K_M, 17, Q5_K)                                                                            \
    X(Q6_K, 18, Q6_K)                                                                              \
    X(IQ4_NL, 25, IQ4_NL)                                                                          \
    X(IQ4_XS, 30, IQ4_XS)                                                                          \
    X(MXFP4, 38, MXFP4)

enum quant_mix {
    QUANT_MIX_NONE,
#define X(name, number, base) QUANT_MIX_##name,
    QUANT_MIX_LIST(X)
#undef X
        QUANT_MIX_COUNT
};

/* Any case; "Q3_K", "Q4_K" and "Q5_K" mean their _M. QUANT_MIX_NONE when unknown. */
enum quant_mix quant_mix_from_name(struct str name);
const char *quant_mix_name(enum quant_mix);
int quant_mix_file_type(enum quant_mix);
enum dtype quant_mix_base(enum quant_mix);
/* "F32|F16|...", for help texts. */
const char *quant_mix_names(void);

struct quant_mix_options {
    enum quant_mix mix;
    bool pure;                     /* every matrix gets the base type */
    enum dtype output, embeddings; /* of these two matrices; DTYPE_NONE: by the rules */
    bool with_importance;
};

/* The type of a matrix with that GGUF name ("blk.3.ffn_down.weight" is layer 3, "ffn_down.weight"; layer -1 for the
 * others) and rows of so many elements. */
enum dtype quant_mix_choose(const struct quant_mix_options *, const struct llama_config *,
                            int64_t layer, const char *gguf_name, int64_t columns);

#endif
