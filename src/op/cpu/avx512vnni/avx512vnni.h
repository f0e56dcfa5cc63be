/* avx512vnni: what AVX512_VNNI adds to avx512: linear for packed quantised weights. */
#ifndef OP_CPU_AVX512VNNI_AVX512VNNI_H
#define OP_CPU_AVX512VNNI_AVX512VNNI_H

#include "op/op.h"

void op_linear_avx512vnni(const struct op_context *, const struct op_linear *);
bool op_packs_avx512vnni(enum dtype);

#endif
