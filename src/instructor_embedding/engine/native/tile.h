/* Micro-kernels: up to TILE_ROWS rows by a panel of two vectors of columns, all sums in registers.
   Included once per KIND; the lanes' file says what its SUM, COLUMNS and ROW are.

   tile(rows, row_stride, panel, steps, next, interval, add, sums, stride): from `next` on, a cache line is prefetched
   every `interval` steps; sums go to `sums`, `stride` elements per row (int32 in INT8), added to those there if `add`.
   Where AHEAD is set, all lines of the panel are prefetched so many bytes in advance instead. */
#define OF(name) NAMED(NAMED(KIND, _), name)

#define START(i, from) OF(SUM) left##i = OF(ZERO)(), right##i = OF(ZERO)();
#define STEP(i, from)                                                                                \
    if (i < count)                                                                                   \
        OF(ROW)(left##i, right##i, from);
#define STORE(i, from)                                                                               \
    if (i < count) {                                                                                 \
        OF(STORE)((int32_t *)sums + i * stride, left##i);                                            \
        OF(STORE)((int32_t *)sums + i * stride + LANES, right##i);                                   \
    }
#ifdef ADDS_SUMS
#define ADD_SUMS(i, from)                                                                            \
    if (i < count) {                                                                                 \
        left##i = OF(ADD)(left##i, (const int32_t *)sums + i * stride);                              \
        right##i = OF(ADD)(right##i, (const int32_t *)sums + i * stride + LANES);                    \
    }
#endif

static ALWAYS_INLINE void NAMED(multiply_, KIND)(const int count, const char *rows, size_t row_stride,
                                                 const char *panel, size_t steps, const char *next, size_t interval,
                                                 int add, void *sums, size_t stride)
{
    const char *p0 = rows, *p1 = rows + 4 * row_stride, *p2 = rows + 8 * row_stride;
    const size_t three = 3 * row_stride;
    EACH_ROW(START)
    for (size_t step = 0, until = 0; step < steps;) {
        until = AHEAD > 0 || steps - step < interval ? steps : step + interval;
        if (AHEAD == 0)
            PREFETCH(next);
        for (; step < until; step++) {
            const OF(SUM) left = OF(COLUMNS)(panel), right = OF(COLUMNS)(panel + OF(PANEL));
            EACH_ROW(STEP)
            if (AHEAD > 0) {
                PREFETCH(panel + AHEAD);
                PREFETCH(panel + AHEAD + 64);
            }
            p0 += 4, p1 += 4, p2 += 4, panel += 2 * OF(PANEL);
        }
        next += 64;
    }
#ifdef ADDS_SUMS
    if (add) {
        EACH_ROW(ADD_SUMS)
    }
#else
    (void)add;
#endif
    EACH_ROW(STORE)
    (void)p1, (void)p2, (void)three;
}

#define TILE(n)                                                                                      \
    static void NAMED(KIND, _##n)(const char *rows, size_t row_stride, const char *panel, size_t steps, \
                                  const char *next, size_t interval, int add, void *sums, size_t stride) \
    {                                                                                                \
        NAMED(multiply_, KIND)(n, rows, row_stride, panel, steps, next, interval, add, sums, stride); \
    }
EACH_TILE(TILE)
#define TILE_NAME(n) NAMED(KIND, _##n),
static tile *const NAMED(tiles_, KIND)[] = {EACH_TILE(TILE_NAME)};

#undef OF
#undef START
#undef STEP
#undef STORE
#undef ADD_SUMS
#undef TILE
#undef TILE_NAME
#undef KIND
