/* Sizes and scratch memory of one call of the encoder. */
#include "run.h"

#include <string.h>

enum { CHUNK = 96, FEW = 64 }; /* rows of a chunk at most, and rows per thread that are few */

static size_t to_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static char *carve(char **at, size_t bytes)
{
    char *memory = *at;
    *at += to_lines(bytes);
    return memory;
}

static int widest_vector(const struct model *model)
{
    int most = model->width;
    for (int i = 0; i < model->dense; i++)
        most = model->head_weights[i].outputs > most ? model->head_weights[i].outputs : most;
    return most;
}

/* At least as many as `work` of forward.c goes through. */
static size_t steps_of_task(const struct model *model)
{
    return (size_t)(10 * model->layers + 6 + model->dense);
}

int even_share(int rows, int threads, int most)
{
    const int rounds = (rows + threads * most - 1) / (threads * most);
    return (rows + threads * rounds - 1) / (threads * rounds);
}

static void measure(struct run *run, const struct model *model, const struct batch *batch, int threads)
{
    const int inner = (model->inner + 15) / 16 * 16, all_heads = model->heads * model->head;
    const struct kernels *kernels = kernels_of(model->kernels);
    run->kernels = kernels, run->model = model, run->batch = batch, run->threads = threads;
    run->tokens = batch->starts[batch->texts];
    run->pooled_tokens = run->tokens;
    for (int text = 0; text < batch->texts; text++)
        run->pooled_tokens -= batch->skip[text];
    run->few_rows = threads == 1 ? 0 : run->tokens <= FEW * threads;
    run->chunk = run->few_rows ? run->tokens : even_share(run->tokens, threads, CHUNK);
    run->hidden_stride = row_stride(kernels, FLOAT32, model->width) / 4;
    run->qkv_stride = row_stride(kernels, (enum format)model->attention, 3 * all_heads);
    run->mixed_stride = row_stride(kernels, (enum format)model->attention, all_heads);
    run->row_stride =
        row_stride(kernels, (enum format)model->kind, model->width > all_heads ? model->width : all_heads);
    run->inner_stride = row_stride(kernels, FLOAT32, inner) / 4;
    run->inner_row_stride = row_stride(kernels, (enum format)model->kind, inner);
    run->mean_stride = row_stride(kernels, FLOAT32, widest_vector(model));
}

static void carve_workspaces(struct run *run, char **at, int fill)
{
    for (int i = 0; i < run->threads; i++) {
        struct workspace workspace = {0};
        if (!run->few_rows || i == 0) {
            const size_t inner = run->model->kind == INT8 ? (size_t)run->chunk * run->inner_stride * 4 : 0;
            workspace.rows = carve(at, (size_t)run->chunk * run->row_stride);
            workspace.inner_rows = carve(at, (size_t)run->chunk * run->inner_row_stride);
            workspace.scale = (float *)carve(at, (size_t)run->chunk * 4);
            workspace.inner = (float *)carve(at, inner);
        }
        if (fill)
            run->workspaces[i] = workspace;
    }
}

/* Carves the scratch memory at `from` and returns how much there is of it; nothing is written where `from` is NULL. */
static size_t carve_all(struct run *run, char *from)
{
    char *at = from;
    const struct batch *batch = run->batch;
    const size_t tokens = (size_t)run->tokens, distinct = (size_t)batch->distinct;
    int longest = 0;
    for (int text = 0; text < batch->texts; text++) {
        const int length = batch->starts[text + 1] - batch->starts[text];
        longest = length > longest ? length : longest;
    }
    run->embedded = (float *)carve(&at, distinct * run->hidden_stride * 4);
    run->hidden = (float *)carve(&at, tokens * run->hidden_stride * 4);
    run->pooled = (float *)carve(&at, (size_t)run->pooled_tokens * run->hidden_stride * 4);
    run->qkv = carve(&at, (tokens > distinct ? tokens : distinct) * run->qkv_stride);
    run->mixed = carve(&at, tokens * run->mixed_stride);
    for (int i = 0; i < 2; i++)
        run->means[i] = (float *)carve(&at, (size_t)batch->texts * run->mean_stride);
    run->pooled_token = (int32_t *)carve(&at, (size_t)run->pooled_tokens * 4);
    run->pooled_start = (int32_t *)carve(&at, (size_t)(batch->texts + 1) * 4);
    run->steps = (struct step *)carve(&at, steps_of_task(run->model) * sizeof(struct step));
    run->attention_bytes = to_lines(run->kernels->attention_bytes[run->model->attention](longest, run->model->head));
    run->attention = carve(&at, run->attention_bytes * (size_t)run->threads);
    carve_workspaces(run, &at, from != NULL);
    return (size_t)(at - from);
}

size_t engine_forward_bytes(const struct model *model, const struct batch *batch, int32_t threads)
{
    struct run run;
    measure(&run, model, batch, threads);
    return carve_all(&run, NULL) + sizeof(struct run) + (size_t)threads * sizeof(struct workspace) + 128;
}

struct run *run_prepare(const struct model *model, const struct batch *batch, int threads, char *scratch)
{
    struct run *run = (struct run *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    measure(run, model, batch, threads);
    carve_all(run, (char *)run + to_lines(sizeof(struct run) + (size_t)threads * sizeof(struct workspace)));
    memset(run->steps, 0, steps_of_task(model) * sizeof(struct step));
    int pooled = 0;
    for (int text = 0; text < batch->texts; text++) {
        run->pooled_start[text] = pooled;
        for (int token = batch->starts[text] + batch->skip[text]; token < batch->starts[text + 1]; token++)
            run->pooled_token[pooled++] = token;
    }
    run->pooled_start[batch->texts] = pooled;
    return run;
}
