// Few channels out: a register holds channels in of one voxel, is multiplied with the filter of each output, and the lanes
// are summed. Memory limits it.
#pragma once

#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/pointwise-product.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"

namespace ctflow {
namespace {

// How far in front inputs are asked for, in floats: what the processor fetches by itself ends with each page.
constexpr int64_t kPointwiseAheadFloats = 1 << 10;

// Groups of eight voxels, whose outputs are as many registers as a voxel has outputs; for structures of eight lanes. Each
// lane sums every eighth product.
template <class A, int Out, bool kNorm>
class PointwiseDots {
 public:
  explicit PointwiseDots(const PointwiseProduct& p)
      : p_(p), norm_(p.norm, p.batch, p.in), registers_((p.in + A::V - 1) / A::V), filter_(scratch_elements({registers_, Out, A::V})) {
    static_assert(A::V == kVoxels, "a group's outputs are sums of as many registers as one has lanes");
    for (int64_t i = 0; i < registers_ * Out * A::V; i++) {
      const int64_t channel = i / (Out * A::V) * A::V + i % A::V;
      filter_[i] = channel < p.in ? p.filter[channel * p.filter_in + i / A::V % Out * p.filter_out] : 0.0f;
    }
  }

  void run() const {
    const int64_t pad_floats = kVoxels * p_.in;
    Scratch<float> pads(scratch_elements({thread_count(), pad_floats}));
    for_pointwise_tasks(p_, kVoxels, [&](const PointwiseTask& task, int thread) {
      const int64_t first = task.sample * p_.voxels;
      int64_t v = task.begin;
      for (; v + kVoxels <= task.end; v += kVoxels) {
        const int64_t at = (first + v) * Out;
        const float* x = p_.x + (first + v) * p_.in;
        for (int64_t i = 0; i < pad_floats; i += 16) __builtin_prefetch(x + kPointwiseAheadFloats + i);
        group(task.sample, x, p_.residual == nullptr ? nullptr : p_.residual + at, p_.y + at);
      }
      if (v < task.end) last(task.sample, first + v, static_cast<int>(task.end - v), pads.get() + thread * pad_floats);
    });
  }

 private:
  static constexpr int kVoxels = 8;

  // Fewer voxels than a group has, in copies of their inputs and outputs.
  void last(int64_t sample, int64_t voxel, int count, float* x) const {
    float y[kVoxels * Out], residual[kVoxels * Out];
    for (int64_t i = 0; i < kVoxels * p_.in; i++) x[i] = i < count * p_.in ? p_.x[voxel * p_.in + i] : 0.0f;
    for (int i = 0; i < kVoxels * Out; i++) residual[i] = p_.residual != nullptr && i < count * Out ? p_.residual[voxel * Out + i] : 0.0f;
    group(sample, x, p_.residual == nullptr ? nullptr : residual, y);
    for (int i = 0; i < count * Out; i++) p_.y[voxel * Out + i] = y[i];
  }

  void group(int64_t sample, const float* x, const float* residual, float* y) const {
    using F = typename A::F;
    CTFLOW_UNROLL
    for (int g = 0; g < Out; g++) {
      F sum[A::V];
      CTFLOW_UNROLL
      for (int i = 0; i < A::V; i++) sum[i] = A::zero();
      const float* filter = filter_.get();
      const float* norm = norm_.first_of(kNorm ? sample : 0);
      int64_t c = 0;
      for (; c + A::V <= p_.in; c += A::V, filter += Out * A::V, norm += kNorm ? norm_.kStep : 0)
        add_products(g, norm, filter, [&](int voxel) { return A::load(x + voxel * p_.in + c); }, sum);
      if (c < p_.in) {
        const auto mask = A::first(static_cast<int>(p_.in - c));
        add_products(g, norm, filter, [&](int voxel) { return A::load(mask, x + voxel * p_.in + c); }, sum);
      }
      F result = A::sums_of_lanes(sum);
      if (residual != nullptr) result = A::add(result, A::load(residual + g * A::V));
      A::store(y + g * A::V, result);
    }
  }

  // The products of one register of channels for outputs [8 g, 8 g + 8) of the group's 8 Out.
  template <class Load>
  static inline void add_products(int g, const float* norm, const float* filter, Load&& load, typename A::F (&sum)[A::V]) {
    using F = typename A::F;
    F value = A::zero();
    CTFLOW_UNROLL
    for (int i = 0; i < A::V; i++) {
      const int out = (g * A::V + i) % Out;
      if (i == 0 || out == 0) {
        value = load((g * A::V + i) / Out);
        if constexpr (kNorm) value = RegisterNorm<A>::apply(norm, value);
      }
      sum[i] = A::fma(value, A::load(filter + out * A::V), sum[i]);
    }
  }

  const PointwiseProduct& p_;
  const RegisterNorm<A> norm_;
  const int64_t registers_;      // of a voxel's inputs
  const Scratch<float> filter_;  // [register][output][lane], zeros behind the last channel
};

}  // namespace
}  // namespace ctflow
