/* The T5 encoder on packed tokens: the interface of the compiled engine.

   Letters: T tokens of a batch, U distinct ones, D width, H heads, K width of a head, F inner width. */
#ifndef ENGINE_H
#define ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Version of the exported functions and of the structures that callers fill; native_library.py has the same number.
   Raise both with every change, including those that change no size or offset. */
enum { ENGINE_ABI = 3 };

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Of stored elements; the first three are also what matmuls compute in. */
enum format { FLOAT32, BFLOAT16, INT8, INT4, FLOAT16 };
enum { KINDS = 3 };
enum activation { RELU, GELU, GELU_NEW, SILU };

/* One matrix (rows, inputs) before packing. INT8 has a float32 scale per row; INT4 has a float16 scale per group of 32
   inputs, and in each byte input i in the low and input inputs/2 + i in the high nibble, both 8 too large. */
struct source {
    const void *values, *scale;
    int32_t format, rows;
};

/* A prepacked weight (outputs, inputs): panels of as many outputs as a tile has columns, [panel][step][column], padded
   with zeros. A step is the inputs that one instruction multiplies per column: see kernels.h. */
struct weight {
    const char *panels;
    const float *scale;   /* INT8: per-channel scale, padded to complete panels */
    const int32_t *shift; /* INT8: what an offset of the row codes by 128 adds to the sums, padded likewise */
    int32_t inputs, outputs;
};

struct layer {
    const float *attention_norm, *feed_forward_norm;
    struct weight qkv, o, up, down; /* gated: each panel of `up` has a vector of gates and a vector of values */
};

struct model {
    int32_t kernels;         /* index of the kernels that the weights are packed for */
    int32_t kind, attention; /* of matmuls, and of attention: BFLOAT16 or FLOAT32 */
    int32_t width, heads, head, inner, layers, activation, gated, dense;
    float epsilon;
    int32_t table_format; /* FLOAT32, BFLOAT16, INT8 or INT4 */
    const void *table;
    const void *table_scale;
    const float *table_columns; /* INT8 and INT4: mean and standard deviation of each column */
    const struct layer *layer;
    const float *final_norm;
    const struct weight *head_weights; /* `dense` of them, FLOAT32 */
};

struct batch {
    const int32_t *ids;    /* (U,) distinct, at most as many as there are tokens */
    const int32_t *where;  /* (T,) index in `ids` of each token */
    const int32_t *starts; /* (texts + 1,) */
    const int32_t *skip;   /* (texts,) */
    const float *bias;     /* (H, 2 span - 1), by key position less query position plus span - 1 */
    int32_t texts, distinct, span;
    float *vectors;        /* (texts, outputs of the last head weight, or D) */
};

/* interface.c. Kernels are numbered from 0, the fastest first; `kernels` is such a number. */
EXPORT int32_t engine_abi(int32_t *layout, int32_t count);
EXPORT const char *engine_kernels_name(int32_t kernels);
EXPORT int32_t engine_kernels_kinds(int32_t kernels);
EXPORT int32_t engine_tile(int32_t kernels, int32_t columns);

/* pack.c */
EXPORT size_t engine_weight_bytes(int32_t kernels, int32_t kind, const struct source *sources, int32_t count,
                                  int32_t inputs, int32_t gated);
EXPORT int32_t engine_pack(int32_t kernels, int32_t kind, const struct source *sources, int32_t count, int32_t inputs,
                           int32_t gated, char *memory, struct weight *weight);

/* forward.c */
EXPORT size_t engine_forward_bytes(const struct model *model, const struct batch *batch, int32_t threads);
EXPORT void engine_forward(const struct model *model, const struct batch *batch, int32_t threads, char *scratch);

#endif
