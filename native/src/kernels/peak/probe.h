// The probe's frame: the same loop on every thread, timed as a whole.
#pragma once

#include <chrono>

#include "kernels/peak/peak.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// `loop(iterations)` returns a number that depends on all its work, so that none of it can be left out.
template <class Loop>
static inline void run_probe(const PeakProbe& probe, double flops_per_iteration, Loop&& loop) {
  using Clock = std::chrono::steady_clock;
  const int threads = thread_count();
  Scratch<float> kept(threads);
  long iterations = 1 << 16;
  double best = 0;
  double spent = 0;
  while (spent < probe.seconds) {
    const auto start = Clock::now();
    parallel(threads, [&](int64_t i, int) { kept[i] = loop(iterations); });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    spent += seconds;
    const double gflops = static_cast<double>(iterations) * threads * flops_per_iteration / seconds / 1e9;
    if (gflops > best) best = gflops;
    // Short enough that many runs are not interrupted.
    if (seconds < 0.004) iterations *= 2;
  }
  *probe.gflops = best;
}

// N independent chains of A's registers.
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

template <class A>
static void best_probe(const PeakProbe& probe) {
  double best = 0;
  double gflops = 0;
  const PeakProbe part{probe.seconds / 3, &gflops};
  run_probe(part, 10.0 * A::V * 2, fma_chains<A, 10>);
  best = gflops > best ? gflops : best;
  run_probe(part, 12.0 * A::V * 2, fma_chains<A, 12>);
  best = gflops > best ? gflops : best;
  run_probe(part, 14.0 * A::V * 2, fma_chains<A, 14>);
  *probe.gflops = gflops > best ? gflops : best;
}

}  // namespace
}  // namespace ctflow
