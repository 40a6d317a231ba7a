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

/* Returns ENGINE_ABI; `layout` receives up to `count` integers: the size of each structure that callers fill, then the
   offset of each of its fields. Sizes alone would miss a field that fills padding. */
int32_t engine_abi(int32_t *layout, int32_t count)
{
#define SIZE(structure) (int32_t)sizeof(struct structure)
#define AT(structure, field) (int32_t)offsetof(struct structure, field)
    const int32_t own[] = {
        SIZE(source), AT(source, values), AT(source, scale), AT(source, format), AT(source, rows),
        SIZE(weight), AT(weight, panels), AT(weight, scale), AT(weight, shift), AT(weight, inputs), AT(weight, outputs),
        SIZE(layer), AT(layer, attention_norm), AT(layer, feed_forward_norm), AT(layer, qkv), AT(layer, o),
        AT(layer, up), AT(layer, down),
        SIZE(model), AT(model, kernels), AT(model, kind), AT(model, attention), AT(model, width), AT(model, heads),
        AT(model, head), AT(model, inner), AT(model, layers), AT(model, activation), AT(model, gated), AT(model, dense),
        AT(model, epsilon), AT(model, table_format), AT(model, table), AT(model, table_scale), AT(model, table_columns),
        AT(model, layer), AT(model, final_norm), AT(model, head_weights),
        SIZE(batch), AT(batch, ids), AT(batch, where), AT(batch, starts), AT(batch, skip), AT(batch, bias),
        AT(batch, texts), AT(batch, distinct), AT(batch, span), AT(batch, vectors),
    };
    for (int i = 0; i < count && i < (int)(sizeof own / sizeof *own); i++)
        layout[i] = own[i];
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
