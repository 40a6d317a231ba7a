/* A pool of threads and the work queues that they share. */
#ifndef POOL_H
#define POOL_H

#include <stdatomic.h>

/* One step of a task: a queue of `count` items, from which the threads of a group take shares. */
struct step {
    _Alignas(64) atomic_int next;
    atomic_int done;
};

/* A thread's view of the group that it works in. A task is a row of steps; in each, every thread of the group loops

       while (group_take(&group, count, shares, &from, &to))

   and works on the items from `from` to `to`. The loop ends for all when the last item is complete, so the next step
   may read what this one wrote. `shares` is how many shares there are, 0 for a few per thread. A group of one thread
   has no steps and takes all items in one share. */
struct group {
    int size, taken;
    struct step *step;
};
int group_take(struct group *group, int count, int shares, int *from, int *to);

/* Calls `task` on up to `threads` threads, `rank` numbering them, and returns when all of them have left it. */
typedef void task(void *argument, int rank, int size);
void pool_run(int threads, task *run, void *argument);

#endif
