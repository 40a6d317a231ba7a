/* What the loader asks before it calls anything else: the interface's version and sizes, and what the CPU has. */
#include "engine.h"

/* Returns ENGINE_ABI; `sizes` receives the sizes of the first `count` structures that the caller fills. */
int32_t engine_abi(int32_t *sizes, int32_t count)
{
    const int32_t own[] = {sizeof(struct weight), sizeof(struct layer), sizeof(struct model), sizeof(struct batch)};
    for (int i = 0; i < count && i < (int)(sizeof own / sizeof *own); i++)
        sizes[i] = own[i];
    return ENGINE_ABI;
}

/* 1 avx512 (f, bw, dq, vl) and fma, 2 avx512_vnni, 4 avx512_bf16. */
int32_t features(void)
{
    __builtin_cpu_init();
    int found = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    return (found ? 1 : 0) | (__builtin_cpu_supports("avx512vnni") ? 2 : 0) |
           (__builtin_cpu_supports("avx512bf16") ? 4 : 0);
}
