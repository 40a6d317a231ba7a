/* One call of the encoder: its sizes and its scratch memory. */
#ifndef RUN_H
#define RUN_H

#include "kernels.h"
#include "pool.h"

/* What a thread, or the group on few rows, needs for its chunk of rows. */
struct workspace {
    char *rows, *inner_rows;   /* left operands: of width D or H K, and of width F */
    float *scale, *inner;      /* INT8: per-row scales, and the inner values before quantization */
};

struct run {
    const struct kernels *kernels;
    const struct model *model;
    const struct batch *batch;
    int threads, tokens, pooled_tokens, few_rows, chunk; /* few_rows: the group shares one chunk */
    size_t hidden_stride, inner_stride;                  /* in floats; the others in bytes */
    size_t qkv_stride, mixed_stride, row_stride, inner_row_stride, mean_stride;
    float *embedded, *hidden, *pooled, *means[2];
    char *qkv, *mixed, *attention;
    size_t attention_bytes;
    int32_t *pooled_token, *pooled_start;
    struct step *steps;
    struct workspace workspaces[];
};

/* Even shares of at most `most` rows, the same number of them for each thread. */
int even_share(int rows, int threads, int most);

struct run *run_prepare(const struct model *model, const struct batch *batch, int threads, char *scratch);

#endif
