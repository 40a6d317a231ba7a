/* Single rows: norms, quantization, embeddings, means. */

/* What is added to the codes of signed and of unsigned values. */
static inline int code_offset(int is_signed)
{
    return CODES == CODES_UINT8 ? (is_signed ? 128 : 0) : CODES == CODES_INT8 ? (is_signed ? 0 : -128) : 0;
}

enum { CODE_BYTES = CODES == CODES_INT16 ? 2 : 1 };

/* RMS-normalizes a row and converts it to the matmul's input. */
static void norm(enum format kind, const float *from, const float *weight, int width, float epsilon, char *to,
                 float *scale)
{
    vec squares = vec_zero(), largest = vec_zero();
    for (int i = 0; i < width; i += LANES) {
        vec x = vec_load_tail(from + i, width - i);
        squares = vec_fma(x, x, squares);
        if (kind == INT8)
            largest = vec_max(largest, vec_abs(vec_mul(x, vec_load_tail(weight + i, width - i))));
    }
    float factor = 1.f / sqrtf(vec_sum(squares) / (float)width + epsilon);
    if (kind == INT8) {
        float size = fmaxf(vec_largest(largest), 1e-30f);
        *scale = size * factor / 127.f;
        factor = 127.f / size;
    }
    for (int i = 0; i < width; i += LANES) {
        vec x = vec_mul(vec_load_tail(from + i, width - i), vec_load_tail(weight + i, width - i));
        if (kind == INT8)
            vec_store_codes(to + CODE_BYTES * i, x, vec_set(factor), code_offset(1));
        else if (kind == BFLOAT16)
            vec_store_bf16((uint16_t *)to + i, vec_mul(x, vec_set(factor)));
        else
            vec_store((float *)to + i, vec_mul(x, vec_set(factor)));
    }
}

static inline vec element(int bfloat16, const void *from, int position, int count)
{
    return bfloat16 ? vec_load_bf16_tail((const uint16_t *)from + position, count)
                    : vec_load_tail((const float *)from + position, count);
}

/* Per-row symmetric quantization: the largest value becomes 127, or 255 where none is negative. */
static void quantize(int from_bfloat16, const void *from, int width, int is_signed, char *to, float *scale)
{
    vec largest = vec_zero();
    for (int i = 0; i < width; i += LANES)
        largest = vec_max(largest, vec_abs(element(from_bfloat16, from, i, width - i)));
    const float size = fmaxf(vec_largest(largest), 1e-30f), steps = is_signed ? 127.f : 255.f;
    const vec factor = vec_set(steps / size);
    *scale = size / steps;
    for (int i = 0; i < width; i += LANES)
        vec_store_codes(to + CODE_BYTES * i, element(from_bfloat16, from, i, width - i), factor,
                        code_offset(is_signed));
}

static void embed_int4(const struct model *model, int32_t id, float *to)
{
    const int width = model->width, half = width / 2, groups = width / 32;
    const uint8_t *codes = (const uint8_t *)model->table + (size_t)id * half;
    const uint16_t *scale = (const uint16_t *)model->table_scale + (size_t)id * groups;
    for (int i = 0; i < width; i++) {
        int code = i < half ? codes[i] & 15 : codes[i - half] >> 4;
        to[i] = (float)(code - 8) * float_of_half(scale[i / 32]) * model->table_columns[width + i] +
                model->table_columns[i];
    }
}

/* A token's row of the table, in float32. */
static void embed(const struct model *model, int32_t id, float *to)
{
    const int width = model->width;
    if (model->table_format == INT4) {
        embed_int4(model, id, to);
        return;
    }
    for (int i = 0; i < width; i += LANES) {
        const int count = width - i;
        const size_t position = (size_t)id * width + i;
        vec x;
        if (model->table_format == INT8) {
            x = vec_load_int8_tail((const int8_t *)model->table + position, count);
            x = vec_mul(x, vec_set(((const float *)model->table_scale)[id]));
            x = vec_fma(x, vec_load_tail(model->table_columns + width + i, count),
                        vec_load_tail(model->table_columns + i, count));
        } else if (model->table_format == BFLOAT16) {
            x = vec_load_bf16_tail((const uint16_t *)model->table + position, count);
        } else {
            x = vec_load_tail((const float *)model->table + position, count);
        }
        vec_store_tail(to + i, x, count);
    }
}

enum { ROWS_SUMMED = 16 }; /* rows summed before they are added to the rest: long sums lose digits */

/* The mean of rows. */
static void mean(const float *rows, size_t stride, int count, int width, float *to)
{
    const vec share = vec_set(1.f / (float)count);
    for (int i = 0; i < width; i += LANES) {
        vec sum = vec_zero();
        for (int row = 0; row < count; row += ROWS_SUMMED) {
            vec some = vec_zero();
            for (int j = row; j < count && j < row + ROWS_SUMMED; j++)
                some = vec_add(some, vec_load_tail(rows + j * stride + i, width - i));
            sum = vec_add(sum, some);
        }
        vec_store_tail(to + i, vec_mul(sum, share), width - i);
    }
}
