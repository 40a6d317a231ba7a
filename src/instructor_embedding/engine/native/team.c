/* A team of threads. They wait in a loop for a while and then asleep, so that an idle team costs nothing; and work is
   done when all of it is done, whoever did it, so that a thread whose core is taken holds nobody up. */
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "engine.h"

enum { MOST = 256, SPINS = 4000, PARTS = 4 };

struct team {
    pthread_mutex_t lock;
    pthread_cond_t start, done; /* of a job; of a phase, or of the job */
    atomic_uint number;         /* of jobs so far */
    atomic_int sleepers, inside;
    int workers, size, open;
    job *what;
    void *argument;
};

#define FRESH {.lock = PTHREAD_MUTEX_INITIALIZER, .start = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER}
static struct team all = FRESH;
static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

/* Waits until a counter has a value; whoever brings it there calls `wake`. */
static void wait_for(atomic_int *counter, int value)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(counter, memory_order_acquire) == value)
            return;
        _mm_pause();
    }
    pthread_mutex_lock(&all.lock);
    atomic_fetch_add(&all.sleepers, 1);
    while (atomic_load(counter) != value)
        pthread_cond_wait(&all.done, &all.lock);
    atomic_fetch_sub(&all.sleepers, 1);
    pthread_mutex_unlock(&all.lock);
}

static void wake(void)
{
    if (!atomic_load(&all.sleepers))
        return;
    pthread_mutex_lock(&all.lock);
    pthread_cond_broadcast(&all.done);
    pthread_mutex_unlock(&all.lock);
}

int crew_share(struct crew *crew, int count, int parts, int *from, int *to)
{
    if (crew->size == 1) {
        *from = 0, *to = count;
        crew->held = crew->held ? 0 : count;
        return crew->held;
    }
    struct phase *phase = crew->phase;
    if (crew->held && atomic_fetch_add(&phase->done, crew->held) + crew->held == count)
        wake();
    parts = parts ? parts : PARTS * crew->size;
    parts = parts < count ? parts : count;
    const int part = atomic_fetch_add(&phase->next, 1);
    if (part < parts) {
        *from = (int)((int64_t)part * count / parts);
        *to = (int)((int64_t)(part + 1) * count / parts);
        crew->held = *to - *from;
        return 1;
    }
    wait_for(&phase->done, count);
    crew->held = 0;
    crew->phase++;
    return 0;
}

static void *work(void *place)
{
    const int rank = (int)(intptr_t)place;
    for (unsigned seen = 0;;) {
        for (int spin = 0; spin < SPINS && atomic_load(&all.number) == seen; spin++)
            _mm_pause();
        pthread_mutex_lock(&all.lock);
        while (atomic_load(&all.number) == seen)
            pthread_cond_wait(&all.start, &all.lock);
        seen = atomic_load(&all.number);
        const int size = all.size, enter = all.open && rank < size;
        job *what = all.what;
        void *argument = all.argument;
        if (enter)
            atomic_fetch_add(&all.inside, 1);
        pthread_mutex_unlock(&all.lock);
        if (!enter)
            continue; /* too late, or not needed */
        what(argument, rank, size);
        if (atomic_fetch_sub(&all.inside, 1) == 1)
            wake();
    }
    return NULL;
}

static void forget(void)
{
    const struct team fresh = FRESH;
    const pthread_mutex_t untaken = PTHREAD_MUTEX_INITIALIZER;
    all = fresh;
    taken = untaken;
}

static void prepare(void)
{
    pthread_atfork(NULL, NULL, forget); /* threads do not live on in a forked process */
}

/* Signals stay with the threads of the program. */
static void grow(int workers)
{
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    while (all.workers < workers) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(all.workers + 1)))
            break;
        pthread_detach(thread);
        all.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A second caller at the same time works alone. */
void team_run(int threads, job *what, void *argument)
{
    pthread_once(&prepared, prepare);
    threads = threads > MOST ? MOST : threads;
    if (threads < 2 || pthread_mutex_trylock(&taken)) {
        what(argument, 0, 1);
        return;
    }
    grow(threads - 1);
    pthread_mutex_lock(&all.lock);
    all.size = threads, all.open = 1, all.what = what, all.argument = argument;
    atomic_fetch_add(&all.number, 1);
    pthread_cond_broadcast(&all.start);
    pthread_mutex_unlock(&all.lock);
    what(argument, 0, threads);
    pthread_mutex_lock(&all.lock);
    all.open = 0;
    pthread_mutex_unlock(&all.lock);
    wait_for(&all.inside, 0);
    pthread_mutex_unlock(&taken);
}
