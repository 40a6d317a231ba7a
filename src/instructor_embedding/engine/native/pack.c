/* Weights into panels, once, from whatever format they are stored in. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "kernels.h"

static size_t to_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Index among a weight's outputs of row `row` of source `number`, whose rows follow `before` others. Gated layers
   interleave: LANES rows of the first source, LANES of the second. */
static int32_t output_of(const struct kernels *kernels, int32_t number, int32_t row, int32_t before, int32_t gated)
{
    if (!gated)
        return before + row;
    return row / kernels->lanes * columns_of(kernels) + number * kernels->lanes + row % kernels->lanes;
}

static int32_t outputs_of(const struct kernels *kernels, const struct source *sources, int32_t count, int32_t gated)
{
    int32_t outputs = 0;
    for (int32_t i = 0; i < count; i++)
        outputs += gated ? (sources[i].rows + kernels->lanes - 1) / kernels->lanes * kernels->lanes : sources[i].rows;
    return outputs;
}

static size_t panel_bytes(const struct kernels *kernels, enum format kind, int32_t inputs)
{
    return steps_of(kernels, kind, inputs) * columns_of(kernels) * step_bytes(kernels, kind);
}

static size_t panels_of(const struct kernels *kernels, int32_t outputs)
{
    return (size_t)(outputs + columns_of(kernels) - 1) / columns_of(kernels);
}

/* Panels, scales, shifts, and what it takes to start at a cache line. Tiles prefetch past the end, which needs none. */
static size_t bytes_of(const struct kernels *kernels, enum format kind, int32_t outputs, int32_t inputs)
{
    const size_t panels = panels_of(kernels, outputs), padded = panels * (size_t)columns_of(kernels);
    return to_lines(panels * panel_bytes(kernels, kind, inputs)) + (kind == INT8 ? 2 * to_lines(padded * 4) : 0) + 64;
}

size_t engine_weight_bytes(int32_t kernels, int32_t kind, const struct source *sources, int32_t count, int32_t inputs,
                           int32_t gated)
{
    const struct kernels *table = kernels_of(kernels);
    return bytes_of(table, (enum format)kind, outputs_of(table, sources, count, gated), inputs);
}

static void dequantize_int4(const struct source *source, int32_t row, int32_t inputs, float *to)
{
    const int32_t half = inputs / 2, groups = inputs / 32;
    const uint8_t *codes = (const uint8_t *)source->values + (size_t)row * half;
    const uint16_t *scale = (const uint16_t *)source->scale + (size_t)row * groups;
    for (int32_t i = 0; i < inputs; i++)
        to[i] = (float)((i < half ? codes[i] & 15 : codes[i - half] >> 4) - 8) * float_of_half(scale[i / 32]);
}

/* A row in float32. */
static void read_row(const struct source *source, int32_t row, int32_t inputs, float *to)
{
    const size_t start = (size_t)row * inputs;
    switch ((enum format)source->format) {
    case FLOAT32:
        memcpy(to, (const float *)source->values + start, (size_t)inputs * sizeof(float));
        break;
    case BFLOAT16:
        for (int32_t i = 0; i < inputs; i++)
            to[i] = float_of_bf16(((const uint16_t *)source->values)[start + i]);
        break;
    case FLOAT16:
        for (int32_t i = 0; i < inputs; i++)
            to[i] = float_of_half(((const uint16_t *)source->values)[start + i]);
        break;
    case INT8:
        for (int32_t i = 0; i < inputs; i++)
            to[i] = (float)((const int8_t *)source->values)[start + i] * ((const float *)source->scale)[row];
        break;
    case INT4:
        dequantize_int4(source, row, inputs, to);
        break;
    }
}

/* Whether all values are finite: the largest exponent is that of infinities and NaN. */
static int is_finite(const float *values, int32_t count)
{
    uint32_t largest = 0;
    for (int32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        bits &= 0x7f800000;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7f800000;
}

/* Symmetric per-channel quantization to -127..127; returns the scale. */
static float to_int8(const float *values, int32_t count, int8_t *codes)
{
    float size = 0;
    for (int32_t i = 0; i < count; i++)
        size = fmaxf(size, fabsf(values[i]));
    const float scale = fmaxf(size, 1e-30f) / 127;
    for (int32_t i = 0; i < count; i++)
        codes[i] = (int8_t)rintf(values[i] / scale);
    return scale;
}

static void to_bf16(const float *values, int32_t count, uint16_t *to)
{
    for (int32_t i = 0; i < count; i++)
        to[i] = bf16_of_float(values[i]);
}

/* Where an output's first step is, and how steps follow: each holds `step` consecutive bytes of the row. */
struct column {
    char *to;
    size_t step, stride;
};

static void scatter(const struct column *column, const char *row, size_t bytes)
{
    for (size_t at = 0, step = 0; at < bytes; at += column->step, step++) {
        const size_t rest = bytes - at;
        if (column->step == 4 && rest >= 4)
            memcpy(column->to + step * column->stride, row + at, 4);
        else
            memcpy(column->to + step * column->stride, row + at, rest < column->step ? rest : column->step);
    }
}

/* What the sums of an output have to be corrected by: see `enum codes`. */
static int32_t shift_of(const struct kernels *kernels, const int8_t *codes, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += codes[i];
    return kernels->codes == CODES_UINT8 ? 128 * sum : -128 * sum;
}

/* One output. `row` is scratch memory for two rows of floats. Returns whether the values are finite. */
static int pack_row(const struct kernels *kernels, enum format kind, const struct source *source, int32_t number,
                    int32_t output, struct weight *weight, float *row)
{
    const int32_t inputs = weight->inputs;
    const size_t panel = panel_bytes(kernels, kind, inputs), step = step_bytes(kernels, kind);
    char *panels = (char *)(uintptr_t)weight->panels;
    char *const first = panels + output / columns_of(kernels) * panel + output % columns_of(kernels) * step;
    const struct column column = {first, step, columns_of(kernels) * step};
    const int8_t *codes = (const int8_t *)source->values + (size_t)number * inputs;
    if (kind == INT8 && source->format == INT8) {
        ((float *)(uintptr_t)weight->scale)[output] = ((const float *)source->scale)[number];
    } else {
        read_row(source, number, inputs, row);
        if (!is_finite(row, inputs))
            return 0;
    }
    if (kind == FLOAT32) {
        scatter(&column, (const char *)row, (size_t)inputs * 4);
    } else if (kind == BFLOAT16) {
        to_bf16(row, inputs, (uint16_t *)(row + inputs));
        scatter(&column, (const char *)(row + inputs), (size_t)inputs * 2);
    } else {
        if (source->format != INT8) {
            codes = (const int8_t *)(row + inputs);
            ((float *)(uintptr_t)weight->scale)[output] = to_int8(row, inputs, (int8_t *)(row + inputs));
        }
        ((int32_t *)(uintptr_t)weight->shift)[output] = shift_of(kernels, codes, inputs);
        scatter(&column, (const char *)codes, (size_t)inputs);
    }
    return kind != INT8 || is_finite(weight->scale + output, 1);
}

/* Packs the rows of all sources, one after the other or gated, into `memory` of engine_weight_bytes, and fills
   `weight`. Returns 0, or the number of the first source (from 1) with a value that is not finite, or -1 if there is no
   memory. */
int32_t engine_pack(int32_t kernels, int32_t kind, const struct source *sources, int32_t count, int32_t inputs,
                    int32_t gated, char *memory, struct weight *weight)
{
    const struct kernels *table = kernels_of(kernels);
    const int32_t outputs = outputs_of(table, sources, count, gated);
    const size_t panels = panels_of(table, outputs), padded = panels * (size_t)columns_of(table);
    char *at = (char *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    float *row = malloc(2 * (size_t)inputs * sizeof(float));
    int32_t status = row ? 0 : -1;
    memset(memory, 0, bytes_of(table, (enum format)kind, outputs, inputs));
    *weight = (struct weight){.panels = at, .inputs = inputs, .outputs = outputs};
    if (kind == INT8) {
        weight->scale = (const float *)(at + to_lines(panels * panel_bytes(table, INT8, inputs)));
        weight->shift = (const int32_t *)((const char *)weight->scale + to_lines(padded * 4));
    }
    for (int32_t number = 0, before = 0; number < count && !status; before += sources[number++].rows)
        for (int32_t i = 0; i < sources[number].rows && !status; i++)
            if (!pack_row(table, (enum format)kind, sources + number, i, output_of(table, number, i, before, gated),
                          weight, row))
                status = number + 1;
    free(row);
    return status;
}
