/* Vectors of 4 lanes in the vector types of gcc and clang, which compile for any CPU. With NEON defined,
   DOTPROD and BF16 stand for the instructions of aarch64 that multiply int8 and bfloat16. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef NEON
#include <arm_neon.h>
#endif

#ifdef NEON
enum { LANES = 4, TILE_ROWS = 12 }; /* 24 sums of 32 registers */
#else
enum { LANES = 4, TILE_ROWS = 4 }; /* 8 sums of 16 registers */
#define EACH_TILE(X) X(1) X(2) X(3) X(4)
#endif
/* 16 tiles use a slice of SLICE steps of a panel while it is in the L1 cache. */
enum { GROUP = 16, SLICE = 256, AHEAD = 0, BLOCK = 0, ADD_BLOCKS = 0 };
#define ADDS_SUMS
#define PREFETCH(from) __builtin_prefetch(from, 0, 2)
#define PREFETCH_TO_WRITE(to) __builtin_prefetch(to, 1, 3)

typedef float vec __attribute__((vector_size(16)));
typedef int32_t words __attribute__((vector_size(16)));
typedef uint32_t bits __attribute__((vector_size(16)));

static inline vec vec_set(float x) { return (vec){x, x, x, x}; }
static inline vec vec_zero(void) { return (vec){0}; }
static inline vec vec_load(const float *from) { vec x; memcpy(&x, from, sizeof x); return x; }
static inline void vec_store(float *to, vec x) { memcpy(to, &x, sizeof x); }
static inline vec vec_add(vec x, vec y) { return x + y; }
static inline vec vec_sub(vec x, vec y) { return x - y; }
static inline vec vec_mul(vec x, vec y) { return x * y; }
static inline vec vec_div(vec x, vec y) { return x / y; }
#ifdef NEON
static inline vec vec_fma(vec x, vec y, vec z) { return vfmaq_f32(z, x, y); }  /* x y + z */
static inline vec vec_fnma(vec x, vec y, vec z) { return vfmsq_f32(z, x, y); } /* z - x y */
#else
static inline vec vec_fma(vec x, vec y, vec z) { return x * y + z; }
static inline vec vec_fnma(vec x, vec y, vec z) { return z - x * y; }
#endif

static inline vec select(words mask, vec x, vec y) { return (vec)((mask & (words)x) | (~mask & (words)y)); }
static inline vec vec_max(vec x, vec y) { return select(x > y, x, y); }
static inline vec vec_min(vec x, vec y) { return select(x < y, x, y); }
static inline vec vec_abs(vec x) { return (vec)((words)x & 0x7fffffff); }
static inline float vec_sum(vec x) { return x[0] + x[2] + (x[1] + x[3]); }

static inline float vec_largest(vec x)
{
    const float y = x[0] > x[1] ? x[0] : x[1], z = x[2] > x[3] ? x[2] : x[3];
    return y > z ? y : z;
}

static inline words tail_mask(int count)
{
    return (words){0, 1, 2, 3} < (words){count, count, count, count};
}

/* Bytes of the first `count` lanes. */
static inline size_t tail_bytes(int count, size_t size)
{
    return count >= LANES ? LANES * size : count > 0 ? (size_t)count * size : 0;
}

static inline vec vec_load_tail(const float *from, int count)
{
    vec x = {0};
    if (count >= LANES)
        return vec_load(from);
    memcpy(&x, from, tail_bytes(count, sizeof(float)));
    return x;
}

static inline void vec_store_tail(float *to, vec x, int count)
{
    if (count >= LANES)
        vec_store(to, x);
    else
        memcpy(to, &x, tail_bytes(count, sizeof(float)));
}

static inline vec vec_keep(vec x, int count) { return (vec)((words)x & tail_mask(count)); }
static inline vec vec_max_tail(vec largest, vec x, int count)
{
    return select(tail_mask(count) & (x > largest), x, largest);
}

/* x, negated where y is negative. */
static inline vec vec_signed(vec x, vec y)
{
    return (vec)((words)x ^ ((words)y & (words){INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN}));
}

/* To the nearest integer, ties to even, for values below 2^22: the addition leaves no bits for a fraction. */
static inline vec vec_round(vec x) { return (x + 12582912.f) - 12582912.f; }

/* x 2^exponent, for results that are not subnormal. */
#define EXP_LEAST -87.3f
#define EXP_MOST 88.3f
static inline vec vec_scale(vec x, vec exponent)
{
    return x * (vec)((__builtin_convertvector(exponent, words) + 127) << 23);
}

static inline void vec_store_bf16_tail(uint16_t *to, vec x, int count)
{
    const bits raw = (bits)x, rounded = (raw + 0x7fff + ((raw >> 16) & 1)) >> 16;
    for (int i = 0; i < LANES && i < count; i++)
        to[i] = (uint16_t)rounded[i];
}

static inline void vec_store_bf16(uint16_t *to, vec x) { vec_store_bf16_tail(to, x, LANES); }
static inline void vec_store_bf16_fast(uint16_t *to, vec x) { vec_store_bf16(to, x); }
static inline void vec_store_bf16_fast_tail(uint16_t *to, vec x, int count) { vec_store_bf16_tail(to, x, count); }

static inline vec vec_load_bf16_tail(const uint16_t *from, int count)
{
    bits x = {0};
    for (int i = 0; i < LANES && i < count; i++)
        x[i] = (uint32_t)from[i] << 16;
    return (vec)x;
}

static inline vec vec_load_int8_tail(const int8_t *from, int count)
{
    vec x = {0};
    for (int i = 0; i < LANES && i < count; i++)
        x[i] = from[i];
    return x;
}

static inline words words_zero(void) { return (words){0}; }
static inline words words_load(const void *from) { words x; memcpy(&x, from, sizeof x); return x; }
static inline void words_store(void *to, words x) { memcpy(to, &x, sizeof x); }
static inline words words_load_tail(const void *from, int count)
{
    words x = {0};
    memcpy(&x, from, tail_bytes(count, 4));
    return x;
}

/* 16-bit elements of two rows, those of `low` in the low halves; `high` may be NULL. */
static inline words words_of_pairs_tail(const void *low, const void *high, int count)
{
    uint16_t x[LANES] = {0}, y[LANES] = {0};
    memcpy(x, low, tail_bytes(count, 2));
    if (high)
        memcpy(y, high, tail_bytes(count, 2));
    words pairs = {0};
    for (int i = 0; i < LANES; i++)
        pairs[i] = (int32_t)(x[i] | (uint32_t)y[i] << 16);
    return pairs;
}

static inline void words_transpose(words x[4])
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) {
            const int32_t word = x[i][j];
            x[i][j] = x[j][i];
            x[j][i] = word;
        }
}

/* Sums of an INT8 tile, less `shift`. */
static inline vec vec_of_sums(const void *sums, words shift)
{
    return __builtin_convertvector(words_load(sums) - shift, vec);
}

/* x times `factor`, rounded, plus `zero`: as 8-bit codes for dot products, else 16 bits wide. */
#ifdef DOTPROD
#define CODES CODES_INT8
typedef int8_t code;
#else
#define CODES CODES_INT16
typedef int16_t code;
#endif
static inline void vec_store_codes(char *to, vec x, vec factor, int zero)
{
    const words rounded = __builtin_convertvector(vec_round(x * factor), words) + zero;
    code codes[LANES];
    for (int i = 0; i < LANES; i++)
        codes[i] = (code)rounded[i];
    memcpy(to, codes, sizeof codes);
}

static inline int32_t word_at(const void *from) { int32_t x; memcpy(&x, from, 4); return x; }
static inline float float_at(const void *from) { float x; memcpy(&x, from, 4); return x; }

#define float32_SUM vec
#define float32_PANEL 16 /* bytes of a vector of columns */
#define float32_ZERO() vec_zero()
#define float32_SPREAD(from) vec_set(float_at(from))
#define float32_COLUMNS(from) vec_load((const float *)(const void *)(from))
#define float32_DOT(sum, x, y) sum = vec_fma(x, y, sum)
#define float32_ADD(sum, from) vec_add(sum, vec_load((const float *)(const void *)(from)))
#define float32_STORE(to, sum) vec_store((float *)(void *)(to), sum)

#define int8_SUM words
#define int8_ZERO() words_zero()
#define int8_SPREAD(from) ((words){0} + word_at(from))
#define int8_ADD(sum, from) (sum + words_load(from))
#define int8_STORE(to, sum) words_store(to, sum)

#if defined(DOTPROD)
#define int8_STEP 4
#define int8_PANEL 16
#define int8_COLUMNS(from) words_load(from)
#define int8_DOT(sum, x, y) sum = (words)vdotq_s32((int32x4_t)sum, (int8x16_t)x, (int8x16_t)y)
#elif defined(NEON)
#define int8_STEP 2
#define int8_PANEL 8
#define int8_COLUMNS(from) ((words)vmovl_s8(vld1_s8((const int8_t *)(from))))
#define int8_DOT(sum, x, y) sum = add_pairs(sum, x, y)
/* Dot products of 16-bit pairs. */
static inline words add_pairs(words sum, words x, words y)
{
    const int32x4_t low = vmull_s16(vget_low_s16((int16x8_t)x), vget_low_s16((int16x8_t)y));
    const int32x4_t high = vmull_high_s16((int16x8_t)x, (int16x8_t)y);
    return sum + (words)vpaddq_s32(low, high);
}
#else
#define int8_STEP 2
#define int8_PANEL 8
#define int8_COLUMNS(from) pairs_at(from)
#define int8_DOT(sum, x, y) sum = add_pairs(sum, x, y)
/* Two 8-bit weights per column, 16 bits wide in one word. */
static inline words pairs_at(const void *from)
{
    typedef int8_t bytes __attribute__((vector_size(8)));
    typedef int16_t halves __attribute__((vector_size(16)));
    bytes x;
    memcpy(&x, from, sizeof x);
    return (words)__builtin_convertvector(x, halves);
}

static inline words add_pairs(words sum, words x, words y)
{
    return sum + (x >> 16) * (y >> 16) + ((x << 16) >> 16) * ((y << 16) >> 16);
}
#endif

#ifdef BF16
#define bfloat16_SUM vec
#define bfloat16_PANEL 16
#define bfloat16_ZERO() vec_zero()
#define bfloat16_SPREAD(from) ((vec)((words){0} + word_at(from)))
#define bfloat16_COLUMNS float32_COLUMNS
#define bfloat16_DOT(sum, x, y) sum = (vec)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)x, (bfloat16x8_t)y)
#define bfloat16_ADD float32_ADD
#define bfloat16_STORE float32_STORE
#endif
