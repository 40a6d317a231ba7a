/* uint8 rows by int8 weights, with avx512_vnni. */
#define KIND int8
#define MULTIPLY "vpdpbusd"
#include "tile.h"
