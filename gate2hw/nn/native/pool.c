#include "pool.h"

#include <pthread.h>
#include <stddef.h>

#define MAX_WORKERS 63

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* held by the caller that uses the pool */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  /* guards what follows */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static int n_workers, n_wanted, n_active;
static gate2hw_item current; /* NULL between jobs */
static const void *current_job;
static int64_t current_items;
static int64_t next_item; /* atomic */

static void work(gate2hw_item run, const void *job, int64_t n_items, int slot)
{
    for (;;) {
        int64_t item = __atomic_fetch_add(&next_item, 1, __ATOMIC_RELAXED);
        if (item >= n_items)
            return;
        run(job, item, slot);
    }
}

static void *worker(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!current || n_wanted == 0)
            pthread_cond_wait(&wake, &lock);
        gate2hw_item run = current;
        const void *job = current_job;
        int64_t n_items = current_items;
        int slot = n_wanted--;
        n_active++;
        pthread_mutex_unlock(&lock);
        work(run, job, n_items, slot);
        pthread_mutex_lock(&lock);
        if (--n_active == 0)
            pthread_cond_signal(&idle);
    }
    return NULL;
}

/* A child has none of its parent's threads, and may have been forked in the middle of a job. */
static void forget(void)
{
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wake, NULL);
    pthread_cond_init(&idle, NULL);
    n_workers = n_wanted = n_active = 0;
    current = NULL;
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget);
}

static void grow(int n)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (n_workers < n) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker, NULL))
            break;
        n_workers++;
    }
    pthread_attr_destroy(&attributes);
}

void gate2hw_run(gate2hw_item run, const void *job, int64_t n_items, int n_threads)
{
    if (n_threads > n_items)
        n_threads = (int)n_items;
    if (n_threads > MAX_WORKERS + 1)
        n_threads = MAX_WORKERS + 1;
    if (n_threads <= 1 || pthread_mutex_trylock(&owner)) {
        for (int64_t item = 0; item < n_items; item++)
            run(job, item, 0);
        return;
    }
    pthread_mutex_lock(&lock);
    grow(n_threads - 1);
    current = run;
    current_job = job;
    current_items = n_items;
    n_wanted = n_threads - 1;
    __atomic_store_n(&next_item, 0, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);

    work(run, job, n_items, 0);

    pthread_mutex_lock(&lock);
    current = NULL; /* a worker that wakes only now sleeps on */
    while (n_active)
        pthread_cond_wait(&idle, &lock);
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&owner);
}
