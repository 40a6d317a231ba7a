/* The rate of fused multiply-adds of one core, all operands in registers: compile with -O2 -mavx2 -mfma. */
#include <immintrin.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define SUM(i) __m256 sum##i = _mm256_setzero_ps();
#define STEP(i) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(sum##i) : "x"(x), "x"(y));

/* Operations per nanosecond, two per element and FMA. */
double fma_rate(int steps)
{
    const __m256 x = _mm256_set1_ps(1.0001f), y = _mm256_set1_ps(0.5f);
    EACH(SUM)
    const double start = now();
    for (int step = 0; step < steps; step++) {
        EACH(STEP)
    }
    return (double)steps * 12 * 16 / (now() - start) / 1e9;
}
