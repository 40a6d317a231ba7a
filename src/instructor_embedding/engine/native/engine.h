/* The T5 encoder on packed tokens: what the files of this folder share.

   Letters: T tokens of a batch, U distinct ones, D width, H heads, K numbers a head, F inner width. */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Of the exported functions and the structures that callers fill; native_library.py holds the same number. Raise both
   with every change, those included that leave the sizes alone. */
enum { ENGINE_ABI = 2 };

enum { TILE_ROWS = 12, TILE_COLUMNS = 32 };
enum kind { FLOAT32, BFLOAT16, INT8 };
enum activation { RELU, GELU, GELU_NEW, SILU };
enum table { TABLE_FLOAT32, TABLE_BFLOAT16, TABLE_INT8, TABLE_INT4 };

/* A weight (outputs, inputs) in panels of 32 outputs: [panel][step][32] words of 4 bytes, zero where there is nothing.
   A step is 4 inputs in int8, 2 in bfloat16, 1 in float32. */
struct weight {
    const char *panels;
    const float *scale;   /* int8: one a channel, padded to whole panels */
    const int32_t *shift; /* int8: 128 times the sum of a channel's codes, padded too */
    int32_t inputs, outputs;
};

struct layer {
    const float *attention_norm, *feed_forward_norm;
    struct weight qkv, o, up, down; /* gated: up holds 16 gates and 16 values in each panel */
};

struct model {
    int32_t kind, attention; /* of products, and of attention: BFLOAT16 or FLOAT32 */
    int32_t width, heads, head, inner, layers, activation, gated, dense;
    float epsilon;
    int32_t table_kind;
    const void *table;
    const void *table_scale;
    const float *table_columns; /* mean and deviation of each column */
    const struct layer *layer;
    const float *final_norm;
    const struct weight *head_weights; /* `dense` of them, float32 */
};

struct batch {
    const int32_t *ids;    /* (U,) distinct */
    const int32_t *where;  /* (T,) which of them each token is */
    const int32_t *starts; /* (texts + 1,) */
    const int32_t *skip;   /* (texts,) */
    const float *bias;     /* (H, 2 span - 1), by key less query plus span - 1 */
    int32_t texts, distinct, span;
    float *vectors;        /* (texts, outputs of the last head weight, or D) */
};

/* Rows that a product takes: codes, `stride` bytes apart, and, in int8, a scale each. */
struct rows {
    char *codes;
    size_t stride;
    float *scale;
    int is_signed; /* int8: codes are 128 too large */
};

enum finish { TO_FLOAT, TO_BFLOAT16, ADD, ACTIVE_FLOAT, ACTIVE_BFLOAT16, GATE_FLOAT, GATE_BFLOAT16 };

struct target {
    enum finish finish;
    void *to;
    size_t stride; /* in numbers */
    enum activation activation;
};

/* team.c: `team_run` calls `job` on up to so many threads, and returns when all have left it.

   A job is a row of phases. In each, all members of a crew ask for shares of `count` pieces of work until there are
   none, which they learn when the last piece is done: `while (crew_share(&crew, count, parts, &from, &to))`.
   `parts` is how many shares there are, 0 for a few a thread. A crew of one has no phases and gets all in one share. */
struct phase {
    _Alignas(64) atomic_int next;
    atomic_int done;
};
struct crew {
    int size, held;
    struct phase *phase;
};
typedef void job(void *argument, int rank, int size);
void team_run(int threads, job *what, void *argument);
int crew_share(struct crew *crew, int count, int parts, int *from, int *to);

/* tiles_*.c: 1 to 12 rows by 32 columns; sums go to `sums`, `stride` numbers a row, int32 in int8.
   Panels come from further away than the hardware's own prefetching bridges: `ahead` bytes are fetched in advance. */
typedef void tile(const char *rows, size_t row_stride, const char *panel, size_t steps, size_t ahead, void *sums,
                  size_t stride);
extern tile *const tiles_float32[], *const tiles_bfloat16[], *const tiles_int8[];
tile *const *tiles_of(enum kind kind);

/* gemm.c */
size_t steps_of(enum kind kind, int32_t inputs);
size_t row_stride(enum kind kind, int32_t inputs);
int tiles_for(int rows);
int finished_bytes(enum finish finish);
void gemm(enum kind kind, const struct rows *rows, int count, const struct weight *weight, int first_panel,
          int last_panel, const struct target *target);

/* rows.c */
void row_norm(enum kind kind, const float *from, const float *weight, int width, float epsilon, char *codes,
              float *scale);
void row_round(int from_bfloat16, const void *from, int width, int is_signed, char *codes, float *scale);
void row_embed(const struct model *model, int32_t id, float *to);
void row_mean(const float *rows, size_t stride, int count, int width, float *to);

/* attention_*.c: one head of one text; row `i` of the text is `qkv + index[i] * stride`, or row i where there is none;
   queries from `skip` on, written to `mixed`. */
struct attention {
    const char *qkv;
    const int32_t *index;
    size_t stride, mixed_stride; /* bytes */
    int length, skip, heads, head, number;
    const float *bias; /* of distance 0 */
    char *mixed;
    char *scratch;
};
size_t attention_scratch_float32(int length, int head);
size_t attention_scratch_bfloat16(int length, int head);
void attend_float32(const struct attention *what);
void attend_bfloat16(const struct attention *what);

#endif
