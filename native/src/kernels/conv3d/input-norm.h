// Group norm and ReLU of a convolution's input, applied to each row as it is read, so that the normalised tensor need not
// exist: the same operations in the same order as group-norm/vector.h, hence the same bits.
#pragma once

#include "kernels/simd/channels.h"
#include "scratch.h"

namespace ctflow {
namespace {

// max(0, (x - mean) * scale + shift)
template <class A>
static inline typename A::F normalised(typename A::F x, const float* mean, const float* scale, const float* shift) {
  return A::max(A::zero(), A::fma(A::sub(x, A::load(mean)), A::load(scale), A::load(shift)));
}

template <class A>
class InputNorm {
 public:
  // `norm` is (N, 3, C): mean, scale and shift of each channel; null where there is no norm.
  InputNorm(const float* norm, int batch, int channels)
      : period_(channels), tables_(norm == nullptr ? 1 : scratch_elements({batch, 3, period_.floats})), is_there_(norm != nullptr) {
    for (int64_t i = 0; is_there_ && i < int64_t{3} * batch; i++)
      period_.fill(tables_.get() + i * period_.floats, channels, [&](int64_t c) { return norm[i * channels + c]; });
  }

  bool is_there() const { return is_there_; }

  // to = max(0, (x - mean) * scale + shift) for `count` floats that begin with channel 0.
  void apply(int64_t sample, const float* x, int64_t count, float* to) const {
    const int64_t p = period_.floats;
    const float* mean = tables_.get() + sample * 3 * p;
    const float* scale = mean + p;
    const float* shift = scale + p;
    int64_t at = 0;
    for (; at + p <= count; at += p)
      for (int64_t i = 0; i < p; i += A::V) A::store(to + at + i, normalised<A>(A::load(x + at + i), mean + i, scale + i, shift + i));
    int64_t i = 0;
    for (; at + A::V <= count; at += A::V, i += A::V)
      A::store(to + at, normalised<A>(A::load(x + at), mean + i, scale + i, shift + i));
    // A mask only here: with AVX2 it costs several times as much.
    if (at < count) {
      const auto mask = A::first(static_cast<int>(count - at));
      A::store(mask, to + at, normalised<A>(A::load(mask, x + at), mean + i, scale + i, shift + i));
    }
  }

 private:
  const ChannelPeriod<A> period_;
  Scratch<float> tables_;
  const bool is_there_;
};

// The same for kernels that take a voxel's channels a register at a time; lanes behind the last channel become 0.
template <class A>
class RegisterNorm {
 public:
  RegisterNorm(const float* norm, int batch, int channels)
      : registers_((channels + A::V - 1) / A::V), tables_(norm == nullptr ? 1 : scratch_elements({batch, registers_, kStep})) {
    for (int64_t i = 0; norm != nullptr && i < batch * registers_ * kStep; i++) {
      const int64_t row = i / (registers_ * kStep) * 3 + i / A::V % 3;
      const int64_t channel = i / kStep % registers_ * A::V + i % A::V;
      tables_[i] = channel < channels ? norm[row * channels + channel] : 0.0f;
    }
  }

  // From one register's table to the next.
  static constexpr int64_t kStep = 3 * A::V;
  const float* first_of(int64_t sample) const { return tables_.get() + sample * registers_ * kStep; }

  static inline typename A::F apply(const float* table, typename A::F x) {
    return normalised<A>(x, table, table + A::V, table + 2 * A::V);
  }

 private:
  const int64_t registers_;  // of a voxel
  const Scratch<float> tables_;  // [sample][register][mean, scale, shift][lane]
};

}  // namespace
}  // namespace ctflow
