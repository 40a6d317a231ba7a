/* AVX2 and FMA: float32, and int8 by exact dot products of 16-bit pairs. */
#define NAME avx2
#define NEEDS CPU_AVX2
#define INT8_DOTS
#include "lanes_avx2.h"
#include "target.h"
