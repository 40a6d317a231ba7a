/* Products of rows with a packed weight, and what is done with the sums while they are near. */
#include "engine.h"
#include "vectors.h"

enum {
    BLOCK = 1024, /* steps that are summed before sums are added to what is there: a panel's part fits a cache */
    AHEAD = 24576,
};

tile *const *tiles_of(enum kind kind)
{
    return kind == INT8 ? tiles_int8 : kind == BFLOAT16 ? tiles_bfloat16 : tiles_float32;
}

static int word(enum kind kind)
{
    return kind == INT8 ? 4 : kind == BFLOAT16 ? 2 : 1;
}

size_t steps_of(enum kind kind, int32_t inputs)
{
    return (size_t)(inputs + word(kind) - 1) / word(kind);
}

/* An odd number of cache lines, with room for whole vectors. */
size_t row_stride(enum kind kind, int32_t inputs)
{
    size_t bytes = (size_t)(inputs + 15) / 16 * 16 * 4 / word(kind);
    return ((bytes + 63) / 64 | 1) * 64;
}

int tiles_for(int rows)
{
    return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

static __m512 sigmoid(__m512 x)
{
    __m512 one = _mm512_set1_ps(1.f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp_of(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

/* Abramowitz and Stegun 7.1.26, within 1.5e-7. */
static __m512 erf_of(__m512 x)
{
    __m512 size = _mm512_abs_ps(x), one = _mm512_set1_ps(1.f);
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f), one));
    __m512 sum = _mm512_set1_ps(1.061405429f);
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-1.453152027f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(1.421413741f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-0.284496736f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(0.254829592f));
    __m512 rest = exp_of(_mm512_mul_ps(size, _mm512_sub_ps(_mm512_setzero_ps(), size)));
    __m512 found = _mm512_fnmadd_ps(_mm512_mul_ps(sum, t), rest, one);
    return _mm512_mask_sub_ps(found, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps(), found);
}

static inline __m512 activate(__m512 x, enum activation activation)
{
    if (activation == RELU)
        return _mm512_max_ps(x, _mm512_setzero_ps());
    if (activation == SILU)
        return _mm512_mul_ps(x, sigmoid(x));
    if (activation == GELU_NEW) {
        __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
        __m512 inner = _mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), x);
        return _mm512_mul_ps(x, sigmoid(_mm512_mul_ps(inner, _mm512_set1_ps(1.5957691216f))));
    }
    __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
    return _mm512_fmadd_ps(half, erf_of(_mm512_mul_ps(x, _mm512_set1_ps(0.70710678f))), half);
}

static inline __attribute__((always_inline)) void store(void *to, size_t place, __mmask16 mask, __m512 x, int bfloat16)
{
    if (bfloat16)
        _mm256_mask_storeu_epi16((uint16_t *)to + place, mask, narrow(x));
    else
        _mm512_mask_storeu_ps((float *)to + place, mask, x);
}

struct place {
    const float *scale, *sums;
    const int32_t *shift;
    int count, column, outputs;
    enum activation activation;
};

/* One tile's sums, to where they go; `row_scale` is NULL in floats. */
static inline __attribute__((always_inline)) void finish_rows(const struct place *at, const float *row_scale,
                                                              const struct target *target, char *to,
                                                              const enum finish finish)
{
    const int gate = finish == GATE_FLOAT || finish == GATE_BFLOAT16;
    const int active = finish == ACTIVE_FLOAT || finish == ACTIVE_BFLOAT16;
    const int bfloat16 = finish == TO_BFLOAT16 || finish == ACTIVE_BFLOAT16 || finish == GATE_BFLOAT16;
    for (int half = 0; half < (gate ? 1 : 2); half++) {
        const int column = gate ? at->column / 2 : at->column + 16 * half;
        /* the next product takes bfloat16 in pairs: behind an odd number of outputs a zero must stand */
        const int outputs = finish == ACTIVE_BFLOAT16 ? (at->outputs + 1) / 2 * 2 : at->outputs;
        const __mmask16 mask = first((gate ? outputs / 2 : outputs) - column);
        __m512 scale[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, x[2];
        __m512i shift[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        for (int part = 0; row_scale && part < (gate ? 2 : 1); part++) {
            scale[part] = _mm512_loadu_ps(at->scale + 16 * (half + part));
            if (at->shift)
                shift[part] = _mm512_loadu_si512(at->shift + 16 * (half + part));
        }
        for (int row = 0; row < at->count; row++) {
            const float *sums = at->sums + row * TILE_COLUMNS + 16 * half;
            for (int part = 0; part < (gate ? 2 : 1); part++) {
                x[part] = _mm512_load_ps(sums + 16 * part);
                if (row_scale) {
                    __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_castps_si512(x[part]), shift[part]));
                    x[part] = _mm512_mul_ps(_mm512_mul_ps(sum, scale[part]), _mm512_set1_ps(row_scale[row]));
                }
            }
            if (active || gate)
                x[0] = activate(x[0], at->activation);
            if (gate)
                x[0] = _mm512_mul_ps(x[0], x[1]);
            const size_t place = row * target->stride + column;
            if (finish == ADD)
                x[0] = _mm512_add_ps(x[0], _mm512_maskz_loadu_ps(mask, (float *)to + place));
            store(to, place, mask, x[0], bfloat16);
        }
    }
}

static void finish(const struct place *at, const float *row_scale, const struct target *target, char *to)
{
    switch (target->finish) {
    case TO_FLOAT: finish_rows(at, row_scale, target, to, TO_FLOAT); break;
    case TO_BFLOAT16: finish_rows(at, row_scale, target, to, TO_BFLOAT16); break;
    case ADD: finish_rows(at, row_scale, target, to, ADD); break;
    case ACTIVE_FLOAT: finish_rows(at, row_scale, target, to, ACTIVE_FLOAT); break;
    case ACTIVE_BFLOAT16: finish_rows(at, row_scale, target, to, ACTIVE_BFLOAT16); break;
    case GATE_FLOAT: finish_rows(at, row_scale, target, to, GATE_FLOAT); break;
    case GATE_BFLOAT16: finish_rows(at, row_scale, target, to, GATE_BFLOAT16); break;
    }
}

int finished_bytes(enum finish finish)
{
    return finish == TO_BFLOAT16 || finish == ACTIVE_BFLOAT16 || finish == GATE_BFLOAT16 ? 2 : 4;
}

/* Panels outside, so that each is read once from afar; rows are shared evenly among tiles. */
void gemm(enum kind kind, const struct rows *rows, int count, const struct weight *weight, int first_panel,
          int last_panel, const struct target *target)
{
    float sums[TILE_ROWS * TILE_COLUMNS] __attribute__((aligned(64)));
    const size_t steps = steps_of(kind, weight->inputs);
    const size_t block = kind != INT8 && target->finish == ADD ? BLOCK : steps;
    const int tiles = tiles_for(count);
    for (size_t step = 0; step < steps; step += block) {
        const size_t taken = steps - step < block ? steps - step : block;
        for (int panel = first_panel; panel < last_panel; panel++) {
            const int column = panel * TILE_COLUMNS;
            const char *part = weight->panels + ((size_t)panel * steps + step) * 128;
            struct place at = {.sums = sums, .column = column, .outputs = weight->outputs, .activation = target->activation};
            if (kind == INT8) {
                at.scale = weight->scale + column;
                at.shift = rows->is_signed ? weight->shift + column : NULL;
            }
            for (int number = 0; number < tiles; number++) {
                const int row = (int)((int64_t)number * count / tiles);
                at.count = (int)((int64_t)(number + 1) * count / tiles) - row;
                tiles_of(kind)[at.count - 1](rows->codes + row * rows->stride + step * 4, rows->stride, part, taken, AHEAD,
                                             sums, TILE_COLUMNS);
                finish(&at, rows->scale ? rows->scale + row : NULL, target,
                       (char *)target->to + row * target->stride * finished_bytes(target->finish));
            }
        }
    }
}
