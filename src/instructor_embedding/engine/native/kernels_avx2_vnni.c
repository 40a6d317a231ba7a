/* AVX2 with AVX-VNNI (desktop CPUs without AVX-512): float32 and int8. */
#define NAME avx2_vnni
#define NEEDS (CPU_AVX2 | CPU_AVX_VNNI)
#define INT8_DOTS
#define AVX_VNNI
#include "lanes_avx2.h"
#include "target.h"
