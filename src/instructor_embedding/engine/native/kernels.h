/* A table of kernels: the functions that are compiled once per instruction set, and the tile shape they work in. */
#ifndef KERNELS_H
#define KERNELS_H

#include "engine.h"

/* Of CPU features; features.c reports which ones this CPU has. */
enum {
    CPU_AVX2 = 1,       /* with FMA and F16C */
    CPU_AVX_VNNI = 2,   /* int8 dot products of 256-bit registers */
    CPU_AVX512 = 4,     /* F, BW, DQ, VL */
    CPU_AVX512_VNNI = 8,
    CPU_AVX512_BF16 = 16,
    CPU_DOTPROD = 32,   /* aarch64: int8 dot products */
    CPU_BF16 = 64,      /* aarch64: bfloat16 dot products */
};
int32_t cpu_features(void);

/* How rows are stored for INT8 matmuls. Signed values are -127 to 127, unsigned ones (after a relu) 0 to 255.
   CODES_UINT8: signed values plus 128. CODES_INT8: unsigned values less 128. CODES_INT16: both unchanged. */
enum codes { CODES_UINT8, CODES_INT8, CODES_INT16 };

/* Left operand of a matmul: `stride` bytes from row to row; in INT8 a scale per row. */
struct rows {
    char *values;
    size_t stride;
    float *scale;
    int is_signed;
};

/* What happens to the sums while they are in cache. */
enum finish { TO_FLOAT, TO_BFLOAT16, ADD, ACTIVE_FLOAT, ACTIVE_BFLOAT16, GATE_FLOAT, GATE_BFLOAT16 };

struct target {
    enum finish finish;
    void *to;
    size_t stride; /* in elements */
    enum activation activation;
};

/* One head of one text; row `i` of the text is `qkv + index[i] * stride`, or row i where `index` is NULL; queries from
   `skip` on, written to `mixed`. */
struct attention {
    const char *qkv;
    const int32_t *index;
    size_t stride, mixed_stride; /* bytes */
    int length, skip, heads, head, number;
    const float *bias; /* of distance 0 */
    char *mixed;
    char *scratch;
};

struct kernels {
    const char *name;
    int32_t needs;            /* CPU features */
    int32_t kinds;            /* bit 1 << kind for each supported kind */
    int32_t lanes, tile_rows; /* a tile is `tile_rows` rows by 2 `lanes` columns */
    int32_t int8_step;        /* inputs of a step in INT8 */
    enum codes codes;
    /* rows by the panels from `first` to `last` of a weight */
    void (*gemm)(enum format kind, const struct rows *rows, int count, const struct weight *weight, int first, int last,
                 const struct target *target);
    /* RMS norm of a row, stored as the matmul's left operand */
    void (*norm)(enum format kind, const float *from, const float *weight, int width, float epsilon, char *to,
                 float *scale);
    void (*quantize)(int from_bfloat16, const void *from, int width, int is_signed, char *to, float *scale);
    void (*embed)(const struct model *model, int32_t id, float *to);
    void (*mean)(const float *rows, size_t stride, int count, int width, float *to);
    size_t (*attention_bytes[2])(int length, int head); /* by FLOAT32, BFLOAT16 */
    void (*attend[2])(const struct attention *attention);
};

/* NULL where `number` is past the end. */
const struct kernels *kernels_of(int32_t number);

static inline int step_inputs(const struct kernels *kernels, enum format kind)
{
    return kind == INT8 ? kernels->int8_step : kind == BFLOAT16 ? 2 : 1;
}

static inline size_t steps_of(const struct kernels *kernels, enum format kind, int32_t inputs)
{
    return (size_t)((inputs + step_inputs(kernels, kind) - 1) / step_inputs(kernels, kind));
}

/* Bytes of a step of one column: an INT8 weight of CODES_INT16 stays 8 bits wide until it is multiplied. */
static inline size_t step_bytes(const struct kernels *kernels, enum format kind)
{
    return kind == INT8 ? (size_t)kernels->int8_step : 4;
}

/* Bytes of a row of the left operand, 4 per step: complete vectors, and an odd number of cache lines, so that the rows
   of a tile do not compete for one set of the cache. */
static inline size_t row_stride(const struct kernels *kernels, enum format kind, int32_t inputs)
{
    const size_t bytes = (size_t)(inputs + 15) / 16 * 16 * 4 / (size_t)step_inputs(kernels, kind);
    return ((bytes + 63) / 64 | 1) * 64;
}

static inline int columns_of(const struct kernels *kernels)
{
    return 2 * kernels->lanes;
}

static inline int tiles_for(const struct kernels *kernels, int rows)
{
    return (rows + kernels->tile_rows - 1) / kernels->tile_rows;
}

static inline size_t element_bytes(enum finish finish)
{
    return finish == TO_BFLOAT16 || finish == ACTIVE_BFLOAT16 || finish == GATE_BFLOAT16 ? 2 : 4;
}

#endif
