/* bfloat16 by bfloat16, with avx512_bf16. */
#define KIND bfloat16
#define MULTIPLY "vdpbf16ps"
#include "tile.h"
