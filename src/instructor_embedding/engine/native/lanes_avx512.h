/* Vectors of 16 lanes: AVX-512 F, BW, DQ, VL. */
#include <immintrin.h>
#include <stdint.h>

enum { LANES = 16, TILE_ROWS = 12 };
/* The tile fetches AHEAD bytes in advance inside its loop, and sums all steps; where sums are added to what is there,
   blocks of BLOCK steps, so that its share of a panel stays in the cache. */
enum { AHEAD = 24576, BLOCK = 1024, ADD_BLOCKS = 1, GROUP = 1, SLICE = 0 };

typedef __m512 vec;
typedef __m512i words; /* LANES words of 32 bits */

static inline __mmask16 tail_mask(int count)
{
    return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

static inline vec vec_set(float x) { return _mm512_set1_ps(x); }
static inline vec vec_zero(void) { return _mm512_setzero_ps(); }
static inline vec vec_load(const float *from) { return _mm512_loadu_ps(from); }
static inline void vec_store(float *to, vec x) { _mm512_storeu_ps(to, x); }
static inline vec vec_add(vec x, vec y) { return _mm512_add_ps(x, y); }
static inline vec vec_sub(vec x, vec y) { return _mm512_sub_ps(x, y); }
static inline vec vec_mul(vec x, vec y) { return _mm512_mul_ps(x, y); }
static inline vec vec_div(vec x, vec y) { return _mm512_div_ps(x, y); }
static inline vec vec_fma(vec x, vec y, vec z) { return _mm512_fmadd_ps(x, y, z); }   /* x y + z */
static inline vec vec_fnma(vec x, vec y, vec z) { return _mm512_fnmadd_ps(x, y, z); } /* z - x y */
static inline vec vec_max(vec x, vec y) { return _mm512_max_ps(x, y); }
static inline vec vec_min(vec x, vec y) { return _mm512_min_ps(x, y); }
static inline vec vec_abs(vec x) { return _mm512_abs_ps(x); }
static inline float vec_sum(vec x) { return _mm512_reduce_add_ps(x); }
static inline float vec_largest(vec x) { return _mm512_reduce_max_ps(x); }

/* Of the first `count` lanes; zeros after them. */
static inline vec vec_load_tail(const float *from, int count)
{
    return _mm512_maskz_loadu_ps(tail_mask(count), from);
}

static inline void vec_store_tail(float *to, vec x, int count)
{
    _mm512_mask_storeu_ps(to, tail_mask(count), x);
}

static inline vec vec_keep(vec x, int count)
{
    return _mm512_maskz_mov_ps(tail_mask(count), x);
}

static inline vec vec_max_tail(vec largest, vec x, int count)
{
    return _mm512_mask_max_ps(largest, tail_mask(count), largest, x);
}

/* x, negated where y is negative. */
static inline vec vec_signed(vec x, vec y)
{
    const __mmask16 negative = _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_sub_ps(x, negative, _mm512_setzero_ps(), x);
}

static inline vec vec_round(vec x) { return _mm512_roundscale_ps(x, 8); }
static inline vec vec_scale(vec x, vec exponent) { return _mm512_scalef_ps(x, exponent); } /* x 2^exponent */
#define EXP_LEAST -104.f
#define EXP_MOST 88.7f

/* Rounds to the nearest, ties to even. */
static inline __m256i to_bf16(vec x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

static inline void vec_store_bf16(uint16_t *to, vec x)
{
    _mm256_storeu_si256((__m256i *)to, to_bf16(x));
}

static inline void vec_store_bf16_tail(uint16_t *to, vec x, int count)
{
    _mm256_mask_storeu_epi16(to, tail_mask(count), to_bf16(x));
}

/* The CPU's own conversion, which flushes subnormal values to zero; attention in bfloat16 uses it. */
#ifdef BF16
static inline void vec_store_bf16_fast(uint16_t *to, vec x)
{
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(x));
}

static inline void vec_store_bf16_fast_tail(uint16_t *to, vec x, int count)
{
    _mm256_mask_storeu_epi16(to, tail_mask(count), (__m256i)_mm512_cvtneps_pbh(x));
}
#endif

static inline vec vec_load_bf16_tail(const uint16_t *from, int count)
{
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(tail_mask(count), from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

static inline vec vec_load_int8_tail(const int8_t *from, int count)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(tail_mask(count), from)));
}

/* Sums of an INT8 tile, less `shift`. */
static inline vec vec_of_sums(const void *sums, words shift)
{
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_castps_si512(_mm512_load_ps(sums)), shift));
}

/* x times `factor`, rounded, plus `zero`. */
#define CODES CODES_UINT8
static inline void vec_store_codes(char *to, vec x, vec factor, int zero)
{
    __m512i codes = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, factor)), _mm512_set1_epi32(zero));
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(codes));
}

static inline words words_zero(void) { return _mm512_setzero_si512(); }
static inline words words_load(const void *from) { return _mm512_loadu_si512(from); }
static inline void words_store(void *to, words x) { _mm512_storeu_si512(to, x); }
static inline words words_load_tail(const void *from, int count)
{
    return _mm512_maskz_loadu_epi32(tail_mask(count), from);
}

/* 16-bit elements of two rows, those of `low` in the low halves; `high` may be NULL. */
static inline words words_of_pairs_tail(const void *low, const void *high, int count)
{
    const __mmask16 mask = tail_mask(count);
    __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, low));
    if (high) {
        __m512i y = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, high));
        x = _mm512_or_si512(x, _mm512_slli_epi32(y, 16));
    }
    return x;
}

static inline void words_transpose(words x[16])
{
    __m512i y[16];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
        x[i + 4] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0x88);
        x[i + 12] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0xdd);
    }
}

/* The tiles' operations. With intrinsics alone gcc keeps a copy of the sums in memory; one line of assembly for the
   instruction keeps them in registers. All three kinds multiply a 32-bit word of the row by 16 words of the panel. */
#ifndef DOT
#define DOT(instruction, sum, x, y) __asm__(instruction " %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y))
#endif
#define float32_SUM __m512i
#define float32_PANEL 64 /* bytes of a vector of columns */
#define float32_ZERO() _mm512_setzero_si512()
#define float32_SPREAD(from) _mm512_set1_epi32(*(const int32_t *)(from))
#define float32_COLUMNS(from) _mm512_loadu_si512(from)
#define float32_DOT(sum, x, y) DOT("vfmadd231ps", sum, x, y)
#define float32_STORE(to, sum) _mm512_storeu_si512(to, sum)
#define bfloat16_SUM float32_SUM
#define bfloat16_PANEL 64
#define bfloat16_ZERO float32_ZERO
#define bfloat16_SPREAD float32_SPREAD
#define bfloat16_COLUMNS float32_COLUMNS
#define bfloat16_DOT(sum, x, y) DOT("vdpbf16ps", sum, x, y)
#define bfloat16_STORE float32_STORE
#define int8_SUM float32_SUM
#define int8_PANEL 64
#define int8_STEP 4
#define int8_ZERO float32_ZERO
#define int8_SPREAD float32_SPREAD
#define int8_COLUMNS float32_COLUMNS
#define int8_DOT(sum, x, y) DOT("vpdpbusd", sum, x, y) /* unsigned row codes by signed weights */
#define int8_STORE float32_STORE
#define PREFETCH(from) _mm_prefetch(from, _MM_HINT_T1)
#define PREFETCH_TO_WRITE(to) __builtin_prefetch(to, 1, 3)
