// Copies from memory to memory. The instruction set does not matter: even 16 bytes at a time outrun the memory.
#include <cstring>

#include "kernels/peak/probe.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ctflow {
namespace {

// Of source and target each: several times what a last-level cache holds.
constexpr int64_t kBytes = int64_t{192} << 20;
constexpr int64_t kFloats = kBytes / static_cast<int64_t>(sizeof(float));

#if defined(__x86_64__)
// Stores that pass the caches by, so that the target is not read first.
void copy_streaming(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i + 16 <= count; i += 16) {
    for (int k = 0; k < 16; k += 4) _mm_stream_ps(to + i + k, _mm_load_ps(from + i + k));
  }
  _mm_sfence();
}
#endif

// Through the caches: the target is read before it is written, which is not counted.
void copy_cached(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    to[i] = from[i];
#if defined(__GNUC__)
    // Keeps the compiler from calling memcpy, which is another probe.
    if ((i & 1023) == 0) __asm__ volatile("" ::: "memory");
#endif
  }
}

}  // namespace

void copy_probe(const PeakProbe& probe) {
  Scratch<float> from(kFloats);
  Scratch<float> to(kFloats);
  const int threads = thread_count();
  // A multiple of 16 floats, so that every part is aligned.
  const int64_t part = kFloats / threads / 16 * 16;
  // The first touch gives each thread its own pages.
  parallel(threads, [&](int64_t i, int) {
    std::memset(from.get() + i * part, 0, static_cast<size_t>(part) * sizeof(float));
    std::memset(to.get() + i * part, 0, static_cast<size_t>(part) * sizeof(float));
  });
  Best best(probe);
  const double bytes = 2.0 * static_cast<double>(part) * sizeof(float);
  const auto measure = [&](const char* name, auto copy) {
    best.measure(name, probe.seconds / 3, bytes, 1, [&](int task, long iterations) {
      for (long k = 0; k < iterations; k++) copy(from.get() + task * part, to.get() + task * part, part);
    });
  };
  measure("memcpy", [](const float* a, float* b, int64_t n) { std::memcpy(b, a, static_cast<size_t>(n) * sizeof(float)); });
  measure("through the caches", copy_cached);
#if defined(__x86_64__)
  measure("past the caches", copy_streaming);
#endif
}

}  // namespace ctflow
