/* Rows by a prepacked weight, and what happens to the sums while they are in cache. */

static tile *const *tiles_of(enum format kind)
{
#ifdef BF16
    if (kind == BFLOAT16)
        return tiles_bfloat16;
#endif
#ifdef INT8_DOTS
    if (kind == INT8)
        return tiles_int8;
#endif
    (void)kind;
    return tiles_float32;
}

static vec sigmoid(vec x)
{
    vec unit = vec_set(1.f);
    return vec_div(unit, vec_add(unit, vec_exp(vec_sub(vec_zero(), x))));
}

/* Abramowitz and Stegun 7.1.26, within 1.5e-7. */
static vec vec_erf(vec x)
{
    vec size = vec_abs(x), unit = vec_set(1.f);
    vec t = vec_div(unit, vec_fma(size, vec_set(0.3275911f), unit));
    vec sum = vec_set(1.061405429f);
    sum = vec_fma(sum, t, vec_set(-1.453152027f));
    sum = vec_fma(sum, t, vec_set(1.421413741f));
    sum = vec_fma(sum, t, vec_set(-0.284496736f));
    sum = vec_fma(sum, t, vec_set(0.254829592f));
    vec rest = vec_exp(vec_mul(size, vec_sub(vec_zero(), size)));
    return vec_signed(vec_fnma(vec_mul(sum, t), rest, unit), x);
}

static inline vec activate(vec x, enum activation activation)
{
    if (activation == RELU)
        return vec_max(x, vec_zero());
    if (activation == SILU)
        return vec_mul(x, sigmoid(x));
    if (activation == GELU_NEW) {
        vec cube = vec_mul(vec_mul(x, x), x);
        vec inner = vec_fma(cube, vec_set(0.044715f), x);
        return vec_mul(x, sigmoid(vec_mul(inner, vec_set(1.5957691216f))));
    }
    vec half = vec_mul(x, vec_set(0.5f));
    return vec_fma(half, vec_erf(vec_mul(x, vec_set(0.70710678f))), half);
}

static ALWAYS_INLINE void store(void *to, size_t position, int count, vec x, int bfloat16)
{
    if (bfloat16)
        vec_store_bf16_tail((uint16_t *)to + position, x, count);
    else
        vec_store_tail((float *)to + position, x, count);
}

static inline int finish_gates(enum finish finish)
{
    return finish == GATE_FLOAT || finish == GATE_BFLOAT16;
}

/* The sums of a tile and where they belong. `scale` is NULL in floats, `shift` where row codes have no offset. */
struct tile_sums {
    const float *scale, *sums;
    const int32_t *shift;
    int count, column, outputs;
    enum activation activation;
};

/* In a gated layer the tile's left vector holds gates and the right vector the values of the same LANES outputs. */
static ALWAYS_INLINE void finish_rows(const struct tile_sums *at, const float *row_scale, const struct target *target,
                                      char *to, const enum finish finish)
{
    const int gate = finish_gates(finish);
    const int active = finish == ACTIVE_FLOAT || finish == ACTIVE_BFLOAT16;
    const int bfloat16 = finish == TO_BFLOAT16 || finish == ACTIVE_BFLOAT16 || finish == GATE_BFLOAT16;
    for (int half = 0; half < (gate ? 1 : 2); half++) {
        const int column = gate ? at->column / 2 : at->column + LANES * half;
        /* the next matmul reads bfloat16 in pairs: an odd number of outputs is followed by a zero */
        const int outputs = finish == ACTIVE_BFLOAT16 ? (at->outputs + 1) / 2 * 2 : at->outputs;
        const int count = (gate ? outputs / 2 : outputs) - column;
        vec scale[2] = {vec_zero(), vec_zero()}, x[2];
        words shift[2] = {words_zero(), words_zero()};
        for (int side = 0; row_scale && side < (gate ? 2 : 1); side++) {
            scale[side] = vec_load(at->scale + LANES * (half + side));
            if (at->shift)
                shift[side] = words_load(at->shift + LANES * (half + side));
        }
        for (int row = 0; row < at->count; row++) {
            const float *sums = at->sums + row * 2 * LANES + LANES * half;
            for (int side = 0; side < (gate ? 2 : 1); side++) {
                if (row_scale)
                    x[side] = vec_mul(vec_mul(vec_of_sums(sums + LANES * side, shift[side]), scale[side]),
                                      vec_set(row_scale[row]));
                else
                    x[side] = vec_load(sums + LANES * side);
            }
            if (active || gate)
                x[0] = activate(x[0], at->activation);
            if (gate)
                x[0] = vec_mul(x[0], x[1]);
            const size_t position = row * target->stride + column;
            if (finish == ADD)
                x[0] = vec_add(x[0], vec_load_tail((float *)to + position, count));
            store(to, position, count, x[0], bfloat16);
        }
    }
}

static void finish(const struct tile_sums *at, const float *row_scale, const struct target *target, char *to)
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

/* Part of a panel that a group of tiles multiplies: `steps` steps, `bytes` bytes each. */
struct slice {
    const char *panel;
    size_t steps, bytes;
};

/* Prefetches, for writing, of where the sums of a tile will go: a target of many columns is larger than the cache. */
static inline void prefetch_target(const struct target *target, int column, int row, int next)
{
    const size_t size = element_bytes(target->finish);
    const char *to = (const char *)target->to + (row * target->stride + (size_t)column) * size;
    for (; row < next; row++, to += target->stride * size)
        PREFETCH_TO_WRITE(to);
}

/* Tiles `first` to `last` of the rows by a panel. With GROUP > 1 the panel is taken in slices that stay in the L1 cache
   while all tiles of the group use them, and the sums of a slice are added to those of the slices before. Meanwhile
   each tile prefetches its share of the next slice, evenly over its steps: in a burst, lines that come from memory
   would fill the miss buffers of the cache, and loads of the rows would wait for them. */
static void multiply_group(enum format kind, const struct rows *rows, int count, const struct slice *panel,
                           size_t offset, int first, int last, struct tile_sums *at, float *sums,
                           const struct target *target)
{
    const int tiles = (count + TILE_ROWS - 1) / TILE_ROWS, column = at->column / (finish_gates(target->finish) ? 2 : 1);
    const size_t block = GROUP > 1 ? (size_t)SLICE * (kind == INT8 ? 2 : 1) : panel->steps;
    for (size_t step = 0; step < panel->steps; step += block) {
        const size_t steps = panel->steps - step < block ? panel->steps - step : block;
        const struct slice slice = {panel->panel + step * panel->bytes, steps, panel->bytes};
        const size_t lines = steps * slice.bytes / 64, interval = (size_t)(last - first) * 64 / slice.bytes;
        for (int number = first; number < last; number++) {
            const int row = (int)((int64_t)number * count / tiles), next = (int)((int64_t)(number + 1) * count / tiles);
            const size_t share = lines * (size_t)(number - first) / (size_t)(last - first);
            float *const own = sums + (GROUP > 1 ? (number - first) * TILE_ROWS * 2 * LANES : 0);
            if (GROUP > 1 && step + steps == panel->steps)
                prefetch_target(target, column, row, next);
            tiles_of(kind)[next - row - 1](rows->values + row * rows->stride + (offset + step) * 4, rows->stride,
                                           slice.panel, steps, slice.panel + steps * slice.bytes + share * 64, interval,
                                           step > 0, own, 2 * LANES);
            if (step + steps < panel->steps)
                continue;
            at->count = next - row, at->sums = own;
            finish(at, rows->scale ? rows->scale + row : NULL, target,
                   (char *)target->to + row * target->stride * element_bytes(target->finish));
        }
    }
}

/* Panels in the outer loop, so that each is read once from memory; rows are shared evenly among tiles. */
static void gemm(enum format kind, const struct rows *rows, int count, const struct weight *weight, int first, int last,
                 const struct target *target)
{
    float sums[GROUP * TILE_ROWS * 2 * LANES] __attribute__((aligned(64)));
    const int step_size = kind == INT8 ? INT8_STEP : kind == BFLOAT16 ? 2 : 1;
    const int tiles = (count + TILE_ROWS - 1) / TILE_ROWS;
    const size_t steps = (size_t)((weight->inputs + step_size - 1) / step_size);
    const size_t bytes = 2 * LANES * (kind == INT8 ? INT8_STEP : 4);
    const size_t block = ADD_BLOCKS && kind != INT8 && target->finish == ADD ? BLOCK : steps;
    const int shifted = CODES == CODES_UINT8 ? rows->is_signed : CODES == CODES_INT8 ? !rows->is_signed : 0;
    for (size_t step = 0; step < steps; step += block) {
        const size_t taken = steps - step < block ? steps - step : block;
        for (int panel = first; panel < last; panel++) {
            const int column = panel * 2 * LANES;
            const struct slice slice = {weight->panels + ((size_t)panel * steps + step) * bytes, taken, bytes};
            struct tile_sums at = {.column = column, .outputs = weight->outputs, .activation = target->activation};
            if (kind == INT8) {
                at.scale = weight->scale + column;
                at.shift = shifted ? weight->shift + column : NULL;
            }
            for (int tile = 0; tile < tiles; tile += GROUP)
                multiply_group(kind, rows, count, &slice, step, tile, tile + GROUP < tiles ? tile + GROUP : tiles, &at,
                               sums, target);
        }
    }
}
