/* aarch64 with dot products of 8 bits and of bfloat16: all kinds; attention of the narrower kinds in bfloat16. */
#define NAME neon_bf16
#define NEEDS (CPU_DOTPROD | CPU_BF16)
#define INT8_DOTS
#define NEON
#define DOTPROD
#define BF16
#include "lanes_vector.h"
#include "target.h"
