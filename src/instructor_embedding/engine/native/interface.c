/* What the loader asks first: the version and sizes of the interface, and the kernels that this CPU can run. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
extern const struct kernels kernels_avx512_bf16, kernels_avx512_vnni, kernels_avx512, kernels_avx2_vnni, kernels_avx2;
#elif defined(__aarch64__)
extern const struct kernels kernels_neon_bf16, kernels_neon_dotprod, kernels_neon;
#endif
extern const struct kernels kernels_plain;

static const struct kernels *const all[] = {
#if defined(__x86_64__) || defined(_M_X64)
    &kernels_avx512_bf16, &kernels_avx512_vnni, &kernels_avx512, &kernels_avx2_vnni, &kernels_avx2,
#elif defined(__aarch64__)
    &kernels_neon_bf16, &kernels_neon_dotprod, &kernels_neon,
#endif
    &kernels_plain,
};

const struct kernels *kernels_of(int32_t number)
{
    return number >= 0 && number < (int32_t)(sizeof all / sizeof *all) ? all[number] : NULL;
}

/* Returns ENGINE_ABI; `sizes` receives the sizes of the first `count` structures that the caller fills. */
int32_t engine_abi(int32_t *sizes, int32_t count)
{
    const int32_t own[] = {sizeof(struct source), sizeof(struct weight), sizeof(struct layer), sizeof(struct model),
                           sizeof(struct batch)};
    for (int i = 0; i < count && i < (int)(sizeof own / sizeof *own); i++)
        sizes[i] = own[i];
    return ENGINE_ABI;
}

/* NULL where there are no more kernels. */
const char *engine_kernels_name(int32_t kernels)
{
    return kernels_of(kernels) ? kernels_of(kernels)->name : NULL;
}

/* Bit 1 << kind for each kind that these kernels compute in; 0 where this CPU cannot run them. */
int32_t engine_kernels_kinds(int32_t kernels)
{
    const struct kernels *table = kernels_of(kernels);
    return table && (cpu_features() & table->needs) == table->needs ? table->kinds : 0;
}

/* Rows of a tile, or its columns. */
int32_t engine_tile(int32_t kernels, int32_t columns)
{
    const struct kernels *table = kernels_of(kernels);
    return !table ? 0 : columns ? columns_of(table) : table->tile_rows;
}
