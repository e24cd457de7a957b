// One pool of threads for the whole process, however many JavaScript threads have loaded the addon.
//
// Callers take turns. Which thread runs which task is not fixed, so whatever is computed must depend on the task's
// number only: kernels cut their work by shape, and sum partial results in the order of the tasks.
#pragma once

#include <cstdint>

namespace ctflow {

// The number of threads that work, the caller's included. Regions that the caller starts use no more until it asks again,
// whatever others set: its memory for each worker stays large enough.
int thread_count();

// From the next parallel region on; clamped to 1..256.
void set_thread_count(int count);

// While it is on, regions that this thread starts end at once: their tasks do not run, and what they would have computed is
// not there. Kernels still ask for their memory, which is how it is found out. Off in the beginning.
void set_rehearsing(bool on);
bool rehearsing();

// Calls task(context, i, worker) once for each i in [0, count), worker in [0, what thread_count() last said); returns when all are
// done. Tasks must not throw: whatever can fail (memory) is done before.
void run_tasks(int64_t count, void (*task)(void* context, int64_t i, int worker), void* context);

template <class Task>
static inline void parallel(int64_t count, Task&& task) {
  auto call = [](void* context, int64_t i, int worker) { (*static_cast<Task*>(context))(i, worker); };
  run_tasks(count, call, const_cast<void*>(static_cast<const void*>(&task)));
}

}  // namespace ctflow
