/* The AVX-512 and AVX-VNNI instructions that the engine's kernels use, element by element as Intel's manual defines
   them, for CPUs that lack them. Compile the kernels with `-include emulated_avx512.h -mavx2 -mfma -mf16c`. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define EMULATE static inline __attribute__((unused))
#define EACH(i) for (int i = 0; i < 16; i++)

typedef int32_t e_words __attribute__((vector_size(64)));
typedef uint32_t e_unsigned __attribute__((vector_size(64)));
typedef float e_floats __attribute__((vector_size(64)));

EMULATE __m512 e_set1_ps(float x) { e_floats y; EACH(i) y[i] = x; return (__m512)y; }
EMULATE __m512i e_set1_epi32(int32_t x) { e_words y; EACH(i) y[i] = x; return (__m512i)y; }
EMULATE __m512 e_loadu_ps(const void *from) { e_floats y; memcpy(&y, from, 64); return (__m512)y; }
EMULATE __m512i e_loadu_si512(const void *from) { e_words y; memcpy(&y, from, 64); return (__m512i)y; }
EMULATE void e_storeu_ps(void *to, __m512 x) { memcpy(to, &x, 64); }
EMULATE void e_storeu_si512(void *to, __m512i x) { memcpy(to, &x, 64); }
EMULATE __m512 e_add_ps(__m512 x, __m512 y) { return (__m512)((e_floats)x + (e_floats)y); }
EMULATE __m512 e_sub_ps(__m512 x, __m512 y) { return (__m512)((e_floats)x - (e_floats)y); }
EMULATE __m512 e_mul_ps(__m512 x, __m512 y) { return (__m512)((e_floats)x * (e_floats)y); }
EMULATE __m512 e_div_ps(__m512 x, __m512 y) { return (__m512)((e_floats)x / (e_floats)y); }
EMULATE __m512i e_add_epi32(__m512i x, __m512i y) { return (__m512i)((e_unsigned)x + (e_unsigned)y); }
EMULATE __m512i e_sub_epi32(__m512i x, __m512i y) { return (__m512i)((e_unsigned)x - (e_unsigned)y); }
EMULATE __m512i e_and_si512(__m512i x, __m512i y) { return x & y; }
EMULATE __m512i e_or_si512(__m512i x, __m512i y) { return x | y; }
EMULATE __m512i e_slli_epi32(__m512i x, int by) { return (__m512i)((e_unsigned)x << (uint32_t)by); }
EMULATE __m512i e_srli_epi32(__m512i x, int by) { return (__m512i)((e_unsigned)x >> (uint32_t)by); }
EMULATE __m512 e_castsi512_ps(__m512i x) { return (__m512)x; }
EMULATE __m512i e_castps_si512(__m512 x) { return (__m512i)x; }
EMULATE __m512 e_abs_ps(__m512 x) { return (__m512)((e_unsigned)x & 0x7fffffffu); }
EMULATE __m512 e_fmadd_ps(__m512 x, __m512 y, __m512 z) { EACH(i) z[i] = __builtin_fmaf(x[i], y[i], z[i]); return z; }
EMULATE __m512 e_fnmadd_ps(__m512 x, __m512 y, __m512 z) { EACH(i) z[i] = __builtin_fmaf(-x[i], y[i], z[i]); return z; }
/* The second operand where one is not a number. */
EMULATE __m512 e_max_ps(__m512 x, __m512 y) { EACH(i) y[i] = x[i] > y[i] ? x[i] : y[i]; return y; }
EMULATE __m512 e_min_ps(__m512 x, __m512 y) { EACH(i) y[i] = x[i] < y[i] ? x[i] : y[i]; return y; }

EMULATE __m512 e_mask_max_ps(__m512 from, __mmask16 mask, __m512 x, __m512 y)
{
    EACH(i) from[i] = mask >> i & 1 ? (x[i] > y[i] ? x[i] : y[i]) : from[i];
    return from;
}

EMULATE __m512 e_mask_sub_ps(__m512 from, __mmask16 mask, __m512 x, __m512 y)
{
    EACH(i) from[i] = mask >> i & 1 ? x[i] - y[i] : from[i];
    return from;
}

EMULATE __m512 e_maskz_mov_ps(__mmask16 mask, __m512 x) { EACH(i) x[i] = mask >> i & 1 ? x[i] : 0; return x; }

/* Masked loads touch no memory of other lanes. */
EMULATE __m512 e_maskz_loadu_ps(__mmask16 mask, const void *from)
{
    e_floats y;
    EACH(i) {
        float x = 0;
        if (mask >> i & 1)
            memcpy(&x, (const char *)from + 4 * i, 4);
        y[i] = x;
    }
    return (__m512)y;
}

EMULATE __m512i e_maskz_loadu_epi32(__mmask16 mask, const void *from) { return (__m512i)e_maskz_loadu_ps(mask, from); }

EMULATE void e_mask_storeu_ps(void *to, __mmask16 mask, __m512 x)
{
    EACH(i) if (mask >> i & 1) { const float y = x[i]; memcpy((char *)to + 4 * i, &y, 4); }
}

EMULATE __m256i e_maskz_loadu_epi16(__mmask16 mask, const void *from)
{
    uint16_t y[16] = {0};
    EACH(i) if (mask >> i & 1) memcpy(y + i, (const char *)from + 2 * i, 2);
    return _mm256_loadu_si256((const __m256i *)y);
}

EMULATE __m128i e_maskz_loadu_epi8(__mmask16 mask, const void *from)
{
    uint8_t y[16] = {0};
    EACH(i) if (mask >> i & 1) y[i] = ((const uint8_t *)from)[i];
    return _mm_loadu_si128((const __m128i *)y);
}

EMULATE void e_mask_storeu_epi16(void *to, __mmask16 mask, __m256i x)
{
    uint16_t y[16];
    _mm256_storeu_si256((__m256i *)y, x);
    EACH(i) if (mask >> i & 1) memcpy((char *)to + 2 * i, y + i, 2);
}

EMULATE __mmask16 e_less(__m512 x, __m512 y)
{
    unsigned mask = 0;
    EACH(i) mask |= (unsigned)(x[i] < y[i]) << i;
    return (__mmask16)mask;
}

EMULATE __m256i e_cvtepi32_epi16(__m512i x)
{
    uint16_t y[16];
    EACH(i) y[i] = (uint16_t)((e_words)x)[i];
    return _mm256_loadu_si256((const __m256i *)y);
}

EMULATE __m128i e_cvtepi32_epi8(__m512i x)
{
    uint8_t y[16];
    EACH(i) y[i] = (uint8_t)((e_words)x)[i];
    return _mm_loadu_si128((const __m128i *)y);
}

EMULATE __m512i e_cvtepi8_epi32(__m128i x)
{
    int8_t from[16];
    e_words y;
    _mm_storeu_si128((__m128i *)from, x);
    EACH(i) y[i] = from[i];
    return (__m512i)y;
}

EMULATE __m512i e_cvtepu16_epi32(__m256i x)
{
    uint16_t from[16];
    e_words y;
    _mm256_storeu_si256((__m256i *)from, x);
    EACH(i) y[i] = from[i];
    return (__m512i)y;
}

EMULATE __m512 e_cvtepi32_ps(__m512i x) { e_floats y; EACH(i) y[i] = (float)((e_words)x)[i]; return (__m512)y; }
EMULATE __m512i e_cvtps_epi32(__m512 x) { e_words y; EACH(i) y[i] = (int32_t)rintf(x[i]); return (__m512i)y; }
EMULATE __m512 e_round_ps(__m512 x) { EACH(i) x[i] = rintf(x[i]); return x; }
EMULATE __m512 e_scalef_ps(__m512 x, __m512 y) { EACH(i) x[i] = ldexpf(x[i], (int)floorf(y[i])); return x; }
EMULATE float e_reduce_max_ps(__m512 x) { float y = x[0]; EACH(i) y = x[i] > y ? x[i] : y; return y; }

/* gcc adds halves. */
EMULATE float e_reduce_add_ps(__m512 x)
{
    float y[16];
    memcpy(y, &x, 64);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            y[i] += y[i + half];
    return y[0];
}

/* Subnormal values become zero. */
EMULATE __m256i e_cvtneps_pbh(__m512 x)
{
    uint16_t y[16];
    e_unsigned bits = (e_unsigned)x;
    EACH(i) {
        const uint32_t b = bits[i] & 0x7f800000u ? bits[i] : bits[i] & 0x80000000u;
        y[i] = (uint16_t)((b + 0x7fffu + (b >> 16 & 1)) >> 16);
    }
    return _mm256_loadu_si256((const __m256i *)y);
}

/* Interleaves elements `start` and up of each 128-bit lane. */
EMULATE __m512i e_unpack_epi32(__m512i a, __m512i b, int start)
{
    e_words x = (e_words)a, y = (e_words)b, z = x;
    for (int lane = 0; lane < 16; lane += 4)
        for (int i = 0; i < 2; i++)
            z[lane + 2 * i] = x[lane + start + i], z[lane + 2 * i + 1] = y[lane + start + i];
    return (__m512i)z;
}

EMULATE __m512i e_unpack_epi64(__m512i x, __m512i y, int start)
{
    __m512i z = x;
    for (int lane = 0; lane < 8; lane += 2)
        z[lane] = x[lane + start], z[lane + 1] = y[lane + start];
    return z;
}

EMULATE __m512i e_shuffle_i32x4(__m512i a, __m512i b, int order)
{
    __m512i z = a;
    for (int lane = 0; lane < 4; lane++) {
        const int from = order >> 2 * lane & 3;
        z[2 * lane] = lane < 2 ? a[2 * from] : b[2 * from];
        z[2 * lane + 1] = lane < 2 ? a[2 * from + 1] : b[2 * from + 1];
    }
    return z;
}

/* float32: a fused multiply-add; bfloat16: the high halves first; int8: unsigned by signed. */
static inline __attribute__((unused)) int32_t e_dot(int which, int32_t sum, int32_t x, int32_t y)
{
    float s, a, b;
    if (which == 'p') {
        for (int i = 0; i < 4; i++)
            sum += (int32_t)(uint8_t)(x >> 8 * i) * (int8_t)(y >> 8 * i);
        return sum;
    }
    memcpy(&s, &sum, 4);
    if (which == 'f') {
        memcpy(&a, &x, 4), memcpy(&b, &y, 4);
        s = __builtin_fmaf(a, b, s);
    } else {
        for (int half = 1; half >= 0; half--) {
            const uint32_t left = (uint32_t)x << (half ? 0 : 16) & 0xffff0000u;
            const uint32_t right = (uint32_t)y << (half ? 0 : 16) & 0xffff0000u;
            memcpy(&a, &left, 4), memcpy(&b, &right, 4);
            s = __builtin_fmaf(a, b, s);
        }
    }
    memcpy(&sum, &s, 4);
    return sum;
}

static __attribute__((noinline, unused)) __m512i e_dot512(int which, __m512i sum, __m512i x, __m512i y)
{
    e_words s = (e_words)sum;
    EACH(i) s[i] = e_dot(which, s[i], ((e_words)x)[i], ((e_words)y)[i]);
    return (__m512i)s;
}

static __attribute__((noinline, unused)) __m256i e_dot256(int which, __m256i sum, __m256i x, __m256i y)
{
    int32_t s[8], a[8], b[8];
    memcpy(s, &sum, 32), memcpy(a, &x, 32), memcpy(b, &y, 32);
    for (int i = 0; i < 8; i++)
        s[i] = e_dot(which, s[i], a[i], b[i]);
    memcpy(&sum, s, 32);
    return sum;
}

/* "vfmadd231ps", "vdpbf16ps", "vpdpbusd": f, d or p. */
#define DOT(instruction, sum, x, y)                                                                  \
    sum = __builtin_choose_expr(sizeof(sum) == 64, e_dot512, e_dot256)(instruction[1], sum, x, y)

#define _mm512_set1_ps e_set1_ps
#define _mm512_set1_epi32 e_set1_epi32
#define _mm512_setzero_ps() e_set1_ps(0)
#define _mm512_setzero_si512() e_set1_epi32(0)
#define _mm512_load_ps e_loadu_ps
#define _mm512_loadu_ps e_loadu_ps
#define _mm512_loadu_si512 e_loadu_si512
#define _mm512_storeu_ps e_storeu_ps
#define _mm512_storeu_si512 e_storeu_si512
#define _mm512_add_ps e_add_ps
#define _mm512_sub_ps e_sub_ps
#define _mm512_mul_ps e_mul_ps
#define _mm512_div_ps e_div_ps
#define _mm512_add_epi32 e_add_epi32
#define _mm512_sub_epi32 e_sub_epi32
#define _mm512_and_si512 e_and_si512
#define _mm512_or_si512 e_or_si512
#define _mm512_slli_epi32 e_slli_epi32
#define _mm512_srli_epi32 e_srli_epi32
#define _mm512_castsi512_ps e_castsi512_ps
#define _mm512_castps_si512 e_castps_si512
#define _mm512_abs_ps e_abs_ps
#define _mm512_fmadd_ps e_fmadd_ps
#define _mm512_fnmadd_ps e_fnmadd_ps
#define _mm512_max_ps e_max_ps
#define _mm512_min_ps e_min_ps
#define _mm512_mask_max_ps e_mask_max_ps
#define _mm512_mask_sub_ps e_mask_sub_ps
#define _mm512_maskz_mov_ps e_maskz_mov_ps
#define _mm512_maskz_loadu_ps e_maskz_loadu_ps
#define _mm512_maskz_loadu_epi32 e_maskz_loadu_epi32
#define _mm512_mask_storeu_ps e_mask_storeu_ps
#define _mm256_maskz_loadu_epi16 e_maskz_loadu_epi16
#define _mm_maskz_loadu_epi8 e_maskz_loadu_epi8
#define _mm256_mask_storeu_epi16 e_mask_storeu_epi16
#define _mm512_cmp_ps_mask(x, y, predicate) e_less(x, y)
#define _mm512_cvtepi32_epi16 e_cvtepi32_epi16
#define _mm512_cvtepi32_epi8 e_cvtepi32_epi8
#define _mm512_cvtepi8_epi32 e_cvtepi8_epi32
#define _mm512_cvtepu16_epi32 e_cvtepu16_epi32
#define _mm512_cvtepi32_ps e_cvtepi32_ps
#define _mm512_cvtps_epi32 e_cvtps_epi32
#define _mm512_roundscale_ps(x, how) e_round_ps(x)
#define _mm512_scalef_ps e_scalef_ps
#define _mm512_reduce_max_ps e_reduce_max_ps
#define _mm512_reduce_add_ps e_reduce_add_ps
#define _mm512_cvtneps_pbh e_cvtneps_pbh
#define _mm512_unpacklo_epi32(x, y) e_unpack_epi32(x, y, 0)
#define _mm512_unpackhi_epi32(x, y) e_unpack_epi32(x, y, 2)
#define _mm512_unpacklo_epi64(x, y) e_unpack_epi64(x, y, 0)
#define _mm512_unpackhi_epi64(x, y) e_unpack_epi64(x, y, 1)
#define _mm512_shuffle_i32x4 e_shuffle_i32x4
