/* Single rows: norms, rounding, embeddings, means. */
#include <math.h>

#include "engine.h"
#include "vectors.h"

/* Numbers times `factor` to -127..127 about 128, or 0..255. */
static inline __m128i to_codes(__m512 x, __m512 factor, int zero)
{
    return _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, factor)), _mm512_set1_epi32(zero)));
}

/* The norm of a row, as a product takes it. */
void row_norm(enum kind kind, const float *from, const float *weight, int width, float epsilon, char *codes,
              float *scale)
{
    __m512 squares = _mm512_setzero_ps(), largest = _mm512_setzero_ps();
    for (int i = 0; i < width; i += 16) {
        __mmask16 mask = first(width - i);
        __m512 x = _mm512_maskz_loadu_ps(mask, from + i);
        squares = _mm512_fmadd_ps(x, x, squares);
        if (kind == INT8)
            largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_mul_ps(x, _mm512_maskz_loadu_ps(mask, weight + i))));
    }
    float factor = 1.f / sqrtf(_mm512_reduce_add_ps(squares) / (float)width + epsilon);
    if (kind == INT8) {
        float size = fmaxf(_mm512_reduce_max_ps(largest), 1e-30f);
        *scale = size * factor / 127.f;
        factor = 127.f / size;
    }
    for (int i = 0; i < width; i += 16) {
        __mmask16 mask = first(width - i);
        __m512 x = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, from + i), _mm512_maskz_loadu_ps(mask, weight + i));
        if (kind == INT8)
            _mm_storeu_si128((__m128i *)(codes + i), to_codes(x, _mm512_set1_ps(factor), 128));
        else if (kind == BFLOAT16)
            _mm256_storeu_si256((__m256i *)(codes + 2 * i), narrow(_mm512_mul_ps(x, _mm512_set1_ps(factor))));
        else
            _mm512_storeu_ps((float *)codes + i, _mm512_mul_ps(x, _mm512_set1_ps(factor)));
    }
}

static inline __m512 number(int bfloat16, const void *from, int place, __mmask16 mask)
{
    return bfloat16 ? widen(_mm256_maskz_loadu_epi16(mask, (const uint16_t *)from + place))
                    : _mm512_maskz_loadu_ps(mask, (const float *)from + place);
}

/* A row in int8. */
void row_round(int from_bfloat16, const void *from, int width, int is_signed, char *codes, float *scale)
{
    __m512 largest = _mm512_setzero_ps();
    for (int i = 0; i < width; i += 16)
        largest = _mm512_max_ps(largest, _mm512_abs_ps(number(from_bfloat16, from, i, first(width - i))));
    const float size = fmaxf(_mm512_reduce_max_ps(largest), 1e-30f), steps = is_signed ? 127.f : 255.f;
    const __m512 factor = _mm512_set1_ps(steps / size);
    *scale = size / steps;
    for (int i = 0; i < width; i += 16) {
        __m512 x = number(from_bfloat16, from, i, first(width - i));
        _mm_storeu_si128((__m128i *)(codes + i), to_codes(x, factor, is_signed ? 128 : 0));
    }
}

static void embed4(const struct model *model, int32_t id, float *to)
{
    const int width = model->width, half = width / 2, groups = width / 32;
    const uint8_t *codes = (const uint8_t *)model->table + (size_t)id * half;
    const uint16_t *scale = (const uint16_t *)model->table_scale + (size_t)id * groups;
    for (int i = 0; i < width; i++) {
        int code = i < half ? codes[i] & 15 : codes[i - half] >> 4;
        float step = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(scale[i / 32])));
        to[i] = (float)(code - 8) * step * model->table_columns[width + i] + model->table_columns[i];
    }
}

/* A token's row of the table, in float32. */
void row_embed(const struct model *model, int32_t id, float *to)
{
    const int width = model->width;
    if (model->table_kind == TABLE_INT4) {
        embed4(model, id, to);
        return;
    }
    for (int i = 0; i < width; i += 16) {
        const __mmask16 mask = first(width - i);
        const size_t place = (size_t)id * width + i;
        __m512 x;
        if (model->table_kind == TABLE_INT8) {
            x = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, (const char *)model->table + place)));
            x = _mm512_mul_ps(x, _mm512_set1_ps(((const float *)model->table_scale)[id]));
            x = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(mask, model->table_columns + width + i),
                                _mm512_maskz_loadu_ps(mask, model->table_columns + i));
        } else if (model->table_kind == TABLE_BFLOAT16) {
            x = widen(_mm256_maskz_loadu_epi16(mask, (const uint16_t *)model->table + place));
        } else {
            x = _mm512_maskz_loadu_ps(mask, (const float *)model->table + place);
        }
        _mm512_mask_storeu_ps(to + i, mask, x);
    }
}

enum { SUMMED = 16 }; /* rows that are summed before they join the others: long sums lose digits */

/* The mean of rows. */
void row_mean(const float *rows, size_t stride, int count, int width, float *to)
{
    const __m512 part = _mm512_set1_ps(1.f / (float)count);
    for (int i = 0; i < width; i += 16) {
        const __mmask16 mask = first(width - i);
        __m512 sum = _mm512_setzero_ps();
        for (int row = 0; row < count; row += SUMMED) {
            __m512 some = _mm512_setzero_ps();
            for (int j = row; j < count && j < row + SUMMED; j++)
                some = _mm512_add_ps(some, _mm512_maskz_loadu_ps(mask, rows + j * stride + i));
            sum = _mm512_add_ps(sum, some);
        }
        _mm512_mask_storeu_ps(to + i, mask, _mm512_mul_ps(sum, part));
    }
}
