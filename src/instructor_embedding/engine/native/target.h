/* All kernels of one instruction set. Included by the kernels_*.c after a lanes_*.h, with NAME, NEEDS, and
   BF16 and INT8_DOTS where the instruction set has these dot products. */
#include <math.h>
#include <string.h>

#include "half.h"
#include "kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)
#define TEXT_OF(a) #a
#define TEXT(a) TEXT_OF(a)

/* e^x within 2e-7 of the value. */
static inline vec vec_exp(vec x)
{
    x = vec_max(vec_min(x, vec_set(EXP_MOST)), vec_set(EXP_LEAST));
    vec n = vec_round(vec_mul(x, vec_set(1.44269504f)));
    vec rest = vec_fnma(n, vec_set(0.693145752f), x);
    rest = vec_fnma(n, vec_set(1.42860677e-6f), rest);
    vec sum = vec_set(1.98756915e-4f);
    sum = vec_fma(sum, rest, vec_set(1.39819995e-3f));
    sum = vec_fma(sum, rest, vec_set(8.33345191e-3f));
    sum = vec_fma(sum, rest, vec_set(4.16657957e-2f));
    sum = vec_fma(sum, rest, vec_set(1.66666655e-1f));
    sum = vec_fma(sum, rest, vec_set(0.5f));
    sum = vec_fma(sum, vec_mul(rest, rest), vec_add(rest, vec_set(1.f)));
    return vec_scale(sum, n);
}

/* One step of one row: an element, or a word of several, spread and multiplied by both vectors of columns. */
#define ROW_OF(kind, left_sum, right_sum, from)                                                      \
    do {                                                                                             \
        const kind##_SUM x = kind##_SPREAD(from);                                                    \
        kind##_DOT(left_sum, x, left);                                                               \
        kind##_DOT(right_sum, x, right);                                                             \
    } while (0)
#define float32_ROW(left_sum, right_sum, from) ROW_OF(float32, left_sum, right_sum, from)
#define bfloat16_ROW(left_sum, right_sum, from) ROW_OF(bfloat16, left_sum, right_sum, from)
#ifndef int8_ROW
#define int8_ROW(left_sum, right_sum, from) ROW_OF(int8, left_sum, right_sum, from)
#endif

#define EACH_ROW(X)                                                                                  \
    X(0, p0) X(1, p0 + row_stride) X(2, p0 + 2 * row_stride) X(3, p0 + three)                        \
    X(4, p1) X(5, p1 + row_stride) X(6, p1 + 2 * row_stride) X(7, p1 + three)                        \
    X(8, p2) X(9, p2 + row_stride) X(10, p2 + 2 * row_stride) X(11, p2 + three)
#ifndef EACH_TILE
#define EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#endif
typedef void tile(const char *rows, size_t row_stride, const char *panel, size_t steps, const char *next,
                  size_t interval, int add, void *sums, size_t stride);

#define KIND float32
#include "tile.h"
#ifdef BF16
#define KIND bfloat16
#include "tile.h"
#endif
#ifdef INT8_DOTS
#define KIND int8
#include "tile.h"
enum { INT8_STEP = int8_STEP };
#else
enum { INT8_STEP = 4 };
#endif

#include "gemm.h"
#include "rows.h"

enum { KEYS_SUMMED = 128 };

static size_t to_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static int to_columns(int count)
{
    return (count + 2 * LANES - 1) / (2 * LANES) * (2 * LANES);
}

#define KIND float32
#define BYTES 4
#define STORE_ELEMENTS(to, x) vec_store((float *)(to), x)
#define STORE_ELEMENTS_TAIL(to, x, count) vec_store_tail((float *)(to), x, count)
#include "attention.h"
#ifdef BF16
#define KIND bfloat16
#define BYTES 2
#define STORE_ELEMENTS(to, x) vec_store_bf16_fast((uint16_t *)(to), x)
#define STORE_ELEMENTS_TAIL(to, x, count) vec_store_bf16_fast_tail((uint16_t *)(to), x, count)
#include "attention.h"
#endif

const struct kernels NAMED(kernels_, NAME) = {
    .name = TEXT(NAME),
    .needs = NEEDS,
    .lanes = LANES,
    .tile_rows = TILE_ROWS,
    .int8_step = INT8_STEP,
    .codes = CODES,
    .gemm = gemm,
    .norm = norm,
    .quantize = quantize,
    .embed = embed,
    .mean = mean,
#if defined(BF16) && defined(INT8_DOTS)
    .kinds = 1 << FLOAT32 | 1 << BFLOAT16 | 1 << INT8,
    .attention_bytes = {attention_bytes_float32, attention_bytes_bfloat16},
    .attend = {attend_float32, attend_bfloat16},
#elif defined(INT8_DOTS)
    .kinds = 1 << FLOAT32 | 1 << INT8,
    .attention_bytes = {attention_bytes_float32},
    .attend = {attend_float32},
#else
    .kinds = 1 << FLOAT32,
    .attention_bytes = {attention_bytes_float32},
    .attend = {attend_float32},
#endif
};
