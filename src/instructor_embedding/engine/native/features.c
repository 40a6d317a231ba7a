/* What the CPU can do that the other files need. */
#include "engine.h"

/* 1 avx512 (f, bw, dq, vl) and fma, 2 avx512_vnni, 4 avx512_bf16. */
int32_t features(void)
{
    __builtin_cpu_init();
    int found = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    return (found ? 1 : 0) | (__builtin_cpu_supports("avx512vnni") ? 2 : 0) |
           (__builtin_cpu_supports("avx512bf16") ? 4 : 0);
}
