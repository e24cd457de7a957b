// The probe's frame: the same loop on every thread, timed as a whole. Fused multiply-adds in registers alone.
#pragma once

#include <chrono>

#include "kernels/peak/peak.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// The best of a probe's loops so far.
class Best {
 public:
  explicit Best(const PeakProbe& probe) : probe_(probe) { *probe.rate = 0; }

  // `loop(task, iterations)` does one thread's share of the work, `amount` (FLOPs, bytes) per iteration. It is repeated
  // for about `seconds`; the fastest repetition counts, since an interrupted one says nothing about the machine.
  template <class Loop>
  void measure(const char* name, double seconds, double amount, long iterations, Loop&& loop) {
    using Clock = std::chrono::steady_clock;
    const int threads = thread_count();
    double spent = 0;
    while (spent < seconds) {
      const auto start = Clock::now();
      parallel(threads, [&](int64_t i, int) { loop(static_cast<int>(i), iterations); });
      const double taken = std::chrono::duration<double>(Clock::now() - start).count();
      spent += taken;
      const double rate = static_cast<double>(iterations) * threads * amount / taken / 1e9;
      if (rate > *probe_.rate) {
        *probe_.rate = rate;
        *probe_.best = name;
      }
      // Long enough that waking the threads does not matter, short enough that many runs are not interrupted.
      if (taken < 0.002) iterations *= 2;
    }
  }

 private:
  const PeakProbe& probe_;
};

constexpr long kFirstIterations = 1 << 14;

// N independent chains of A's registers. Gives a number that depends on all the work, so that none of it can be left out.
template <class A, int N>
static inline float fma_chains(long iterations) {
  typename A::F sum[N];
  CTFLOW_UNROLL for (int i = 0; i < N; i++) sum[i] = A::set(static_cast<float>(i));
  const auto factor = A::set(0.999f);
  const auto term = A::set(0.001f);
  for (long k = 0; k < iterations; k++) {
    CTFLOW_UNROLL for (int i = 0; i < N; i++) sum[i] = A::fma(factor, term, sum[i]);
  }
  auto total = sum[0];
  CTFLOW_UNROLL for (int i = 1; i < N; i++) total = A::add(total, sum[i]);
  alignas(64) float lanes[A::V];
  A::store(lanes, total);
  float result = 0;
  for (int i = 0; i < A::V; i++) result += lanes[i];
  return result;
}

template <class A, int N>
static void measure_chains(Best& best, const char* name, double seconds) {
  Scratch<float> kept(thread_count());
  best.measure(name, seconds, 2.0 * N * A::V, kFirstIterations,
               [&](int task, long iterations) { kept[task] = fma_chains<A, N>(iterations); });
}

// Chains that fit into sixteen registers beside the two constants; more than a multiply-add's latency times its units.
template <class A>
static void best_probe(const PeakProbe& probe) {
  Best best(probe);
  measure_chains<A, 8>(best, "8 chains", probe.seconds / 4);
  measure_chains<A, 10>(best, "10 chains", probe.seconds / 4);
  measure_chains<A, 12>(best, "12 chains", probe.seconds / 4);
  measure_chains<A, 14>(best, "14 chains", probe.seconds / 4);
}

}  // namespace
}  // namespace ctflow
