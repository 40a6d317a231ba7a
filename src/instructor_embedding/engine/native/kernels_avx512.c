/* AVX-512 F, BW, DQ, VL: float32. */
#define NAME avx512
#define NEEDS CPU_AVX512
#include "lanes_avx512.h"
#include "target.h"
