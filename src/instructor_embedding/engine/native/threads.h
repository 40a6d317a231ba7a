/* Threads, locks and conditions of POSIX or Windows. */
#ifndef THREADS_H
#define THREADS_H

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK lock;
typedef CONDITION_VARIABLE condition;
#define LOCK_FREE SRWLOCK_INIT
#define CONDITION_FREE CONDITION_VARIABLE_INIT

static inline void lock_take(lock *lock) { AcquireSRWLockExclusive(lock); }
static inline int lock_try(lock *lock) { return TryAcquireSRWLockExclusive(lock) != 0; }
static inline void lock_release(lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline void condition_wait(condition *condition, lock *lock)
{
    SleepConditionVariableSRW(condition, lock, INFINITE, 0);
}
static inline void condition_signal_all(condition *condition) { WakeAllConditionVariable(condition); }

typedef DWORD thread_result;
#define THREAD_CALL WINAPI
static inline int thread_start(thread_result(THREAD_CALL *run)(void *), void *argument)
{
    HANDLE thread = CreateThread(NULL, 0, run, argument, 0, NULL);
    return thread ? CloseHandle(thread) : 0;
}
/* Windows has no fork. */
static inline void after_fork_in_child(void (*forget)(void)) { (void)forget; }

#else
#include <pthread.h>
#include <signal.h>

typedef pthread_mutex_t lock;
typedef pthread_cond_t condition;
#define LOCK_FREE PTHREAD_MUTEX_INITIALIZER
#define CONDITION_FREE PTHREAD_COND_INITIALIZER

static inline void lock_take(lock *lock) { pthread_mutex_lock(lock); }
static inline int lock_try(lock *lock) { return !pthread_mutex_trylock(lock); }
static inline void lock_release(lock *lock) { pthread_mutex_unlock(lock); }
static inline void condition_wait(condition *condition, lock *lock) { pthread_cond_wait(condition, lock); }
static inline void condition_signal_all(condition *condition) { pthread_cond_broadcast(condition); }

typedef void *thread_result;
#define THREAD_CALL
/* Returns whether a thread was started. It blocks all signals: they stay with the threads of the program. */
static inline int thread_start(thread_result (*run)(void *), void *argument)
{
    pthread_t thread;
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    const int failed = pthread_create(&thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed && !pthread_detach(thread);
}
static inline void after_fork_in_child(void (*forget)(void)) { pthread_atfork(NULL, NULL, forget); }
#endif

/* Lets the other thread of a core run while this one waits in a loop. */
static inline void pause_spinning(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
