/* Vectors of 8 lanes: AVX2, FMA and F16C; with AVX_VNNI defined, int8 dot products as well. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* A tile of 6 rows by 16 columns: 12 sums, 2 vectors of columns and a spread element fill the 16 registers. */
enum { LANES = 8, TILE_ROWS = 6 };
/* 16 tiles use a slice of SLICE steps of a panel (16 KiB) while it is in the L1 cache. */
enum { GROUP = 16, SLICE = 256, AHEAD = 0, BLOCK = 0, ADD_BLOCKS = 0 };
#define ADDS_SUMS
#define EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define PREFETCH(from) _mm_prefetch(from, _MM_HINT_T1)
#define PREFETCH_TO_WRITE(to) __builtin_prefetch(to, 1, 3)

typedef __m256 vec;
typedef __m256i words; /* LANES words of 32 bits */

static inline __m256i tail_mask(int count)
{
    static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(masks + 8 - (count >= 8 ? 8 : count <= 0 ? 0 : count)));
}

static inline vec vec_set(float x) { return _mm256_set1_ps(x); }
static inline vec vec_zero(void) { return _mm256_setzero_ps(); }
static inline vec vec_load(const float *from) { return _mm256_loadu_ps(from); }
static inline void vec_store(float *to, vec x) { _mm256_storeu_ps(to, x); }
static inline vec vec_add(vec x, vec y) { return _mm256_add_ps(x, y); }
static inline vec vec_sub(vec x, vec y) { return _mm256_sub_ps(x, y); }
static inline vec vec_mul(vec x, vec y) { return _mm256_mul_ps(x, y); }
static inline vec vec_div(vec x, vec y) { return _mm256_div_ps(x, y); }
static inline vec vec_fma(vec x, vec y, vec z) { return _mm256_fmadd_ps(x, y, z); }   /* x y + z */
static inline vec vec_fnma(vec x, vec y, vec z) { return _mm256_fnmadd_ps(x, y, z); } /* z - x y */
static inline vec vec_max(vec x, vec y) { return _mm256_max_ps(x, y); }
static inline vec vec_min(vec x, vec y) { return _mm256_min_ps(x, y); }
static inline vec vec_abs(vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.f), x); }

static inline float vec_sum(vec x)
{
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

static inline float vec_largest(vec x)
{
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

/* Of the first `count` lanes; zeros after them. Masked stores are slow on some CPUs, so tails go through memory. */
static inline vec vec_load_tail(const float *from, int count)
{
    return count >= LANES ? vec_load(from) : _mm256_maskload_ps(from, tail_mask(count));
}

static inline void vec_store_tail(float *to, vec x, int count)
{
    float lanes[LANES];
    if (count >= LANES) {
        vec_store(to, x);
    } else if (count > 0) {
        vec_store(lanes, x);
        memcpy(to, lanes, (size_t)count * sizeof(float));
    }
}

static inline vec vec_keep(vec x, int count)
{
    return _mm256_and_ps(x, _mm256_castsi256_ps(tail_mask(count)));
}

static inline vec vec_max_tail(vec largest, vec x, int count)
{
    return _mm256_blendv_ps(largest, _mm256_max_ps(largest, x), _mm256_castsi256_ps(tail_mask(count)));
}

/* x, negated where y is negative. */
static inline vec vec_signed(vec x, vec y)
{
    return _mm256_xor_ps(x, _mm256_and_ps(y, _mm256_set1_ps(-0.f)));
}

static inline vec vec_round(vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* x 2^exponent, for results that are not subnormal. */
#define EXP_LEAST -87.3f
#define EXP_MOST 88.3f
static inline vec vec_scale(vec x, vec exponent)
{
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(power));
}

/* 8 of 16 bits from 8 words that fit. */
static inline __m128i halves_of(__m256i x)
{
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(x, x), 0x08));
}

/* Rounds to the nearest, ties to even. */
static inline __m128i to_bf16(vec x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    bits = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    return halves_of(_mm256_srli_epi32(bits, 16));
}

static inline void vec_store_bf16(uint16_t *to, vec x)
{
    _mm_storeu_si128((__m128i *)to, to_bf16(x));
}

static inline void vec_store_bf16_tail(uint16_t *to, vec x, int count)
{
    uint16_t lanes[LANES];
    vec_store_bf16(lanes, x);
    memcpy(to, lanes, count >= LANES ? sizeof lanes : count > 0 ? (size_t)count * 2 : 0);
}

static inline vec vec_load_bf16_tail(const uint16_t *from, int count)
{
    uint16_t lanes[LANES] = {0};
    memcpy(lanes, from, count >= LANES ? sizeof lanes : count > 0 ? (size_t)count * 2 : 0);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)lanes)), 16));
}

static inline vec vec_load_int8_tail(const int8_t *from, int count)
{
    int64_t lanes = 0;
    memcpy(&lanes, from, count >= LANES ? sizeof lanes : count > 0 ? (size_t)count : 0);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(lanes)));
}

/* Sums of an INT8 tile, less `shift`. */
static inline vec vec_of_sums(const void *sums, words shift)
{
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)sums), shift));
}

/* x times `factor`, rounded, plus `zero`. */
static inline void vec_store_codes(char *to, vec x, vec factor, int zero)
{
    __m256i codes = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(x, factor)), _mm256_set1_epi32(zero));
    __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
#ifdef AVX_VNNI
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(halves, halves));
#else
    _mm_storeu_si128((__m128i *)to, halves);
#endif
}

static inline words words_zero(void) { return _mm256_setzero_si256(); }
static inline words words_load(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }
static inline void words_store(void *to, words x) { _mm256_storeu_si256((__m256i *)to, x); }
static inline words words_load_tail(const void *from, int count)
{
    return count >= LANES ? words_load(from) : _mm256_maskload_epi32((const int *)from, tail_mask(count));
}

static inline void words_transpose(words x[8])
{
    words y[8];
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        x[i] = _mm256_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm256_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm256_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm256_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        y[i] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x20);
        y[i + 4] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x31);
    }
    memcpy(x, y, sizeof y);
}

#define float32_SUM __m256
#define float32_PANEL 32 /* bytes of a vector of columns */
#define float32_ZERO() _mm256_setzero_ps()
#define float32_SPREAD(from) _mm256_broadcast_ss((const float *)(from))
#define float32_COLUMNS(from) _mm256_loadu_ps((const float *)(from))
#define float32_DOT(sum, x, y) sum = _mm256_fmadd_ps(x, y, sum)
#define float32_ADD(sum, from) _mm256_add_ps(sum, _mm256_loadu_ps((const float *)(from)))
#define float32_STORE(to, sum) _mm256_storeu_ps((float *)(to), sum)

#define int8_SUM __m256i
#define int8_ZERO() _mm256_setzero_si256()
#define int8_SPREAD(from) _mm256_set1_epi32(*(const int32_t *)(from))
#define int8_ADD(sum, from) _mm256_add_epi32(sum, _mm256_loadu_si256((const __m256i *)(from)))
#define int8_STORE(to, sum) _mm256_storeu_si256((__m256i *)(to), sum)
#ifdef AVX_VNNI
#define CODES CODES_UINT8
#define int8_STEP 4
#define int8_PANEL 32
#define int8_COLUMNS(from) _mm256_loadu_si256((const __m256i *)(from))
#ifndef DOT
#define DOT(instruction, sum, x, y) __asm__("%{vex%} " instruction " %2, %1, %0" : "+x"(sum) : "x"(x), "x"(y))
#endif
#define int8_DOT(sum, x, y) DOT("vpdpbusd", sum, x, y) /* unsigned row codes by signed weights */
#else
/* Exact dot products of 16-bit pairs. maddubs takes 8-bit codes but saturates: 2 x 255 x 127 exceeds 16 bits. */
#define CODES CODES_INT16
#define int8_STEP 2
#define int8_PANEL 16
#define int8_COLUMNS(from) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(from)))
/* In assembly: 12 sums, 2 vectors of columns and 2 temporaries fill the 16 registers, and only in this order. */
#define int8_ROW(left_sum, right_sum, from)                                                          \
    do {                                                                                             \
        __m256i spread, products;                                                                    \
        __asm__ volatile("vpbroadcastd %4, %2\n\tvpmaddwd %5, %2, %3\n\tvpaddd %3, %0, %0\n\t"         \
                         "vpmaddwd %6, %2, %2\n\tvpaddd %2, %1, %1"                                  \
                         : "+x"(left_sum), "+x"(right_sum), "=&x"(spread), "=&x"(products)           \
                         : "m"(*(const int32_t *)(from)), "x"(left), "x"(right));                    \
    } while (0)
#endif
