/* Attention of one head in one text: keys and values in panels, strips of queries, a softmax in between.
   Included with KIND and BYTES, the size of a number. */
#include <math.h>
#include <string.h>

#include "engine.h"
#include "vectors.h"

#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)
#define TILES NAMED(tiles_, KIND)

enum {
    PER_STEP = 4 / BYTES,
    SUMMED = 128, /* steps whose products are summed before they join the others: long sums lose digits */
};

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static int padded(int count)
{
    return (count + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
}

struct room {
    char *keys, *values, *queries, *weights;
    float *scores, *mixed, *part;
    int keys_padded, head_padded;
    size_t query_stride, weight_stride;
};

static size_t lay_out(struct room *room, int length, int head, char *from)
{
    char *at = from;
    room->keys_padded = padded(length);
    room->head_padded = padded(head);
    room->query_stride = lines((size_t)head * BYTES) + 64;
    room->weight_stride = lines((size_t)room->keys_padded * BYTES) + 64;
    room->keys = at, at += lines((size_t)room->keys_padded * head * BYTES);
    room->values = at, at += lines((size_t)room->keys_padded * room->head_padded * BYTES);
    room->queries = at, at += TILE_ROWS * room->query_stride;
    room->weights = at, at += TILE_ROWS * room->weight_stride;
    room->scores = (float *)at, at += lines(sizeof(float) * TILE_ROWS * room->keys_padded);
    room->mixed = (float *)at, at += lines(sizeof(float) * TILE_ROWS * room->head_padded);
    room->part = (float *)at, at += lines(sizeof(float) * TILE_ROWS * room->head_padded);
    return (size_t)(at - from);
}

size_t NAMED(attention_scratch_, KIND)(int length, int head)
{
    struct room room;
    return lay_out(&room, length, head, NULL) + 64;
}

static const char *row_of(const struct attention *what, int row, int part)
{
    size_t number = what->index ? (size_t)what->index[row] : (size_t)row;
    return what->qkv + number * what->stride + (size_t)(part * what->heads + what->number) * what->head * BYTES;
}

/* 16 rows of 16 words, turned. */
static void turn(__m512i x[16])
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

/* Keys as columns: [panel][step][32 keys]. */
static void pack_keys(const struct attention *what, struct room *room)
{
    const int words = what->head * BYTES / 4;
    for (int key = 0; key < room->keys_padded; key += 16) {
        char *to = room->keys + (size_t)(key / 32) * words * 128 + key % 32 * 4;
        for (int step = 0; step < words; step += 16) {
            __m512i x[16];
            for (int i = 0; i < 16; i++)
                x[i] = key + i < what->length
                           ? _mm512_maskz_loadu_epi32(first(words - step), row_of(what, key + i, 1) + step * 4)
                           : _mm512_setzero_si512();
            turn(x);
            for (int i = 0; i < 16 && step + i < words; i++)
                _mm512_storeu_si512(to + (size_t)(step + i) * 128, x[i]);
        }
    }
}

/* Values: [panel of 32 numbers][step of keys][32], in bfloat16 two keys a word. */
static void pack_values(const struct attention *what, struct room *room)
{
    const int steps = (what->length + PER_STEP - 1) / PER_STEP;
    for (int step = 0; step < steps; step++) {
        const int key = step * PER_STEP;
        const char *low = row_of(what, key, 2), *high = row_of(what, key + 1 < what->length ? key + 1 : key, 2);
        for (int i = 0; i < room->head_padded; i += 16) {
            char *to = room->values + ((size_t)(i / 32) * steps + step) * 128 + i % 32 * 4;
            const __mmask16 mask = first(what->head - i);
            __m512i x;
            if (BYTES == 4) {
                x = _mm512_maskz_loadu_epi32(mask, low + 4 * i);
            } else {
                x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, low + 2 * i));
                if (key + 1 < what->length) {
                    __m512i y = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, high + 2 * i));
                    x = _mm512_or_si512(x, _mm512_slli_epi32(y, 16));
                }
            }
            _mm512_storeu_si512(to, x);
        }
    }
}

/* Turns a row of scores into weights that are not yet divided by their sum, which is returned. */
static float soften(float *scores, const float *bias, int length, int up_to, char *weights)
{
    __m512 largest = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (int i = 0; i < length; i += 16) {
        const __mmask16 mask = first(length - i);
        __m512 x = _mm512_add_ps(_mm512_loadu_ps(scores + i), _mm512_maskz_loadu_ps(mask, bias + i));
        _mm512_storeu_ps(scores + i, x);
        largest = _mm512_mask_max_ps(largest, mask, largest, x);
    }
    const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
    for (int i = 0; i < up_to; i += 16) {
        __m512 x = _mm512_maskz_mov_ps(first(length - i), exp_of(_mm512_sub_ps(_mm512_loadu_ps(scores + i), top)));
        sum = _mm512_add_ps(sum, x);
        if (BYTES == 4)
            _mm512_storeu_ps((float *)weights + i, x);
        else
            _mm256_storeu_si256((__m256i *)(weights + 2 * i), NARROW(x));
    }
    return _mm512_reduce_add_ps(sum);
}

static void strip(const struct attention *what, const struct room *room, int query, int count)
{
    const int words = what->head * BYTES / 4, steps = (what->length + PER_STEP - 1) / PER_STEP;
    float parts[TILE_ROWS];
    for (int i = 0; i < count; i++)
        memcpy(room->queries + i * room->query_stride, row_of(what, query + i, 0), (size_t)what->head * BYTES);
    for (int key = 0; key < room->keys_padded; key += 32)
        TILES[count - 1](room->queries, room->query_stride, room->keys + (size_t)key * words * 4, (size_t)words, 0,
                         room->scores + key, (size_t)room->keys_padded);
    for (int i = 0; i < count; i++)
        parts[i] = soften(room->scores + (size_t)i * room->keys_padded, what->bias - (query + i), what->length,
                          (what->length + 15) / 16 * 16, room->weights + i * room->weight_stride);
    for (int step = 0; step < steps; step += SUMMED) {
        float *to = step ? room->part : room->mixed;
        const size_t taken = (size_t)(steps - step < SUMMED ? steps - step : SUMMED);
        for (int i = 0; i < room->head_padded; i += 32)
            TILES[count - 1](room->weights + 4 * step, room->weight_stride,
                             room->values + (size_t)i * steps * 4 + (size_t)step * 128, taken, 0, to + i,
                             (size_t)room->head_padded);
        for (int i = 0; step && i < count * room->head_padded; i += 16)
            _mm512_store_ps(room->mixed + i, _mm512_add_ps(_mm512_load_ps(room->mixed + i), _mm512_load_ps(to + i)));
    }
    for (int row = 0; row < count; row++) {
        const __m512 part = _mm512_set1_ps(1.f / parts[row]);
        char *to = what->mixed + (size_t)(query - what->skip + row) * what->mixed_stride + (size_t)what->number * what->head * BYTES;
        for (int i = 0; i < what->head; i += 16) {
            __m512 x = _mm512_mul_ps(_mm512_loadu_ps(room->mixed + row * room->head_padded + i), part);
            if (BYTES == 4)
                _mm512_mask_storeu_ps(to + 4 * i, first(what->head - i), x);
            else
                _mm256_mask_storeu_epi16(to + 2 * i, first(what->head - i), NARROW(x));
        }
    }
}

void NAMED(attend_, KIND)(const struct attention *what)
{
    struct room room;
    const int count = what->length - what->skip, tiles = tiles_for(count);
    lay_out(&room, what->length, what->head, (char *)(((uintptr_t)what->scratch + 63) & ~(uintptr_t)63));
    pack_keys(what, &room);
    pack_values(what, &room);
    for (int number = 0; number < tiles; number++) {
        const int row = (int)((int64_t)number * count / tiles), next = (int)((int64_t)(number + 1) * count / tiles);
        strip(what, &room, what->skip + row, next - row);
    }
}
