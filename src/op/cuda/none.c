/* A build without CUDA: no device can be opened, so none of this is ever reached with one. */
#include "op/cuda/op_cuda.h"

static status refuse(struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED, "cuda: this program was built without CUDA");
}
status op_cuda_create(struct op_cuda **out, struct device *device,
                      const struct op_cuda_limits *limits, struct error *err)
{
    (void)device, (void)limits, *out = NULL;
    return refuse(err);
}
status op_cuda_check_limits(const struct op_cuda_limits *limits, struct error *err)
{
    (void)limits;
    return refuse(err);
}
void op_cuda_destroy(struct op_cuda *cuda) { (void)cuda; }
uint64_t op_cuda_bytes(const struct op_cuda_limits *limits)
{
    (void)limits;
    return 0;
}
status op_cuda_check(struct op_cuda *cuda, struct error *err)
{
    (void)cuda;
    return refuse(err);
}
void op_cuda_set_deterministic(struct op_cuda *cuda, bool on) { (void)cuda, (void)on; }
void op_bodies_cuda(struct op_table *table) { *table = (struct op_table){.name = "cuda"}; }
void op_cuda_argmax(struct op_cuda *cuda, const float *logits, int64_t n_rows, int64_t vocab_size,
                    int32_t *tokens)
{
    (void)cuda, (void)logits, (void)n_rows, (void)vocab_size, (void)tokens;
}
void op_cuda_sample(struct op_cuda *cuda, const float *logits, int64_t vocab_size,
                    const struct op_cuda_draw *draws, int64_t n_draws, int32_t *tokens)
{
    (void)draws;
    op_cuda_argmax(cuda, logits, n_draws, vocab_size, tokens);
}
status op_cuda_fill_random_bf16(void *stream, void *data, size_t bytes, uint64_t offset,
                                struct error *err)
{
    (void)stream, (void)data, (void)bytes, (void)offset;
    return refuse(err);
}
status op_cuda_quantise_fp8(void *stream, const void *from, int64_t rows, int64_t columns,
                            void *fp8, float *scales, struct error *err)
{
    (void)rows, (void)columns, (void)fp8, (void)scales;
    return op_cuda_fill_random_bf16(stream, (void *)(uintptr_t)from, 0, 0, err);
}
