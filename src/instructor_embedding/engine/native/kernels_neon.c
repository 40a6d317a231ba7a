/* aarch64: float32, and int8 by exact dot products of 16-bit pairs. */
#define NAME neon
#define NEEDS 0
#define INT8_DOTS
#define NEON
#include "lanes_vector.h"
#include "target.h"
