/* aarch64 with 8-bit dot products: float32 and int8. */
#define NAME neon_dotprod
#define NEEDS CPU_DOTPROD
#define INT8_DOTS
#define NEON
#define DOTPROD
#include "lanes_vector.h"
#include "target.h"
