/* float32 by float32. */
#define KIND float32
#define MULTIPLY "vfmadd231ps"
#include "tile.h"
