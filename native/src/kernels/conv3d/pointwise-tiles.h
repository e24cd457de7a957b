// A tile is some voxels times one or two registers of channels out; each input is a broadcast from where it lies. Where there
// is a norm, some voxels are normalised first, all of whose outputs are computed next.
#pragma once

#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/pointwise-product.h"
#include "kernels/conv3d/streaming.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"

namespace ctflow {
namespace {

// Products that are summed by themselves, then added to a total: see conv3d/tiles.h.
constexpr int kProductsOfPointwiseSum = 32;
// Inputs that stay in a first-level cache while all filters pass by.
constexpr int64_t kPointwiseBlockFloats = 1 << 12;

template <class A>
class PointwiseTiles {
 public:
  explicit PointwiseTiles(const PointwiseProduct& p)
      : p_(p), norm_(p.norm, p.batch, p.in), lanes_((p.out + A::V - 1) / A::V * A::V), filter_(scratch_elements({lanes_, p.in})),
        stream_(streams()) {
    float* to = filter_.get();
    for (int64_t out = 0; out < lanes_; out += width(out))
      for (int64_t in = 0; in < p.in; in++)
        for (int64_t lane = out; lane < out + width(out); lane++)
          *to++ = lane < p.out ? p.filter[in * p.filter_in + lane * p.filter_out] : 0.0f;
  }

  void run() const {
    const int64_t tiles = kPointwiseBlockFloats / p_.in / kTile1;
    const int64_t block = (tiles < 1 ? 1 : tiles) * kTile1;
    const int64_t seen_floats = norm_.is_there() ? block * p_.in : 0;
    Scratch<float> seen(scratch_elements({thread_count(), seen_floats}));
    for_pointwise_tasks(p_, block, [&](const PointwiseTask& task, int thread) {
      for (int64_t v = task.begin; v < task.end; v += block) {
        const int64_t count = v + block < task.end ? block : task.end - v;
        const int64_t voxel = task.sample * p_.voxels + v;
        const float* x = p_.x + voxel * p_.in;
        if (norm_.is_there()) {
          float* to = seen.get() + thread * seen_floats;
          norm_.apply(task.sample, x, count * p_.in, to);
          x = to;
        }
        for (int64_t out = 0; out < lanes_; out += width(out)) {
          if (width(out) == 2 * A::V)
            rows<kTile2, 2>(x, voxel, count, out);
          else
            rows<kTile1, 1>(x, voxel, count, out);
        }
      }
      if constexpr (A::kStreams) {
        if (stream_) A::finish_stream();
      }
    });
  }

 private:
  static constexpr int kTile1 = A::kTile1;
  static constexpr int kTile2 = A::kTile2;

  // Outputs of the block of channels that begins at `out`.
  int width(int64_t out) const { return lanes_ - out > A::V ? 2 * A::V : A::V; }

  // `count` voxels in tiles of T; the last one is moved back over what is already done rather than cut.
  template <int T, int B>
  void rows(const float* x, int64_t voxel, int64_t count, int64_t out) const {
    int64_t at = 0;
    if (count >= T) {
      for (; at < count; at += T) tile<T, B>(x, voxel, at + T <= count ? at : count - T, out);
    } else {
      for (; at + 4 <= count; at += 4) tile<4, B>(x, voxel, at, out);
      for (; at < count; at++) tile<1, B>(x, voxel, at, out);
    }
  }

  // T voxels x B registers.
  template <int T, int B>
  void tile(const float* x, int64_t voxel, int64_t at, int64_t out) const {
    using F = typename A::F;
    x += at * p_.in;
    const float* w = filter_.get() + out * p_.in;
    F sum[T * B];
    products<T, B>(x, w, 0, sum);
    for (int64_t in = kProductsOfPointwiseSum; in < p_.in; in += kProductsOfPointwiseSum) {
      // In memory: the registers are full.
      alignas(64) float total[T * B * A::V];
      CTFLOW_UNROLL
      for (int i = 0; i < T * B; i++) A::store(total + i * A::V, sum[i]);
      products<T, B>(x, w, in, sum);
      CTFLOW_UNROLL
      for (int i = 0; i < T * B; i++) sum[i] = A::add(A::load(total + i * A::V), sum[i]);
    }
    put<T, B>((voxel + at) * p_.out + out, out, sum);
  }

  // sum = products of kProductsOfPointwiseSum channels in, from `first` on, for T voxels.
  template <int T, int B>
  [[gnu::always_inline]] inline void products(const float* x, const float* w, int64_t first, typename A::F (&sum)[T * B]) const {
    using F = typename A::F;
    // Every third voxel's inputs have a pointer; the others lie one and two steps behind.
    constexpr int kPointers = (T + 2) / 3;
    const float* from[kPointers];
    const int64_t step = p_.in;
    CTFLOW_UNROLL
    for (int k = 0; k < kPointers; k++) from[k] = x + 3 * k * step + first;
    w += first * A::V * B;
    const int count = static_cast<int>(p_.in - first < kProductsOfPointwiseSum ? p_.in - first : kProductsOfPointwiseSum);
    CTFLOW_UNROLL
    for (int i = 0; i < T * B; i++) sum[i] = A::zero();
    for (int in = 0; in < count; in++, w += A::V * B) {
      F weight[B];
      CTFLOW_UNROLL
      for (int b = 0; b < B; b++) weight[b] = A::load(w + b * A::V);
      CTFLOW_UNROLL
      for (int t = 0; t < T; t++) {
        const F value = A::set(from[t / 3][t % 3 * step]);
        CTFLOW_UNROLL
        for (int b = 0; b < B; b++) sum[t * B + b] = A::fma(value, weight[b], sum[t * B + b]);
      }
      CTFLOW_UNROLL
      for (int k = 0; k < kPointers; k++) from[k]++;
    }
  }

  // The end of a tile, with the residual if there is one.
  template <int T, int B>
  [[gnu::always_inline]] inline void put(int64_t at, int64_t out, const typename A::F (&sum)[T * B]) const {
    const int64_t step = p_.out;
    float* y = p_.y + at;
    const float* residual = p_.residual == nullptr ? nullptr : p_.residual + at;
    const bool stream = stream_;
    if (out + B * A::V <= step) {
      CTFLOW_UNROLL
      for (int i = 0; i < T * B; i++) {
        const int64_t to = i / B * step + i % B * A::V;
        const auto value = residual == nullptr ? sum[i] : A::add(sum[i], A::load(residual + to));
        if constexpr (A::kStreams) {
          if (stream) {
            A::stream(y + to, value);
            continue;
          }
        }
        A::store(y + to, value);
      }
      return;
    }
    const auto last = A::first(static_cast<int>(p_.out - out - (B - 1) * A::V));
    CTFLOW_UNROLL
    for (int i = 0; i < T * B; i++) {
      const int64_t to = i / B * step + i % B * A::V;
      const auto mask = i % B == B - 1 ? last : A::first(A::V);
      A::store(mask, y + to, residual == nullptr ? sum[i] : A::add(sum[i], A::load(mask, residual + to)));
    }
  }

  // Only where registers fill whole lines of memory.
  bool streams() const {
    constexpr int kLine = 16;
    return A::kStreams && (p_.out == A::V || p_.out % kLine == 0) && streams_past_caches(p_.y, p_.batch * p_.voxels * p_.out);
  }

  const PointwiseProduct& p_;
  const InputNorm<A> norm_;
  const int64_t lanes_;  // channels out, up to a whole register
  const Scratch<float> filter_;  // [block of channels out][channel in][lane]
  const bool stream_;
};

}  // namespace
}  // namespace ctflow
