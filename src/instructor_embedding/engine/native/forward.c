/* The encoder: from token ids to vectors.

   Exact savings: the first layer's attention input is computed once per distinct token, and after the last attention
   only the tokens that are pooled are computed.

   Many rows: threads take chunks of rows and complete heads, and wait for each other twice per layer. Few rows: all
   threads share one chunk and divide its columns, and wait after every step; reading weights from memory is then what
   takes time. */
#include <string.h>

#include "kernels.h"
#include "pool.h"
#include "run.h"

/* Rows by weight. The group shares panels and, where there are too few panels for it, blocks of rows as well. */
static void matmul(const struct run *run, enum format kind, struct group *group, const struct rows *rows, int count,
                   const struct weight *weight, const struct target *target)
{
    const int columns = columns_of(run->kernels), panels = (weight->outputs + columns - 1) / columns;
    const int desired = (2 * group->size + panels - 1) / panels, most = tiles_for(run->kernels, count);
    const int blocks = group->size == 1 || desired < 2 ? 1 : desired < most ? desired : most;
    for (int from, to; group_take(group, panels * blocks, 0, &from, &to);)
        for (int item = from, next; item < to; item = next) {
            const int block = item / panels, row = (int)((int64_t)block * count / blocks);
            const int block_rows = (int)((int64_t)(block + 1) * count / blocks) - row;
            next = (block + 1) * panels < to ? (block + 1) * panels : to;
            struct rows block_of_rows = *rows;
            struct target block_target = *target;
            block_of_rows.values += row * rows->stride;
            block_of_rows.scale = rows->scale ? rows->scale + row : NULL;
            block_target.to = (char *)target->to + row * target->stride * element_bytes(target->finish);
            run->kernels->gemm(kind, &block_of_rows, block_rows, weight, item % panels, item % panels + (next - item),
                               &block_target);
        }
}

static void norm(const struct run *run, struct group *group, const struct workspace *work, const float *weight,
                 const float *hidden, int count)
{
    const struct model *model = run->model;
    for (int from, to; group_take(group, count, 0, &from, &to);)
        for (int row = from; row < to; row++)
            run->kernels->norm((enum format)model->kind, hidden + row * run->hidden_stride, weight, model->width,
                               model->epsilon, work->rows + row * run->row_stride, work->scale + row);
}

/* Query, key and value of rows of the residual stream. */
static void attention_input(const struct run *run, struct group *group, const struct workspace *work,
                            const struct layer *layer, const float *hidden, int count, char *qkv)
{
    const struct model *model = run->model;
    const int bf16 = model->attention == BFLOAT16;
    const struct rows rows = {work->rows, run->row_stride, model->kind == INT8 ? work->scale : NULL, 1};
    const struct target target = {bf16 ? TO_BFLOAT16 : TO_FLOAT, qkv, run->qkv_stride / (bf16 ? 2 : 4), RELU};
    norm(run, group, work, layer->attention_norm, hidden, count);
    matmul(run, (enum format)model->kind, group, &rows, count, &layer->qkv, &target);
}

static void feed_forward(const struct run *run, struct group *group, const struct workspace *work,
                         const struct layer *layer, float *hidden, int count)
{
    const struct model *model = run->model;
    const enum format kind = (enum format)model->kind;
    const enum activation activation = (enum activation)model->activation;
    const int bf16 = kind == BFLOAT16, is_signed = model->gated || activation != RELU;
    const struct rows rows = {work->rows, run->row_stride, kind == INT8 ? work->scale : NULL, 1};
    const struct rows inner = {work->inner_rows, run->inner_row_stride, rows.scale, is_signed};
    const enum finish finish =
        model->gated ? (bf16 ? GATE_BFLOAT16 : GATE_FLOAT) : bf16 ? ACTIVE_BFLOAT16 : ACTIVE_FLOAT;
    const struct target up = {finish, kind == INT8 ? (void *)work->inner : (void *)work->inner_rows,
                              kind == INT8 ? run->inner_stride : run->inner_row_stride / (bf16 ? 2 : 4), activation};
    const struct target down = {ADD, hidden, run->hidden_stride, activation};
    norm(run, group, work, layer->feed_forward_norm, hidden, count);
    matmul(run, kind, group, &rows, count, &layer->up, &up);
    for (int from, to; kind == INT8 && group_take(group, count, 0, &from, &to);)
        for (int row = from; row < to; row++)
            run->kernels->quantize(0, work->inner + row * run->inner_stride, model->inner, is_signed,
                                   work->inner_rows + row * run->inner_row_stride, work->scale + row);
    matmul(run, kind, group, &inner, count, &layer->down, &down);
}

static void embed(const struct run *run, struct group *group, const struct workspace *work, int row, int count)
{
    float *embedded = run->embedded + row * run->hidden_stride;
    for (int from, to; group_take(group, count, 0, &from, &to);)
        for (int i = from; i < to; i++)
            run->kernels->embed(run->model, run->batch->ids[row + i], embedded + i * run->hidden_stride);
    attention_input(run, group, work, run->model->layer, embedded, count, run->qkv + row * run->qkv_stride);
}

/* Prepares row `row` for the output of attention: the residual that it is added to, and its INT8 codes. */
static void attention_output(const struct run *run, int number, int row, float *hidden, char *codes, float *scale)
{
    const struct model *model = run->model;
    const int token = number == model->layers - 1 ? run->pooled_token[row] : row;
    const float *from = number ? run->hidden + token * run->hidden_stride
                               : run->embedded + run->batch->where[token] * run->hidden_stride;
    if (from != hidden)
        memcpy(hidden, from, (size_t)model->width * 4);
    if (model->kind == INT8)
        run->kernels->quantize(model->attention == BFLOAT16, run->mixed + row * run->mixed_stride,
                               model->heads * model->head, 1, codes, scale);
}

/* The rest of layer `number` for rows whose attention is complete, and the next layer's attention input. */
static void rest_of_layer(const struct run *run, struct group *group, const struct workspace *work, int number, int row,
                          int count)
{
    const struct model *model = run->model;
    const int last = number == model->layers - 1, int8 = model->kind == INT8;
    float *hidden = (last ? run->pooled : run->hidden) + row * run->hidden_stride;
    for (int from, to; group_take(group, count, 0, &from, &to);)
        for (int i = from; i < to; i++)
            attention_output(run, number, row + i, hidden + i * run->hidden_stride, work->rows + i * run->row_stride,
                             work->scale + i);
    const struct rows rows = {int8 ? work->rows : run->mixed + row * run->mixed_stride,
                              int8 ? run->row_stride : run->mixed_stride, int8 ? work->scale : NULL, 1};
    const struct target target = {ADD, hidden, run->hidden_stride, RELU};
    matmul(run, (enum format)model->kind, group, &rows, count, &model->layer[number].o, &target);
    feed_forward(run, group, work, model->layer + number, hidden, count);
    if (!last) {
        attention_input(run, group, work, model->layer + number + 1, hidden, count, run->qkv + row * run->qkv_stride);
        return;
    }
    for (int from, to; group_take(group, count, 0, &from, &to);)
        for (int i = from; i < to; i++)
            run->kernels->norm(FLOAT32, hidden + i * run->hidden_stride, model->final_norm, model->width,
                               model->epsilon, (char *)(hidden + i * run->hidden_stride), NULL);
}

static void attend(const struct run *run, int number, int text, int head, char *scratch)
{
    const struct model *model = run->model;
    const struct batch *batch = run->batch;
    const int last = number == model->layers - 1, start = batch->starts[text];
    const struct attention attention = {
        .qkv = run->qkv + (number ? start * run->qkv_stride : 0),
        .index = number ? NULL : batch->where + start,
        .stride = run->qkv_stride,
        .mixed_stride = run->mixed_stride,
        .length = batch->starts[text + 1] - start,
        .skip = last ? batch->skip[text] : 0,
        .heads = model->heads,
        .head = model->head,
        .number = head,
        .bias = batch->bias + (size_t)head * (2 * batch->span - 1) + batch->span - 1,
        .mixed = run->mixed + (last ? run->pooled_start[text] : start) * run->mixed_stride,
        .scratch = scratch,
    };
    run->kernels->attend[model->attention](&attention);
}

/* Layer -1 is the embedding. */
static void rows_of_layer(const struct run *run, struct group *group, const struct workspace *work, int number)
{
    const int last = number == run->model->layers - 1;
    const int rows = number < 0 ? run->batch->distinct : last ? run->pooled_tokens : run->tokens;
    struct group alone = {.size = 1};
    if (run->few_rows) {
        if (number < 0)
            embed(run, group, work, 0, rows);
        else
            rest_of_layer(run, group, work, number, 0, rows);
        return;
    }
    const int chunk = even_share(rows, run->threads, run->chunk), chunks = (rows + chunk - 1) / chunk;
    for (int from, to; group_take(group, chunks, chunks, &from, &to);)
        for (int i = from; i < to; i++) {
            const int row = i * chunk, count = rows - row < chunk ? rows - row : chunk;
            if (number < 0)
                embed(run, &alone, work, row, count);
            else
                rest_of_layer(run, &alone, work, number, row, count);
        }
}

/* Mean pooling and the dense layers after it. */
static void pool_and_project(const struct run *run, struct group *group)
{
    const struct model *model = run->model;
    const struct batch *batch = run->batch;
    const size_t stride = run->mean_stride;
    for (int from, to; group_take(group, batch->texts, 0, &from, &to);)
        for (int text = from; text < to; text++) {
            const int start = run->pooled_start[text];
            run->kernels->mean(run->pooled + start * run->hidden_stride, run->hidden_stride,
                               run->pooled_start[text + 1] - start, model->width,
                               model->dense ? run->means[0] + text * (stride / 4)
                                            : batch->vectors + (size_t)text * model->width);
        }
    for (int i = 0; i < model->dense; i++) {
        const struct weight *weight = model->head_weights + i;
        const struct rows rows = {(char *)run->means[i % 2], stride, NULL, 0};
        const int last = i == model->dense - 1;
        const struct target target = {TO_FLOAT, last ? batch->vectors : run->means[(i + 1) % 2],
                                      last ? (size_t)weight->outputs : stride / 4, RELU};
        matmul(run, FLOAT32, group, &rows, batch->texts, weight, &target);
    }
}

static void work(void *argument, int rank, int size)
{
    const struct run *run = argument;
    const int items = run->batch->texts * run->model->heads;
    struct group group = {.size = size, .step = run->steps};
    for (int number = -1; number < run->model->layers; number++) {
        for (int from, to; number >= 0 && group_take(&group, items, 16 * size, &from, &to);)
            for (int item = from; item < to; item++)
                attend(run, number, item / run->model->heads, item % run->model->heads,
                       run->attention + rank * run->attention_bytes);
        rows_of_layer(run, &group, run->workspaces + (run->few_rows ? 0 : rank), number);
    }
    pool_and_project(run, &group);
}

/* `scratch` has as many bytes as engine_forward_bytes returns for the same arguments. */
void engine_forward(const struct model *model, const struct batch *batch, int32_t threads, char *scratch)
{
    pool_run(threads, work, run_prepare(model, batch, threads, scratch));
}
