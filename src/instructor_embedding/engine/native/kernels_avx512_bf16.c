/* AVX-512 with VNNI and BF16: all kinds; attention of the narrower kinds in bfloat16. */
#define NAME avx512_bf16
#define NEEDS (CPU_AVX512 | CPU_AVX512_VNNI | CPU_AVX512_BF16)
#define INT8_DOTS
#define BF16
#include "lanes_avx512.h"
#include "target.h"
