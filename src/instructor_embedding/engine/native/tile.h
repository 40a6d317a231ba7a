/* Products of up to 12 rows with a panel of 32 columns, all sums in registers.
   Included with KIND, and MULTIPLY: the instruction that adds products of 4-byte words to sums. */
#include <immintrin.h>

#include "engine.h"

#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)
#define ADD_PRODUCT(sum, x, y) __asm__(MULTIPLY " %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y))

#define EACH_ROW(X)                                                                                  \
    X(0, p0) X(1, p0 + row_stride) X(2, p0 + 2 * row_stride) X(3, p0 + three)                        \
    X(4, p1) X(5, p1 + row_stride) X(6, p1 + 2 * row_stride) X(7, p1 + three)                        \
    X(8, p2) X(9, p2 + row_stride) X(10, p2 + 2 * row_stride) X(11, p2 + three)
#define START(i, p) __m512i left##i = _mm512_setzero_si512(), right##i = _mm512_setzero_si512();
#define STEP(i, p)                                                                                   \
    if (i < count) {                                                                                 \
        __m512i x = _mm512_set1_epi32(*(const int32_t *)(p));                                        \
        ADD_PRODUCT(left##i, x, left);                                                               \
        ADD_PRODUCT(right##i, x, right);                                                             \
    }
#define STORE(i, p)                                                                                  \
    if (i < count) {                                                                                 \
        _mm512_storeu_si512((int32_t *)sums + i * stride, left##i);                                  \
        _mm512_storeu_si512((int32_t *)sums + i * stride + 16, right##i);                            \
    }

static inline __attribute__((always_inline)) void multiply(const int count, const char *rows, size_t row_stride,
                                                           const char *panel, size_t steps, size_t ahead,
                                                           void *sums, size_t stride)
{
    const char *p0 = rows, *p1 = rows + 4 * row_stride, *p2 = rows + 8 * row_stride;
    const size_t three = 3 * row_stride;
    EACH_ROW(START)
    for (size_t step = 0; step < steps; step++) {
        __m512i left = _mm512_loadu_si512(panel), right = _mm512_loadu_si512(panel + 64);
        EACH_ROW(STEP)
        _mm_prefetch(panel + ahead, _MM_HINT_T1);
        _mm_prefetch(panel + ahead + 64, _MM_HINT_T1);
        p0 += 4, p1 += 4, p2 += 4, panel += 128;
    }
    EACH_ROW(STORE)
}

#define TILE(n)                                                                                      \
    static void tile##n(const char *rows, size_t row_stride, const char *panel, size_t steps, size_t ahead, \
                        void *sums, size_t stride)                                                   \
    {                                                                                                \
        multiply(n, rows, row_stride, panel, steps, ahead, sums, stride);                            \
    }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)

tile *const NAMED(tiles_, KIND)[] = {tile1, tile2, tile3, tile4, tile5, tile6,
                                     tile7, tile8, tile9, tile10, tile11, tile12};
