/* AVX-512 with VNNI: float32 and int8. */
#define NAME avx512_vnni
#define NEEDS (CPU_AVX512 | CPU_AVX512_VNNI)
#define INT8_DOTS
#include "lanes_avx512.h"
#include "target.h"
