/* Attention in float32. */
#define KIND float32
#define BYTES 4
#define NARROW(x) narrow(x)
#include "attention.h"
