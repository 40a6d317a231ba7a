/* The kernels' matmuls on the base model's shapes beside the core's peak of fused multiply-adds; see kernels.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fma_peak.c"
#include "kernels.h"

static int by_value(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static struct weight packed(int number, enum format kind, int outputs, int inputs)
{
    float *values = malloc(sizeof(float) * (size_t)outputs * inputs);
    for (size_t i = 0; i < (size_t)outputs * inputs; i++)
        values[i] = (float)(i * 2654435761u % 1000) / 1000 - 0.5f;
    const struct source source = {values, NULL, FLOAT32, outputs};
    struct weight weight;
    char *memory = malloc(engine_weight_bytes(number, kind, &source, 1, inputs, 0));
    engine_pack(number, kind, &source, 1, inputs, 0, memory, &weight);
    free(values);
    return weight;
}

/* A window is a few panels, about a millisecond: short enough that the peak measured around it holds in it. */
static void measure(int number, enum format kind, int outputs, int inputs, int count, enum finish finish)
{
    const struct kernels *kernels = kernels_of(number);
    const struct weight weight = packed(number, kind, outputs, inputs);
    const size_t stride = row_stride(kernels, kind, inputs);
    const struct rows rows = {calloc((size_t)count, stride), stride, kind == INT8 ? calloc((size_t)count, 4) : NULL, 1};
    const struct target target = {finish, calloc((size_t)count * (outputs + 64), 4), (size_t)outputs + 16, RELU};
    const int panels = (outputs + columns_of(kernels) - 1) / columns_of(kernels);
    double window = 2. * count * inputs * columns_of(kernels) / 5e7, best = 0;
    const int step = window > 1 ? 1 : (int)(1 / window);
    static double shares[20000];
    int clean = 0;
    for (int i = 0; i < 300; i++) {
        const double rate = fma_rate(10000);
        best = rate > best ? rate : best;
    }
    for (int round = 0, panel = 0; round < 1500; round++) {
        const int last = panel + step < panels ? panel + step : panels;
        const double before = fma_rate(5000), start = now();
        kernels->gemm(kind, &rows, count, &weight, panel, last, &target);
        const double seconds = now() - start, after = fma_rate(5000);
        if (before > 0.96 * best && after > 0.96 * best)
            shares[clean++] =
                4. * count * inputs * (last - panel) * columns_of(kernels) / seconds / 1e9 / (before + after);
        panel = last < panels ? last : 0;
    }
    qsort(shares, (size_t)clean, sizeof *shares, by_value);
    printf("%-12s %-8s %4d rows %4d x %4d: %4d windows of 1500, peak %5.1f, median %.3f, best tenth %.3f\n",
           kernels->name, kind == INT8 ? "int8" : "float32", count, outputs, inputs, clean, best,
           clean ? shares[clean / 2] : 0, clean ? shares[clean - 1 - clean / 10] : 0);
    fflush(stdout);
}

/* `gemm [KERNELS [ROWS]]` */
int main(int arguments, char **argument)
{
    const int count = arguments > 2 ? atoi(argument[2]) : 96;
    for (int number = 0; kernels_of(number); number++) {
        if (!engine_kernels_kinds(number) || (arguments > 1 && strcmp(argument[1], kernels_of(number)->name)))
            continue;
        for (int kind = FLOAT32; kind <= INT8; kind += 2)
            if (engine_kernels_kinds(number) >> kind & 1) {
                measure(number, (enum format)kind, 2304, 768, count, TO_FLOAT);
                measure(number, (enum format)kind, 768, 768, count, ADD);
                measure(number, (enum format)kind, 3072, 768, count, ACTIVE_FLOAT);
                measure(number, (enum format)kind, 768, 3072, count, ADD);
            }
    }
}
