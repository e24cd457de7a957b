#include "thread-pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ctflow {
namespace {

constexpr int kMaxThreads = 256;
// A training step starts some hundred regions one after the other; waking a sleeping thread costs more than this.
constexpr auto kSpin = std::chrono::microseconds(40);

// What thread_count() last said to this thread.
thread_local int told = kMaxThreads;

thread_local bool rehearses = false;

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

class Pool {
 public:
  Pool() {
    const unsigned cores = std::thread::hardware_concurrency();
    wanted_ = cores == 0 ? 1 : (cores > kMaxThreads ? kMaxThreads : static_cast<int>(cores));
  }

  int size() const { return wanted_; }

  void resize(int count) {
    std::lock_guard<std::mutex> turn(turn_);
    wanted_ = count < 1 ? 1 : (count > kMaxThreads ? kMaxThreads : count);
  }

  void run(int64_t count, void (*task)(void*, int64_t, int), void* context) {
    if (count <= 0) return;
    std::lock_guard<std::mutex> turn(turn_);
    const int wanted = wanted_ < told ? static_cast<int>(wanted_) : told;
    const int helpers = (count < wanted ? static_cast<int>(count) : wanted) - 1;
    if (helpers <= 0) {
      for (int64_t i = 0; i < count; i++) task(context, i, 0);
      return;
    }
    start(helpers);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = task;
      context_ = context;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      helpers_ = helpers;
      open_ = true;
      round_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    work(0);
    // Nothing is left: whoever has not come yet need not, which matters where threads outnumber processors.
    {
      std::lock_guard<std::mutex> lock(mutex_);
      open_ = false;
    }
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (active_.load(std::memory_order_acquire) != 0 && std::chrono::steady_clock::now() < until) relax();
    if (active_.load(std::memory_order_acquire) == 0) return;
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return active_.load(std::memory_order_acquire) == 0; });
  }

 private:
  void work(int worker) {
    for (;;) {
      const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= count_) return;
      task_(context_, i, worker);
    }
  }

  // Fewer threads than asked for (a container's limit) only makes the work slower.
  void start(int helpers) {
    while (started_ < helpers) {
      try {
        const int worker = started_ + 1;
        const uint64_t seen = round_.load(std::memory_order_relaxed);
        std::thread([this, worker, seen] { loop(worker, seen); }).detach();
      } catch (...) {
        return;
      }
      started_++;
    }
  }

  void loop(int worker, uint64_t seen) {
    for (;;) {
      const auto until = std::chrono::steady_clock::now() + kSpin;
      while (round_.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < until) relax();
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != seen; });
        seen = round_.load(std::memory_order_relaxed);
        if (!open_ || worker > helpers_) continue;
        active_.fetch_add(1, std::memory_order_relaxed);
      }
      work(worker);
      if (active_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard<std::mutex> lock(mutex_);
        done_.notify_one();
      }
    }
  }

  std::mutex turn_;  // held by whoever runs a region
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> active_{0};  // helpers at work
  std::atomic<int> wanted_{1};
  int helpers_ = 0;
  bool open_ = false;  // tasks may be left
  int started_ = 0;
  int64_t count_ = 0;
  void* context_ = nullptr;
  void (*task_)(void*, int64_t, int) = nullptr;
};

// Never destroyed: its threads may outlive every JavaScript thread, and static destructors would run under them.
Pool& pool() {
  static Pool* instance = new Pool();
  return *instance;
}

}  // namespace

int thread_count() { return told = pool().size(); }
void set_thread_count(int count) { pool().resize(count); }
void set_rehearsing(bool on) { rehearses = on; }
bool rehearsing() { return rehearses; }
void run_tasks(int64_t count, void (*task)(void*, int64_t, int), void* context) {
  if (!rehearses) pool().run(count, task, context);
}

}  // namespace ctflow
