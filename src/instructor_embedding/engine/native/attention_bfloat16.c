/* Attention in bfloat16, with avx512_bf16; sums and softmax are float32. */
#define KIND bfloat16
#define BYTES 2
#define NARROW(x) ((__m256i)_mm512_cvtneps_pbh(x))
#include "attention.h"
