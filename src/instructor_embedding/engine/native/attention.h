/* Attention of one head in one text: packed keys and values, strips of queries, a softmax in between.
   Included with KIND, BYTES (of an element), and STORE_TAIL and STORE for the elements. */
#define TILES NAMED(tiles_, KIND)
#define HERE(name) NAMED(NAMED(name, _), KIND)
#define PER_STEP (4 / BYTES)

struct HERE(scratch) {
    char *keys, *values, *queries, *weights;
    float *scores, *mixed, *partial;
    int keys_padded, head_padded;
    size_t query_stride, weight_stride;
};

/* Carves the scratch memory at `from` and returns how much there is of it. */
static size_t HERE(carve)(struct HERE(scratch) *scratch, int length, int head, char *from)
{
    char *at = from;
    scratch->keys_padded = to_columns(length);
    scratch->head_padded = to_columns(head);
    scratch->query_stride = to_lines((size_t)head * BYTES) + 64;
    scratch->weight_stride = to_lines((size_t)scratch->keys_padded * BYTES) + 64;
    scratch->keys = at, at += to_lines((size_t)scratch->keys_padded * head * BYTES);
    scratch->values = at, at += to_lines((size_t)scratch->keys_padded * scratch->head_padded * BYTES);
    scratch->queries = at, at += TILE_ROWS * scratch->query_stride;
    scratch->weights = at, at += TILE_ROWS * scratch->weight_stride;
    scratch->scores = (float *)at, at += to_lines(sizeof(float) * TILE_ROWS * scratch->keys_padded);
    scratch->mixed = (float *)at, at += to_lines(sizeof(float) * TILE_ROWS * scratch->head_padded);
    scratch->partial = (float *)at, at += to_lines(sizeof(float) * TILE_ROWS * scratch->head_padded);
    return (size_t)(at - from);
}

static size_t HERE(attention_bytes)(int length, int head)
{
    struct HERE(scratch) scratch;
    return HERE(carve)(&scratch, length, head, NULL) + 64;
}

/* `which`: 0 for queries, 1 for keys, 2 for values. */
static const char *HERE(row_of)(const struct attention *what, int row, int which)
{
    size_t number = what->index ? (size_t)what->index[row] : (size_t)row;
    return what->qkv + number * what->stride + (size_t)(which * what->heads + what->number) * what->head * BYTES;
}

/* Keys become columns: [panel][step][columns]. */
static void HERE(pack_keys)(const struct attention *what, struct HERE(scratch) *scratch)
{
    const int count = what->head * BYTES / 4;
    for (int key = 0; key < scratch->keys_padded; key += LANES) {
        char *to = scratch->keys + (size_t)(key / (2 * LANES)) * count * 8 * LANES + key % (2 * LANES) * 4;
        for (int step = 0; step < count; step += LANES) {
            words x[LANES];
            for (int i = 0; i < LANES; i++)
                x[i] = key + i < what->length
                           ? words_load_tail(HERE(row_of)(what, key + i, 1) + step * 4, count - step)
                           : words_zero();
            words_transpose(x);
            for (int i = 0; i < LANES && step + i < count; i++)
                words_store(to + (size_t)(step + i) * 8 * LANES, x[i]);
        }
    }
}

/* Values: [panel of elements][step of keys][columns], in bfloat16 two keys per word. */
static void HERE(pack_values)(const struct attention *what, struct HERE(scratch) *scratch)
{
    const int steps = (what->length + PER_STEP - 1) / PER_STEP;
    for (int step = 0; step < steps; step++) {
        const int key = step * PER_STEP;
        const char *low = HERE(row_of)(what, key, 2);
        const char *high = PER_STEP == 2 && key + 1 < what->length ? HERE(row_of)(what, key + 1, 2) : NULL;
        for (int i = 0; i < scratch->head_padded; i += LANES) {
            char *to = scratch->values + ((size_t)(i / (2 * LANES)) * steps + step) * 8 * LANES + i % (2 * LANES) * 4;
#if BYTES == 4
            words_store(to, words_load_tail(low + 4 * i, what->head - i));
            (void)high;
#else
            words_store(to, words_of_pairs_tail(low + 2 * i, high ? high + 2 * i : NULL, what->head - i));
#endif
        }
    }
}

/* Softmax of a row of scores without its division: returns the sum of the weights. */
static float HERE(softmax)(float *scores, const float *bias, int length, int padded, char *weights)
{
    vec largest = vec_set(-INFINITY), sum = vec_zero();
    for (int i = 0; i < length; i += LANES) {
        vec x = vec_add(vec_load(scores + i), vec_load_tail(bias + i, length - i));
        vec_store(scores + i, x);
        largest = vec_max_tail(largest, x, length - i);
    }
    const vec top = vec_set(vec_largest(largest));
    for (int i = 0; i < padded; i += LANES) {
        vec x = vec_keep(vec_exp(vec_sub(vec_load(scores + i), top)), length - i);
        sum = vec_add(sum, x);
        STORE_ELEMENTS(weights + BYTES * i, x);
    }
    return vec_sum(sum);
}

/* Weights by values, into `mixed`: blocks of keys are summed before they are added, as long sums lose digits. */
static void HERE(mix)(const struct attention *what, const struct HERE(scratch) *scratch, int count)
{
    const int steps = (what->length + PER_STEP - 1) / PER_STEP;
    for (int step = 0; step < steps; step += KEYS_SUMMED) {
        float *to = step ? scratch->partial : scratch->mixed;
        const size_t taken = (size_t)(steps - step < KEYS_SUMMED ? steps - step : KEYS_SUMMED);
        for (int i = 0; i < scratch->head_padded; i += 2 * LANES)
            TILES[count - 1](scratch->weights + 4 * step, scratch->weight_stride,
                             scratch->values + (size_t)i * steps * 4 + (size_t)step * 8 * LANES, taken,
                             scratch->values, taken, 0, to + i, (size_t)scratch->head_padded);
        for (int i = 0; step && i < count * scratch->head_padded; i += LANES)
            vec_store(scratch->mixed + i, vec_add(vec_load(scratch->mixed + i), vec_load(to + i)));
    }
}

static void HERE(strip)(const struct attention *what, const struct HERE(scratch) *scratch, int query, int count)
{
    const int key_words = what->head * BYTES / 4;
    float sums[TILE_ROWS];
    for (int i = 0; i < count; i++)
        memcpy(scratch->queries + i * scratch->query_stride, HERE(row_of)(what, query + i, 0),
               (size_t)what->head * BYTES);
    for (int key = 0; key < scratch->keys_padded; key += 2 * LANES)
        TILES[count - 1](scratch->queries, scratch->query_stride, scratch->keys + (size_t)key * key_words * 4,
                         (size_t)key_words, scratch->keys, (size_t)key_words, 0, scratch->scores + key,
                         (size_t)scratch->keys_padded);
    for (int i = 0; i < count; i++)
        sums[i] = HERE(softmax)(scratch->scores + (size_t)i * scratch->keys_padded, what->bias - (query + i),
                                what->length, (what->length + LANES - 1) / LANES * LANES,
                                scratch->weights + i * scratch->weight_stride);
    HERE(mix)(what, scratch, count);
    for (int row = 0; row < count; row++) {
        const vec share = vec_set(1.f / sums[row]);
        char *to = what->mixed + (size_t)(query - what->skip + row) * what->mixed_stride +
                   (size_t)what->number * what->head * BYTES;
        for (int i = 0; i < what->head; i += LANES)
            STORE_ELEMENTS_TAIL(to + BYTES * i,
                                vec_mul(vec_load(scratch->mixed + row * scratch->head_padded + i), share),
                                what->head - i);
    }
}

static void HERE(attend)(const struct attention *what)
{
    struct HERE(scratch) scratch;
    const int count = what->length - what->skip, tiles = (count + TILE_ROWS - 1) / TILE_ROWS;
    HERE(carve)(&scratch, what->length, what->head, (char *)(((uintptr_t)what->scratch + 63) & ~(uintptr_t)63));
    HERE(pack_keys)(what, &scratch);
    HERE(pack_values)(what, &scratch);
    for (int number = 0; number < tiles; number++) {
        const int row = (int)((int64_t)number * count / tiles), next = (int)((int64_t)(number + 1) * count / tiles);
        HERE(strip)(what, &scratch, what->skip + row, next - row);
    }
}

#undef TILES
#undef HERE
#undef PER_STEP
#undef KIND
#undef BYTES
#undef STORE_ELEMENTS
#undef STORE_ELEMENTS_TAIL
