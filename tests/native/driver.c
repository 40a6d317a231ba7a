/* Runs the engine without Python. `driver compare [MODELS]` checks every set of kernels against plain C on random models,
   each drawn from its seed; `driver threads` runs concurrent callers and forks, `driver callers` the callers alone.
   `driver encode FILE FOLDER` reads a model with its batch and writes the vectors of every set of kernels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "kernels.h"

static uint32_t state;
static uint32_t random_bits(void)
{
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}
static int between(int least, int most) { return least + (int)(random_bits() % (uint32_t)(most - least + 1)); }
static float uniform(void) { return (float)(random_bits() >> 8) / (1 << 23) - 1; }

static float *floats(size_t count, float size, float shift)
{
    float *values = malloc(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        values[i] = uniform() * size + shift;
    return values;
}

struct shape {
    int width, heads, head, inner, layers, activation, gated, dense, vocabulary, texts, longest;
};

static struct shape random_shape(void)
{
    struct shape shape = {.width = between(1, 90), .heads = between(1, 4), .head = 2 * between(1, 24),
                          .inner = between(1, 140), .layers = between(1, 3), .activation = between(0, 3),
                          .gated = between(0, 1), .dense = between(0, 60), .vocabulary = 50, .texts = between(1, 9),
                          .longest = between(1, 70)};
    if (between(0, 9) == 0)
        shape.inner = 1400;
    return shape;
}

/* Weights of a model before packing, and the batch that it runs. */
struct example {
    struct shape shape;
    float *table, *norms, *matrices[64];
    int matrix_count;
    int32_t *ids, *where, *starts, *skip;
    float *bias;
    int tokens, distinct;
};

static float *matrix(struct example *example, int outputs, int inputs)
{
    const float size = 1.7f / sqrtf((float)inputs);
    return example->matrices[example->matrix_count++] = floats((size_t)outputs * inputs, size, 0);
}

static struct example example_of(uint32_t seed)
{
    state = seed * 2654435761u + 1;
    struct example example = {.shape = random_shape()};
    const struct shape *shape = &example.shape;
    const int all_heads = shape->heads * shape->head;
    example.table = floats((size_t)shape->vocabulary * shape->width, 1, 0);
    example.norms = floats((size_t)(2 * shape->layers + 1) * shape->width, 0.3f, 1);
    for (int layer = 0; layer < shape->layers; layer++) {
        for (int i = 0; i < 3; i++)
            matrix(&example, all_heads, shape->width);
        matrix(&example, shape->width, all_heads);
        for (int i = 0; i < 1 + shape->gated; i++)
            matrix(&example, shape->inner, shape->width);
        matrix(&example, shape->width, shape->inner);
    }
    if (shape->dense)
        matrix(&example, shape->dense, shape->width);
    example.starts = calloc((size_t)shape->texts + 1, 4), example.skip = calloc((size_t)shape->texts, 4);
    for (int text = 0; text < shape->texts; text++) {
        const int length = between(1, shape->longest);
        example.skip[text] = between(0, length - 1);
        example.starts[text + 1] = example.starts[text] + length;
    }
    example.tokens = example.starts[shape->texts];
    example.ids = malloc((size_t)shape->vocabulary * 4), example.where = malloc((size_t)example.tokens * 4);
    for (int i = 0; i < example.tokens; i++) {
        const int id = between(0, shape->vocabulary - 1);
        int index = 0;
        while (index < example.distinct && example.ids[index] != id)
            index++;
        example.ids[index] = id, example.where[i] = index;
        example.distinct += index == example.distinct;
    }
    example.bias = floats((size_t)shape->heads * (2 * shape->longest - 1), 1, 0);
    return example;
}

static void free_example(struct example *example)
{
    for (int i = 0; i < example->matrix_count; i++)
        free(example->matrices[i]);
    free(example->table), free(example->norms), free(example->ids), free(example->where), free(example->starts);
    free(example->skip), free(example->bias);
}

struct packed {
    struct model model;
    struct layer layers[3];
    struct weight head;
    char *memory[64];
    int memories;
};

static struct weight pack(struct packed *packed, int kind, float **matrices, int count, int rows, int inputs, int gated)
{
    struct source sources[3];
    struct weight weight;
    for (int i = 0; i < count; i++)
        sources[i] = (struct source){matrices[i], NULL, FLOAT32, rows};
    char *memory = malloc(engine_weight_bytes(packed->model.kernels, kind, sources, count, inputs, gated));
    packed->memory[packed->memories++] = memory;
    if (engine_pack(packed->model.kernels, kind, sources, count, inputs, gated, memory, &weight))
        abort();
    return weight;
}

static void pack_model(struct packed *packed, const struct example *example, int kernels, int kind)
{
    const struct shape *shape = &example->shape;
    const int all_heads = shape->heads * shape->head, bf16 = kernels_of(kernels)->kinds >> BFLOAT16 & 1;
    float **from = (float **)(uintptr_t)example->matrices;
    *packed = (struct packed){.model = {.kernels = kernels, .kind = kind,
        .attention = kind != FLOAT32 && bf16 ? BFLOAT16 : FLOAT32, .width = shape->width, .heads = shape->heads,
        .head = shape->head, .inner = shape->inner, .layers = shape->layers, .activation = shape->activation,
        .gated = shape->gated, .dense = shape->dense > 0, .epsilon = 1e-6f, .table_format = FLOAT32,
        .table = example->table}};
    for (int i = 0; i < shape->layers; i++) {
        struct layer *layer = packed->layers + i;
        layer->attention_norm = example->norms + (size_t)2 * i * shape->width;
        layer->feed_forward_norm = layer->attention_norm + shape->width;
        layer->qkv = pack(packed, kind, from, 3, all_heads, shape->width, 0), from += 3;
        layer->o = pack(packed, kind, from, 1, shape->width, all_heads, 0), from += 1;
        layer->up = pack(packed, kind, from, 1 + shape->gated, shape->inner, shape->width, shape->gated);
        from += 1 + shape->gated;
        layer->down = pack(packed, kind, from, 1, shape->width, shape->inner, 0), from += 1;
    }
    packed->model.layer = packed->layers;
    packed->model.final_norm = example->norms + (size_t)2 * shape->layers * shape->width;
    if (shape->dense)
        packed->head = pack(packed, FLOAT32, from, 1, shape->dense, shape->width, 0);
    packed->model.head_weights = &packed->head;
}

static void free_packed(struct packed *packed)
{
    while (packed->memories)
        free(packed->memory[--packed->memories]);
}

/* No thread is inside malloc or free when another forks: the locks of AddressSanitizer's allocator would stay taken in
   the child. */
#ifdef _WIN32
static void allocate(int begin) { (void)begin; }
#else
static pthread_mutex_t allocating = PTHREAD_MUTEX_INITIALIZER;
static void allocate(int begin) { begin ? pthread_mutex_lock(&allocating) : pthread_mutex_unlock(&allocating); }
#endif

/* Vectors of the example; scratch memory starts as NaN. */
static float *run(const struct packed *packed, const struct example *example, int threads)
{
    const struct shape *shape = &example->shape;
    const int outputs = shape->dense ? shape->dense : shape->width;
    allocate(1);
    float *vectors = malloc((size_t)shape->texts * outputs * sizeof(float));
    const struct batch batch = {example->ids, example->where, example->starts, example->skip, example->bias,
                                shape->texts, example->distinct, shape->longest, vectors};
    const size_t bytes = engine_forward_bytes(&packed->model, &batch, threads);
    char *scratch = malloc(bytes);
    allocate(0);
    memset(scratch, 255, bytes);
    engine_forward(&packed->model, &batch, threads, scratch);
    allocate(1);
    free(scratch);
    allocate(0);
    return vectors;
}

/* The largest difference beside the largest value, over all vectors. */
static double difference(const float *x, const float *y, const struct example *example)
{
    const int count = example->shape.texts * (example->shape.dense ? example->shape.dense : example->shape.width);
    double most = 0, size = 0;
    for (int i = 0; i < count; i++) {
        const double apart = fabs((double)x[i] - (double)y[i]);
        most = apart > most || apart != apart ? apart : most;
        size = fabs((double)y[i]) > size ? fabs((double)y[i]) : size;
    }
    return most / (size > 1e-6 ? size : 1e-6);
}

static const char *const kind_names[] = {"float32", "bfloat16", "int8"};

static void *values(FILE *file, size_t count)
{
    void *read = malloc(count * 4);
    if (!read || fread(read, 4, count, file) != count)
        abort();
    return read;
}

/* What the test writes: the integers of `struct shape`, tokens and distinct tokens, then the arrays of the example. */
static struct example read_example(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct example example = {.shape = {0}};
    struct shape *shape = &example.shape;
    if (!file || fread(shape, sizeof *shape, 1, file) != 1 || fread(&example.tokens, 4, 1, file) != 1 ||
        fread(&example.distinct, 4, 1, file) != 1)
        abort();
    const size_t width = (size_t)shape->width, all_heads = (size_t)shape->heads * shape->head, inner = (size_t)shape->inner;
    example.table = values(file, shape->vocabulary * width);
    example.norms = values(file, (2 * (size_t)shape->layers + 1) * width);
    for (int layer = 0; layer < shape->layers; layer++) {
        for (int i = 0; i < 4; i++)
            example.matrices[example.matrix_count++] = values(file, all_heads * width);
        for (int i = 0; i < 2 + shape->gated; i++)
            example.matrices[example.matrix_count++] = values(file, inner * width);
    }
    if (shape->dense)
        example.matrices[example.matrix_count++] = values(file, shape->dense * width);
    example.ids = values(file, example.distinct), example.where = values(file, example.tokens);
    example.starts = values(file, (size_t)shape->texts + 1), example.skip = values(file, shape->texts);
    example.bias = values(file, (size_t)shape->heads * (2 * shape->longest - 1));
    fclose(file);
    return example;
}

/* Writes FOLDER/KERNELS-KIND, float32 (texts, outputs), not normalized, for all kernels and kinds that run here. */
static int encode(const char *path, const char *folder)
{
    struct example example = read_example(path);
    const size_t outputs = (size_t)(example.shape.dense ? example.shape.dense : example.shape.width);
    for (int kernels = 0; kernels_of(kernels); kernels++)
        for (int kind = 0; kind < KINDS; kind++) {
            char name[4096];
            struct packed packed;
            if (!(engine_kernels_kinds(kernels) >> kind & 1))
                continue;
            pack_model(&packed, &example, kernels, kind);
            float *vectors = run(&packed, &example, 1 + kind);
            snprintf(name, sizeof name, "%s/%s-%s", folder, kernels_of(kernels)->name, kind_names[kind]);
            FILE *file = fopen(name, "wb");
            if (!file || fwrite(vectors, outputs * 4, (size_t)example.shape.texts, file) != (size_t)example.shape.texts)
                abort();
            fclose(file), free(vectors), free_packed(&packed);
        }
    free_example(&example);
    return 0;
}

/* INT8 codes may round to their neighbors where sums were added in another order; bfloat16 has 8 bits, and is what
   attention computes in for the narrower kinds where the kernels have it. */
static const double allowed[] = {[FLOAT32] = 2e-5, [BFLOAT16] = 0.1, [INT8] = 0.02};

static int compare(int models)
{
    int plain = 0, wrong = 0;
    while (strcmp(engine_kernels_name(plain), "plain"))
        plain++;
    for (int kernels = 0; kernels_of(kernels); kernels++)
        for (int kind = 0; kind < KINDS; kind++) {
            double most = 0, total = 0;
            if (!(engine_kernels_kinds(kernels) >> kind & 1))
                continue;
            for (int seed = 1; seed <= models; seed++) {
                struct example example = example_of((uint32_t)seed);
                struct packed packed, reference;
                pack_model(&packed, &example, kernels, kind);
                pack_model(&reference, &example, plain, kind == BFLOAT16 ? FLOAT32 : kind);
                float *vectors = run(&packed, &example, 1 + seed % 4), *expected = run(&reference, &example, 1);
                const double apart = difference(vectors, expected, &example);
                most = apart > most || apart != apart ? apart : most;
                total += apart;
                free(vectors), free(expected), free_packed(&packed), free_packed(&reference), free_example(&example);
            }
            printf("%s %s: %d models, largest difference %.2g, mean %.2g\n", kernels_of(kernels)->name,
                   kind_names[kind], models, most, total / models);
            const int rounded = kind != FLOAT32 && kernels_of(kernels)->kinds >> BFLOAT16 & 1 ? BFLOAT16 : kind;
            wrong += !(most <= allowed[rounded]) || !(total / models <= allowed[rounded] / 4);
        }
    return wrong;
}

#ifdef _WIN32
static int concurrent(int with_forks)
{
    (void)with_forks;
    return 0;
}
#else
struct caller {
    const struct packed *packed;
    const struct example *example;
    const float *expected;
    int threads, wrong;
};
static int started, forked; /* callers that began; whether all forks were made, before which none ends */

static void *call(void *argument)
{
    struct caller *caller = argument;
    __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 10 || !__atomic_load_n(&forked, __ATOMIC_SEQ_CST); i++) {
        float *vectors = run(caller->packed, caller->example, caller->threads);
        caller->wrong += !(difference(vectors, caller->expected, caller->example) <= 2e-5);
        allocate(1);
        free(vectors);
        allocate(0);
    }
    return NULL;
}

/* Callers at once, with a fork among them; then a child that exits while the engine works. */
static int concurrent(int with_forks)
{
    enum { CALLERS = 6 };
    int wrong = 0;
    struct example example = example_of(7);
    struct packed packed;
    int kernels = 0;
    while (!engine_kernels_kinds(kernels))
        kernels++;
    pack_model(&packed, &example, kernels, FLOAT32);
    float *expected = run(&packed, &example, 1);
    for (int threads = 1; threads <= 8; threads++) {
        struct caller callers[CALLERS];
        pthread_t ids[CALLERS];
        started = forked = 0;
        free(run(&packed, &example, threads)); /* the pool's threads exist before the forks */
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){&packed, &example, expected, threads, 0};
            pthread_create(ids + i, NULL, call, callers + i);
        }
        while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < CALLERS)
            usleep(1000);
        for (int fork_number = 0; with_forks && fork_number < 2; fork_number++) {
            allocate(1);
            const pid_t child = fork();
            allocate(0);
            if (!child) {
                float *vectors = run(&packed, &example, threads);
                _exit(difference(vectors, expected, &example) <= 2e-5 ? 0 : 1);
            }
            int status = 1;
            waitpid(child, &status, 0);
            wrong += status != 0;
        }
        __atomic_store_n(&forked, 1, __ATOMIC_SEQ_CST);
        for (int i = 0; i < CALLERS; i++)
            pthread_join(ids[i], NULL), wrong += callers[i].wrong;
    }
    free(expected), free_packed(&packed), free_example(&example);
    printf("concurrent callers on 1 to 8 threads: %d wrong\n", wrong);
    return wrong;
}
#endif

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "compare";
    const int models = count > 2 ? atoi(arguments[2]) : 30;
    if (!strcmp(what, "encode"))
        return count == 4 ? encode(arguments[2], arguments[3]) : 2;
    const int wrong = !strcmp(what, "compare") ? compare(models) : concurrent(strcmp(what, "threads") == 0);
    return wrong ? 1 : 0;
}
