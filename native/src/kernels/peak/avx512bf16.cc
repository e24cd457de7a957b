// The probe for bfloat16 products (vdpbf16ps): each lane adds two products to a float32 sum.
#include <immintrin.h>

#include "kernels/peak/probe.h"

namespace ctflow {
namespace {

template <int N>
inline float dot_chains(long iterations) {
  __m512 sum[N];
  // All different: a compiler computes equal chains once.
  _Pragma("GCC unroll 32") for (int i = 0; i < N; i++) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto ones = (__m512bh)_mm512_set1_epi16(0x3f80);   // 1
  const auto small = (__m512bh)_mm512_set1_epi16(0x3a83);  // 0.001
  for (long k = 0; k < iterations; k++) {
    _Pragma("GCC unroll 32") for (int i = 0; i < N; i++) sum[i] = _mm512_dpbf16_ps(sum[i], ones, small);
  }
  float total = 0;
  _Pragma("GCC unroll 32") for (int i = 0; i < N; i++) total += _mm512_reduce_add_ps(sum[i]);
  return total;
}

template <int N>
void measure_dots(Best& best, const char* name, double seconds) {
  constexpr double kFlops = 2.0 * 2 * 16;
  Scratch<float> kept(thread_count());
  best.measure(name, seconds, kFlops * N, kFirstIterations,
               [&](int task, long iterations) { kept[task] = dot_chains<N>(iterations); });
}

}  // namespace

void bfloat16_probe__avx512bf16(const PeakProbe& probe) {
  Best best(probe);
  measure_dots<8>(best, "8 chains of 512 bits", probe.seconds / 4);
  measure_dots<12>(best, "12 chains of 512 bits", probe.seconds / 4);
  measure_dots<16>(best, "16 chains of 512 bits", probe.seconds / 4);
  measure_dots<24>(best, "24 chains of 512 bits", probe.seconds / 4);
}

}  // namespace ctflow
