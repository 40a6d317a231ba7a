/* The CPU features that kernels need. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

/* Bits of XCR0: the register states that the operating system saves. */
static uint32_t saved_states(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

int32_t cpu_features(void)
{
    enum { OSXSAVE = 1 << 27, FMA = 1 << 12, F16C = 1 << 29, AVX2 = 1 << 5, YMM = 0x6, ZMM = 0xe6 };
    const uint32_t avx512 = 1u << 16 | 1u << 30 | 1u << 17 | 1u << 31; /* F, BW, DQ, VL */
    uint32_t a, b, c, d, leaf1[4], leaf7[4] = {0}, leaf7_1[4] = {0};
    if (!__get_cpuid(1, &leaf1[0], &leaf1[1], &leaf1[2], &leaf1[3]) || !(leaf1[2] & OSXSAVE))
        return 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        leaf7[0] = a, leaf7[1] = b, leaf7[2] = c;
    if (leaf7[0] >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
        leaf7_1[0] = a;
    const uint32_t states = saved_states();
    if (!(leaf1[2] & FMA) || !(leaf1[2] & F16C) || !(leaf7[1] & AVX2) || (states & YMM) != YMM)
        return 0;
    int32_t features = CPU_AVX2 | (leaf7_1[0] & 1 << 4 ? CPU_AVX_VNNI : 0);
    if ((leaf7[1] & avx512) == avx512 && (states & ZMM) == ZMM)
        features |= CPU_AVX512 | (leaf7[2] & 1 << 11 ? CPU_AVX512_VNNI : 0) |
                    (leaf7_1[0] & 1 << 5 ? CPU_AVX512_BF16 : 0);
    return features;
}

#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

int32_t cpu_features(void)
{
    enum { ASIMDDP = 1 << 20, BF16 = 1 << 14 }; /* of AT_HWCAP and AT_HWCAP2 */
    return (getauxval(AT_HWCAP) & ASIMDDP ? CPU_DOTPROD : 0) | (getauxval(AT_HWCAP2) & BF16 ? CPU_BF16 : 0);
}

#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

static int has(const char *name)
{
    int value = 0;
    size_t size = sizeof value;
    return !sysctlbyname(name, &value, &size, NULL, 0) && value;
}

int32_t cpu_features(void)
{
    return (has("hw.optional.arm.FEAT_DotProd") ? CPU_DOTPROD : 0) | (has("hw.optional.arm.FEAT_BF16") ? CPU_BF16 : 0);
}

#else
int32_t cpu_features(void)
{
    return 0;
}
#endif
