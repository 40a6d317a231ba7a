/* Any CPU: float32 and int8. */
#define NAME plain
#define NEEDS 0
#define INT8_DOTS
#include "lanes_vector.h"
#include "target.h"
