/* Weights into panels, once. */
#include <string.h>

#include "engine.h"

size_t panel_bytes(int32_t kind, int32_t outputs, int32_t inputs)
{
    return (size_t)(outputs + TILE_COLUMNS - 1) / TILE_COLUMNS * steps_of((enum kind)kind, inputs) * 128;
}

/* From rows (outputs, inputs) in float32, bfloat16 or int8 without gaps; `shift` is filled in int8. */
void panel_pack(int32_t kind, const char *from, int32_t outputs, int32_t inputs, char *panels, int32_t *shift)
{
    const size_t steps = steps_of((enum kind)kind, inputs), size = kind == INT8 ? 1 : kind == BFLOAT16 ? 2 : 4;
    const size_t bytes = (size_t)inputs * size;
    memset(panels, 0, panel_bytes(kind, outputs, inputs));
    for (int32_t output = 0; output < outputs; output++) {
        const char *row = from + (size_t)output * bytes;
        char *to = panels + (size_t)(output / TILE_COLUMNS) * steps * 128 + output % TILE_COLUMNS * 4;
        for (size_t step = 0; step < steps; step++)
            memcpy(to + step * 128, row + step * 4, bytes - step * 4 < 4 ? bytes - step * 4 : 4);
        if (kind == INT8) {
            int32_t sum = 0;
            for (int32_t i = 0; i < inputs; i++)
                sum += ((const int8_t *)row)[i];
            shift[output] = 128 * sum;
        }
    }
}
