/* A small pool of threads that sleep between jobs. */
#ifndef GATE2HW_POOL_H
#define GATE2HW_POOL_H

#include <stdint.h>

/* One item of a job; items are independent, so that any thread may run any of them. `slot` is the
 * number of the thread in this job, 0..n_threads. */
typedef void (*gate2hw_item)(const void *job, int64_t item, int slot);

/* Run items 0..n_items on at most n_threads threads, the caller's among them. Where the pool
 * serves another caller, or threads cannot be had, the caller runs them all. */
void gate2hw_run(gate2hw_item run, const void *job, int64_t n_items, int n_threads);

#endif
