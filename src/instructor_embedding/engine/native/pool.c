/* The pool. Threads spin for a short time before they sleep, so an idle pool costs nothing. There are no barriers: a
   step ends when all its items are complete, so a thread whose core is taken by another process does not stall the
   others. */
#include "pool.h"

#include <stdint.h>

#include "threads.h"

enum { MOST_THREADS = 256, SPINS = 4000, SHARES_PER_THREAD = 4 };

static struct {
    lock lock;
    condition start, done;      /* of a task; of a step, or of the task */
    atomic_uint number;         /* tasks so far */
    atomic_int sleepers, inside; /* callers of wait_for that sleep; workers in the current task */
    int workers, size, open;    /* `open`: workers may still enter the task */
    task *run;
    void *argument;
} pool = {.lock = LOCK_FREE, .start = CONDITION_FREE, .done = CONDITION_FREE};
static lock in_use = LOCK_FREE;
static atomic_int prepared;

/* Waits until a counter has a value; the thread that sets it calls `wake`. */
static void wait_for(atomic_int *counter, int value)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(counter, memory_order_acquire) == value)
            return;
        pause_spinning();
    }
    lock_take(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (atomic_load(counter) != value)
        condition_wait(&pool.done, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    lock_release(&pool.lock);
}

/* No wakeup is lost: a waiter counts itself as a sleeper before it reads the counter for the last time, and the counter
   was written before the sleepers are read here; the lock orders the rest. */
static void wake(void)
{
    if (!atomic_load(&pool.sleepers))
        return;
    lock_take(&pool.lock);
    condition_signal_all(&pool.done);
    lock_release(&pool.lock);
}

int group_take(struct group *group, int count, int shares, int *from, int *to)
{
    if (group->size == 1) {
        *from = 0, *to = count;
        group->taken = group->taken ? 0 : count;
        return group->taken;
    }
    struct step *step = group->step;
    /* the share of the last call is complete; the thread that completes the last one wakes the others */
    if (group->taken && atomic_fetch_add(&step->done, group->taken) + group->taken == count)
        wake();
    shares = shares ? shares : SHARES_PER_THREAD * group->size;
    shares = shares < count ? shares : count;
    const int share = atomic_fetch_add(&step->next, 1);
    if (share < shares) {
        *from = (int)((int64_t)share * count / shares);
        *to = (int)((int64_t)(share + 1) * count / shares);
        group->taken = *to - *from;
        return 1;
    }
    wait_for(&step->done, count);
    group->taken = 0;
    group->step++;
    return 0;
}

static thread_result THREAD_CALL work(void *number)
{
    const int rank = (int)(intptr_t)number;
    for (unsigned seen = 0;;) {
        for (int spin = 0; spin < SPINS && atomic_load(&pool.number) == seen; spin++)
            pause_spinning();
        lock_take(&pool.lock);
        while (atomic_load(&pool.number) == seen)
            condition_wait(&pool.start, &pool.lock);
        seen = atomic_load(&pool.number);
        const int size = pool.size, enter = pool.open && rank < size;
        task *run = pool.run;
        void *argument = pool.argument;
        if (enter)
            atomic_fetch_add(&pool.inside, 1);
        lock_release(&pool.lock);
        if (!enter)
            continue; /* too late, or not needed */
        run(argument, rank, size);
        if (atomic_fetch_sub(&pool.inside, 1) == 1)
            wake();
    }
    return (thread_result)0;
}

/* A forked child has none of its parent's threads, and locks in the state of that moment: it starts with a new pool. */
static void forget(void)
{
    const lock lock_free = LOCK_FREE;
    const condition condition_free = CONDITION_FREE;
    pool.lock = lock_free, in_use = lock_free;
    pool.start = condition_free, pool.done = condition_free;
    atomic_store(&pool.number, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.inside, 0);
    pool.workers = 0, pool.size = 0, pool.open = 0;
}

/* A thread that cannot be started is left out: the others take its shares. The next task tries again. */
static void grow(int workers)
{
    while (pool.workers < workers && thread_start(work, (void *)(intptr_t)(pool.workers + 1)))
        pool.workers++;
}

/* A second caller at the same time works alone. */
void pool_run(int threads, task *run, void *argument)
{
    if (!atomic_exchange(&prepared, 1))
        after_fork_in_child(forget);
    threads = threads > MOST_THREADS ? MOST_THREADS : threads;
    if (threads < 2 || !lock_try(&in_use)) {
        run(argument, 0, 1);
        return;
    }
    grow(threads - 1);
    lock_take(&pool.lock);
    pool.size = threads, pool.open = 1, pool.run = run, pool.argument = argument;
    atomic_fetch_add(&pool.number, 1);
    condition_signal_all(&pool.start);
    lock_release(&pool.lock);
    run(argument, 0, threads);
    lock_take(&pool.lock);
    pool.open = 0;
    lock_release(&pool.lock);
    wait_for(&pool.inside, 0);
    lock_release(&in_use);
}
