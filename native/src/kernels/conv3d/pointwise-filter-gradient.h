// The filter gradient where there is one tap, stride 1 and few channels out: a register holds channels in of one voxel and
// is multiplied with each channel of dy. (In filter-gradient.h a register holds channels of dy.)
//
// Sums run over some hundred voxels in registers, then over a chunk in float32, then over chunks in float64. Chunks are
// cut by shape alone and added in their order, so the number of threads changes nothing.
#pragma once

#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/partial-sums.h"
#include "kernels/conv3d/pointwise-product.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

constexpr int64_t kPointwiseVoxelsInRegisters = 512;

template <class A, int Out, bool kNorm>
class PointwiseFilterGradient {
 public:
  explicit PointwiseFilterGradient(const Conv3dFilterGradient& a)
      : a_(a), in_(a.shape.ci), voxels_(pointwise_voxels(a.shape)), norm_(a.norm, a.shape.batch, in_) {}

  void run() const {
    const int64_t registers = (in_ + A::V - 1) / A::V;
    const int64_t size = registers * Out * A::V;
    const int64_t all = a_.shape.batch * voxels_;
    const int64_t chunks = chunks_of(all, size, all);
    Scratch<float> partial(scratch_elements({chunks, size}));
    Scratch<float> total(size);
    parallel(chunks, [&](int64_t chunk, int) {
      float* to = partial.get() + chunk * size;
      for (int64_t i = 0; i < size; i += A::V) A::store(to + i, A::zero());
      const int64_t end = all * (chunk + 1) / chunks;
      for (int64_t v = all * chunk / chunks; v < end;) {
        const int64_t sample = v / voxels_;
        int64_t stop = v + kPointwiseVoxelsInRegisters < end ? v + kPointwiseVoxelsInRegisters : end;
        if (stop > (sample + 1) * voxels_) stop = (sample + 1) * voxels_;
        voxels(sample, v, stop - v, to);
        v = stop;
      }
    });
    sum_chunks(partial.get(), chunks, size, total.get());
    for (int64_t in = 0; in < in_; in++)
      for (int out = 0; out < Out; out++) a_.dfilter[in * Out + out] = total[(in / A::V * Out + out) * A::V + in % A::V];
  }

 private:
  // Adds `count` voxels of a sample.
  void voxels(int64_t sample, int64_t voxel, int64_t count, float* to) const {
    const float* x = a_.x + voxel * in_;
    const float* dy = a_.dy + voxel * Out;
    const float* norm = norm_.first_of(kNorm ? sample : 0);
    int64_t c = 0;
    for (; c + A::V <= in_; c += A::V, to += Out * A::V, norm += kNorm ? norm_.kStep : 0)
      channels(dy, count, norm, [&](int64_t v) { return A::load(x + v * in_ + c); }, to);
    if (c < in_) {
      const auto mask = A::first(static_cast<int>(in_ - c));
      channels(dy, count, norm, [&](int64_t v) { return A::load(mask, x + v * in_ + c); }, to);
    }
  }

  // Adds one register of input channels.
  template <class Load>
  static inline void channels(const float* dy, int64_t count, const float* norm, Load&& load, float* to) {
    using F = typename A::F;
    constexpr int kAtOnce = Out == 1 ? 8 : Out == 2 ? 4 : 2;  // sums that do not wait for each other
    F sum[kAtOnce * Out];
    CTFLOW_UNROLL
    for (int i = 0; i < kAtOnce * Out; i++) sum[i] = A::zero();
    const auto add = [&](int64_t v, F* sums) {
      F value = load(v);
      if constexpr (kNorm) value = RegisterNorm<A>::apply(norm, value);
      CTFLOW_UNROLL
      for (int out = 0; out < Out; out++) sums[out] = A::fma(A::set(dy[v * Out + out]), value, sums[out]);
    };
    int64_t v = 0;
    for (; v + kAtOnce <= count; v += kAtOnce) {
      CTFLOW_UNROLL
      for (int i = 0; i < kAtOnce; i++) add(v + i, sum + i * Out);
    }
    for (; v < count; v++) add(v, sum);
    CTFLOW_UNROLL
    for (int i = Out; i < kAtOnce * Out; i++) sum[i % Out] = A::add(sum[i % Out], sum[i]);
    CTFLOW_UNROLL
    for (int out = 0; out < Out; out++) A::store(to + out * A::V, A::add(A::load(to + out * A::V), sum[out]));
  }

  const Conv3dFilterGradient& a_;
  const int64_t in_;
  const int64_t voxels_;  // of a sample
  const RegisterNorm<A> norm_;
};

}  // namespace
}  // namespace ctflow
