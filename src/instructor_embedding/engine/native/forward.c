/* The encoder: from token ids to vectors.

   Many rows: threads take chunks of rows and whole heads, and wait for each other twice a layer. Few rows: all threads
   share one chunk and its columns, and wait behind every step; then the weights' way from memory is what takes time. */
#include <string.h>

#include "engine.h"

enum { CHUNK = 96, FEW = 64 }; /* rows of a chunk at most, and rows a thread that are few */

/* What a crew works with on its chunk. */
struct desk {
    char *codes, *inner_codes; /* what products take: of D or H K numbers, of F */
    float *scale, *inner;      /* inner: int8 only, before rounding */
};

struct run {
    const struct model *model;
    const struct batch *batch;
    int threads, tokens, kept_tokens, together, chunk; /* together: few rows */
    size_t row, qkv_row, mixed_row, code_row, inner_row, inner_code_row; /* strides; row and inner_row in numbers */
    float *first, *hidden, *kept, *means[2];
    char *qkv, *mixed, *attention;
    size_t attention_bytes;
    int32_t *kept_token, *kept_start;
    struct phase *phases;
    struct desk desks[];
};

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static char *cut(char **at, size_t bytes)
{
    char *part = *at;
    *at += round_up(bytes);
    return part;
}

static int widest(const struct model *model)
{
    int most = model->width;
    for (int i = 0; i < model->dense; i++)
        most = model->head_weights[i].outputs > most ? model->head_weights[i].outputs : most;
    return most;
}

/* As many as the steps of a layer and of the means, where a crew has several members. */
static size_t phases_of(const struct model *model)
{
    return (size_t)(10 * model->layers + 6 + model->dense);
}

/* Even shares of at most `most` rows, a whole number of them for each thread. */
static int share_of(int rows, int threads, int most)
{
    const int rounds = (rows + threads * most - 1) / (threads * most);
    return (rows + threads * rounds - 1) / (threads * rounds);
}

static void measure(struct run *run, const struct model *model, const struct batch *batch, int threads)
{
    const int inner = (model->inner + 15) / 16 * 16, all_heads = model->heads * model->head;
    run->model = model, run->batch = batch, run->threads = threads;
    run->tokens = batch->starts[batch->texts];
    run->kept_tokens = run->tokens;
    for (int text = 0; text < batch->texts; text++)
        run->kept_tokens -= batch->skip[text];
    run->together = threads == 1 ? 0 : run->tokens <= FEW * threads;
    run->chunk = run->together ? run->tokens : share_of(run->tokens, threads, CHUNK);
    run->row = row_stride(FLOAT32, model->width) / 4;
    run->qkv_row = row_stride((enum kind)model->attention, 3 * all_heads);
    run->mixed_row = row_stride((enum kind)model->attention, all_heads);
    run->code_row = row_stride((enum kind)model->kind, model->width > all_heads ? model->width : all_heads);
    run->inner_row = row_stride(FLOAT32, inner) / 4;
    run->inner_code_row = row_stride((enum kind)model->kind, inner);
}

/* Cuts the scratch memory into parts and returns what it needs. */
static size_t lay_out(struct run *run, char *from)
{
    char *at = from;
    const struct model *model = run->model;
    const struct batch *batch = run->batch;
    const size_t tokens = (size_t)run->tokens, most = tokens > (size_t)batch->distinct ? tokens : (size_t)batch->distinct;
    int longest = 0;
    for (int text = 0; text < batch->texts; text++) {
        const int length = batch->starts[text + 1] - batch->starts[text];
        longest = length > longest ? length : longest;
    }
    run->first = (float *)cut(&at, (size_t)batch->distinct * run->row * 4);
    run->hidden = (float *)cut(&at, tokens * run->row * 4);
    run->kept = (float *)cut(&at, (size_t)run->kept_tokens * run->row * 4);
    run->qkv = cut(&at, most * run->qkv_row);
    run->mixed = cut(&at, tokens * run->mixed_row);
    for (int i = 0; i < 2; i++)
        run->means[i] = (float *)cut(&at, (size_t)batch->texts * row_stride(FLOAT32, widest(model)));
    run->kept_token = (int32_t *)cut(&at, (size_t)run->kept_tokens * 4);
    run->kept_start = (int32_t *)cut(&at, (size_t)(batch->texts + 1) * 4);
    run->phases = (struct phase *)cut(&at, phases_of(model) * sizeof(struct phase));
    run->attention_bytes = round_up(model->attention == BFLOAT16 ? attention_scratch_bfloat16(longest, model->head)
                                                                 : attention_scratch_float32(longest, model->head));
    run->attention = cut(&at, run->attention_bytes * (size_t)run->threads);
    for (int i = 0; i < run->threads; i++) {
        struct desk desk = {0};
        if (!run->together || i == 0) {
            desk.codes = cut(&at, (size_t)run->chunk * run->code_row);
            desk.inner_codes = cut(&at, (size_t)run->chunk * run->inner_code_row);
            desk.scale = (float *)cut(&at, (size_t)run->chunk * 4);
            desk.inner = (float *)cut(&at, model->kind == INT8 ? (size_t)run->chunk * run->inner_row * 4 : 0);
        }
        if (from)
            run->desks[i] = desk;
    }
    return (size_t)(at - from);
}

/* Rows by weight. The crew shares panels and, where these are too few for it, blocks of rows as well. */
static void product(enum kind kind, struct crew *crew, const struct rows *rows, int count, const struct weight *weight,
                    const struct target *target)
{
    const int panels = (weight->outputs + TILE_COLUMNS - 1) / TILE_COLUMNS, wanted = (2 * crew->size + panels - 1) / panels;
    const int most = tiles_for(count), blocks = crew->size == 1 || wanted < 2 ? 1 : wanted < most ? wanted : most;
    for (int from, to; crew_share(crew, panels * blocks, 0, &from, &to);)
        for (int item = from, next; item < to; item = next) {
            const int block = item / panels, row = (int)((int64_t)block * count / blocks);
            const int rest = (int)((int64_t)(block + 1) * count / blocks) - row;
            next = (block + 1) * panels < to ? (block + 1) * panels : to;
            const struct rows part = {rows->codes + row * rows->stride, rows->stride, rows->scale ? rows->scale + row : NULL,
                                      rows->is_signed};
            const struct target place = {target->finish, (char *)target->to + row * target->stride * finished_bytes(target->finish), target->stride,
                                         target->activation};
            gemm(kind, &part, rest, weight, item % panels, item % panels + (next - item), &place);
        }
}

static void norm(const struct run *run, struct crew *crew, const struct desk *desk, const float *weight,
                 const float *hidden, int count)
{
    const struct model *model = run->model;
    for (int from, to; crew_share(crew, count, 0, &from, &to);)
        for (int row = from; row < to; row++)
            row_norm((enum kind)model->kind, hidden + row * run->row, weight, model->width, model->epsilon,
                     desk->codes + row * run->code_row, desk->scale + row);
}

/* Query, key and value of rows of the residual stream. */
static void attention_input(const struct run *run, struct crew *crew, const struct desk *desk, const struct layer *layer,
                            const float *hidden, int count, char *qkv)
{
    const struct model *model = run->model;
    const int narrow = model->attention == BFLOAT16;
    const struct rows rows = {desk->codes, run->code_row, model->kind == INT8 ? desk->scale : NULL, 1};
    const struct target target = {narrow ? TO_BFLOAT16 : TO_FLOAT, qkv, run->qkv_row / (narrow ? 2 : 4), RELU};
    norm(run, crew, desk, layer->attention_norm, hidden, count);
    product((enum kind)model->kind, crew, &rows, count, &layer->qkv, &target);
}

static void feed_forward(const struct run *run, struct crew *crew, const struct desk *desk, const struct layer *layer,
                         float *hidden, int count)
{
    const struct model *model = run->model;
    const enum kind kind = (enum kind)model->kind;
    const enum activation activation = (enum activation)model->activation;
    const int narrow = kind == BFLOAT16, is_signed = model->gated || activation != RELU;
    const struct rows rows = {desk->codes, run->code_row, kind == INT8 ? desk->scale : NULL, 1};
    const struct rows inner = {desk->inner_codes, run->inner_code_row, rows.scale, is_signed};
    const enum finish finish =
        model->gated ? (narrow ? GATE_BFLOAT16 : GATE_FLOAT) : narrow ? ACTIVE_BFLOAT16 : ACTIVE_FLOAT;
    const struct target up = {finish, kind == INT8 ? (void *)desk->inner : (void *)desk->inner_codes,
                              kind == INT8 ? run->inner_row : run->inner_code_row / (narrow ? 2 : 4), activation};
    const struct target down = {ADD, hidden, run->row, activation};
    norm(run, crew, desk, layer->feed_forward_norm, hidden, count);
    product(kind, crew, &rows, count, &layer->up, &up);
    for (int from, to; kind == INT8 && crew_share(crew, count, 0, &from, &to);)
        for (int row = from; row < to; row++)
            row_round(0, desk->inner + row * run->inner_row, model->inner, is_signed,
                      desk->inner_codes + row * run->inner_code_row, desk->scale + row);
    product(kind, crew, &inner, count, &layer->down, &down);
}

static void embed(const struct run *run, struct crew *crew, const struct desk *desk, int row, int count)
{
    float *first = run->first + row * run->row;
    for (int from, to; crew_share(crew, count, 0, &from, &to);)
        for (int i = from; i < to; i++)
            row_embed(run->model, run->batch->ids[row + i], first + i * run->row);
    attention_input(run, crew, desk, run->model->layer, first, count, run->qkv + row * run->qkv_row);
}

/* Gets rows ready for the output of attention: where it is added to, and, in int8, what it is. */
static void attention_output(const struct run *run, const struct desk *desk, int number, int row, float *hidden)
{
    const struct model *model = run->model;
    const int token = number == model->layers - 1 ? run->kept_token[row] : row;
    const float *from = number ? run->hidden + token * run->row : run->first + run->batch->where[token] * run->row;
    if (from != hidden)
        memcpy(hidden, from, (size_t)model->width * 4);
    if (model->kind == INT8)
        row_round(model->attention == BFLOAT16, run->mixed + row * run->mixed_row, model->heads * model->head, 1,
                  desk->codes, desk->scale);
}

/* The rest of layer `number` for rows whose attention is done, and the next one's attention input. */
static void rest_of_layer(const struct run *run, struct crew *crew, const struct desk *desk, int number, int row,
                          int count)
{
    const struct model *model = run->model;
    const int last = number == model->layers - 1, int8 = model->kind == INT8;
    float *hidden = (last ? run->kept : run->hidden) + row * run->row;
    for (int from, to; crew_share(crew, count, 0, &from, &to);)
        for (int i = from; i < to; i++) {
            const struct desk place = {.codes = desk->codes + i * run->code_row, .scale = desk->scale + i};
            attention_output(run, &place, number, row + i, hidden + i * run->row);
        }
    const struct rows rows = {int8 ? desk->codes : run->mixed + row * run->mixed_row, int8 ? run->code_row : run->mixed_row,
                              int8 ? desk->scale : NULL, 1};
    const struct target target = {ADD, hidden, run->row, RELU};
    product((enum kind)model->kind, crew, &rows, count, &model->layer[number].o, &target);
    feed_forward(run, crew, desk, model->layer + number, hidden, count);
    if (!last) {
        attention_input(run, crew, desk, model->layer + number + 1, hidden, count, run->qkv + row * run->qkv_row);
        return;
    }
    for (int from, to; crew_share(crew, count, 0, &from, &to);)
        for (int i = from; i < to; i++)
            row_norm(FLOAT32, hidden + i * run->row, model->final_norm, model->width, model->epsilon,
                     (char *)(hidden + i * run->row), NULL);
}

static void attend(const struct run *run, int number, int text, int head, char *scratch)
{
    const struct model *model = run->model;
    const struct batch *batch = run->batch;
    const int last = number == model->layers - 1, start = batch->starts[text];
    const struct attention what = {
        .qkv = run->qkv + (number ? start * run->qkv_row : 0),
        .index = number ? NULL : batch->where + start,
        .stride = run->qkv_row,
        .mixed_stride = run->mixed_row,
        .length = batch->starts[text + 1] - start,
        .skip = last ? batch->skip[text] : 0,
        .heads = model->heads,
        .head = model->head,
        .number = head,
        .bias = batch->bias + (size_t)head * (2 * batch->span - 1) + batch->span - 1,
        .mixed = run->mixed + (last ? run->kept_start[text] : start) * run->mixed_row,
        .scratch = scratch,
    };
    if (model->attention == BFLOAT16)
        attend_bfloat16(&what);
    else
        attend_float32(&what);
}

/* Layer -1 is the embedding. */
static void rows_of_layer(const struct run *run, struct crew *all, const struct desk *desk, int number)
{
    const int last = number == run->model->layers - 1;
    const int rows = number < 0 ? run->batch->distinct : last ? run->kept_tokens : run->tokens;
    struct crew alone = {.size = 1};
    if (run->together) {
        if (number < 0)
            embed(run, all, desk, 0, rows);
        else
            rest_of_layer(run, all, desk, number, 0, rows);
        return;
    }
    const int chunk = share_of(rows, run->threads, run->chunk), chunks = (rows + chunk - 1) / chunk;
    for (int from, to; crew_share(all, chunks, chunks, &from, &to);)
        for (int i = from; i < to; i++) {
            const int row = i * chunk, count = rows - row < chunk ? rows - row : chunk;
            if (number < 0)
                embed(run, &alone, desk, row, count);
            else
                rest_of_layer(run, &alone, desk, number, row, count);
        }
}

/* Means and the layers behind them. */
static void finish(const struct run *run, struct crew *crew)
{
    const struct model *model = run->model;
    const struct batch *batch = run->batch;
    const size_t stride = row_stride(FLOAT32, widest(model));
    for (int from, to; crew_share(crew, batch->texts, 0, &from, &to);)
        for (int text = from; text < to; text++) {
            const int start = run->kept_start[text];
            row_mean(run->kept + start * run->row, run->row, run->kept_start[text + 1] - start, model->width,
                     model->dense ? run->means[0] + text * (stride / 4) : batch->vectors + (size_t)text * model->width);
        }
    for (int i = 0; i < model->dense; i++) {
        const struct weight *weight = model->head_weights + i;
        const struct rows rows = {(char *)run->means[i % 2], stride, NULL, 0};
        const int last = i == model->dense - 1;
        const struct target target = {TO_FLOAT, last ? batch->vectors : run->means[(i + 1) % 2],
                                      last ? (size_t)weight->outputs : stride / 4, RELU};
        product(FLOAT32, crew, &rows, batch->texts, weight, &target);
    }
}

static void work(void *argument, int rank, int size)
{
    const struct run *run = argument;
    const int items = run->batch->texts * run->model->heads;
    struct crew crew = {.size = size, .phase = run->phases};
    for (int number = -1; number < run->model->layers; number++) {
        for (int from, to; number >= 0 && crew_share(&crew, items, 16 * size, &from, &to);)
            for (int item = from; item < to; item++)
                attend(run, number, item / run->model->heads, item % run->model->heads,
                       run->attention + rank * run->attention_bytes);
        rows_of_layer(run, &crew, run->desks + (run->together ? 0 : rank), number);
    }
    finish(run, &crew);
}

size_t forward_bytes(const struct model *model, const struct batch *batch, int32_t threads)
{
    struct run run;
    measure(&run, model, batch, threads);
    return lay_out(&run, NULL) + sizeof(struct run) + (size_t)threads * sizeof(struct desk) + 128;
}

/* `scratch` holds as much as `forward_bytes` says. */
void forward(const struct model *model, const struct batch *batch, int32_t threads, char *scratch)
{
    struct run *run = (struct run *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    measure(run, model, batch, threads);
    lay_out(run, (char *)run + round_up(sizeof(struct run) + (size_t)threads * sizeof(struct desk)));
    memset(run->phases, 0, phases_of(model) * sizeof(struct phase));
    int kept = 0;
    for (int text = 0; text < batch->texts; text++) {
        run->kept_start[text] = kept;
        for (int token = batch->starts[text] + batch->skip[text]; token < batch->starts[text + 1]; token++)
            run->kept_token[kept++] = token;
    }
    run->kept_start[batch->texts] = kept;
    team_run(threads, work, run);
}
