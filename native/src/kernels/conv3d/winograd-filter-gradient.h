// The filter gradient of a convolution with three taps along x and stride 1, by the same filtering as winograd.h: what
// multiplies a filter's four points going forward is summed here, point by point, and becomes three taps at the end.
// Of a tile's two output gradients d and its transformed inputs v (winograd-planes.h):
//
//   M0 = sum v0 d0        M1 = sum v1 (d0 + d1)        M2 = sum v2 (d0 - d1)        M3 = sum v3 d1
//   g0 = M0 + (M1 + M2) / 2        g1 = (M1 - M2) / 2        g2 = M3 + (M1 + M2) / 2
//
// Sums run over some hundred voxels in registers, then over a chunk in float32, then over chunks in float64. Chunks are
// cut by shape alone and added in their order, so the number of threads changes nothing.
#pragma once

#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/partial-sums.h"
#include "kernels/conv3d/winograd-planes.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// Tiles summed in registers before they go to memory: long enough to hide that, short enough for float32.
constexpr int kTilesInRegisters = 128;
// Input rows that a thread packs before it meets them with output rows: these stay in its second-level cache.
constexpr int kRowsOfWinogradUnit = 8;

// A packed input row and the output rows that see it through R taps along y, or rows of zeros.
template <int R>
struct WinogradGradientRow {
  const float* x;
  const float* dy[R];
};

// Which output channels of a block there are: all of a register's, or the first ones. A mask takes a register of its own.
template <class A, bool kWhole>
struct WinogradChannels {
  explicit WinogradChannels(int count) : mask(A::first(count)) {}
  typename A::F load(const float* p) const { return A::load(mask, p); }
  typename A::Mask mask;
};
template <class A>
struct WinogradChannels<A, true> {
  explicit WinogradChannels(int) {}
  typename A::F load(const float* p) const { return A::load(p); }
};

// What part `kPart` of the packed inputs is multiplied with, of the two voxels at dy; only the first one is there if `half`.
template <class A, bool kPairs, int kPart, bool kWhole>
static inline typename A::F winograd_gradient_of_tile(const float* dy, int64_t step, const WinogradChannels<A, kWhole>& channels,
                                                      bool half) {
  if constexpr (kPairs) {
    const typename A::F both = A::interleave_halves(half ? A::load(A::first(8), dy) : A::load(dy));
    return kPart == 0 ? both : A::sums_and_differences(both);
  } else {
    if (half) return kPart == 3 ? A::zero() : channels.load(dy);
    if (kPart == 0) return channels.load(dy);
    if (kPart == 3) return channels.load(dy + step);
    const typename A::F first = channels.load(dy), second = channels.load(dy + step);
    return kPart == 1 ? A::add(first, second) : A::sub(first, second);
  }
}

// to[tap along y][channel] += the sums of C channels over all tiles of the rows. Packed voxels have S slots; `x_at` and
// `dy_at` say where in the rows the part, the channels and the block of outputs begin.
template <class A, bool kPairs, int kPart, int S, int C, int R, bool kWhole>
static inline void winograd_gradient_sums(const WinogradGradientRow<R>* rows, int row_count, int64_t x_at, int64_t dy_at, int outputs,
                                          int64_t step, const WinogradChannels<A, kWhole>& channels, float* to, int64_t to_tap) {
  using F = typename A::F;
  constexpr int kStep = kPairs ? 2 : 1;
  F sum[R][C];
  CTFLOW_UNROLL
  for (int k = 0; k < R; k++) {
    CTFLOW_UNROLL
    for (int c = 0; c < C; c++) sum[k][c] = A::zero();
  }
  for (int r = 0; r < row_count; r++) {
    const float* x = rows[r].x + x_at;
    const float* dy[R];
    CTFLOW_UNROLL
    for (int k = 0; k < R; k++) dy[k] = rows[r].dy[k] + dy_at;
    const auto add = [&](bool half) {
      F gradient[R];
      CTFLOW_UNROLL
      for (int k = 0; k < R; k++) {
        gradient[k] = winograd_gradient_of_tile<A, kPairs, kPart, kWhole>(dy[k], step, channels, half);
        dy[k] += 2 * step;
      }
      CTFLOW_UNROLL
      for (int c = 0; c < C; c++) {
        F value;
        if constexpr (kPairs)
          value = A::set_pair(x + 2 * c);
        else
          value = A::set(x[c]);
        CTFLOW_UNROLL
        for (int k = 0; k < R; k++) sum[k][c] = A::fma(value, gradient[k], sum[k][c]);
      }
      x += S * kStep;
    };
    for (int t = 0; t < outputs / 2; t++) add(false);
    if (outputs % 2 != 0) add(true);
  }
  CTFLOW_UNROLL
  for (int k = 0; k < R; k++) {
    CTFLOW_UNROLL
    for (int c = 0; c < C; c++) {
      float* p = to + k * to_tap + c * A::V;
      A::store(p, A::add(A::load(p), sum[k][c]));
    }
  }
}

template <class A>
class WinogradFilterGradient {
 public:
  explicit WinogradFilterGradient(const Conv3dFilterGradient& a)
      : a_(a),
        s_(a.shape),
        norm_(a.norm, a.shape.batch, a.shape.ci),
        pairs_(A::kPairs && s_.co == 8),
        lanes_(pairs_ ? 8 : A::V),
        out_blocks_((s_.co + lanes_ - 1) / lanes_),
        row_groups_((s_.in[1] + kRowsOfWinogradUnit - 1) / kRowsOfWinogradUnit),
        planes_(s_.in[2], s_.ci < 8 ? s_.ci : 8, s_.pad[2], s_.out[2], kRowsOfWinogradUnit, pairs_) {
    in_blocks_ = (s_.ci + planes_.slots - 1) / planes_.slots;
    taps_ = s_.kernel[0] * s_.kernel[1];
    // [block of outputs][part][kd][kh] of these
    tap_floats_ = static_cast<int64_t>(in_blocks_) * planes_.slots * A::V;
    size_ = scratch_elements({out_blocks_, planes_.parts, taps_, tap_floats_});
    units_ = static_cast<int64_t>(s_.batch) * row_groups_ * s_.in[0];
    chunks_ = chunks_of(static_cast<int64_t>(s_.batch) * s_.out[0] * s_.out[1] * s_.out[2], size_, units_);
  }

  void run() const {
    const int threads = thread_count();
    Scratch<float> partial(scratch_elements({chunks_, size_}));
    Scratch<double> sums(size_);
    Scratch<float> packed(scratch_elements({threads, planes_.plane_floats}));
    const int64_t line = norm_.is_there() ? scratch_elements({s_.in[2], s_.ci}) : 0;
    Scratch<float> lines(scratch_elements({threads, line}));
    const int64_t row_floats = static_cast<int64_t>(s_.out[2]) * s_.co;
    Scratch<float> zeros(row_floats);
    for (int64_t i = 0; i < row_floats; i++) zeros[i] = 0;

    // A task is a chunk for one block of input channels.
    parallel(chunks_ * in_blocks_, [&](int64_t task, int thread) {
      const int64_t chunk = task / in_blocks_;
      const int block = static_cast<int>(task % in_blocks_);
      float* to = partial.get() + chunk * size_;
      for (int64_t i = 0; i < size_ / tap_floats_; i++)
        std::memset(to + i * tap_floats_ + static_cast<int64_t>(block) * planes_.slots * A::V, 0,
                    planes_.slots * A::V * sizeof(float));
      const int64_t end = units_ * (chunk + 1) / chunks_;
      for (int64_t i = units_ * chunk / chunks_; i < end; i++)
        unit(i, block, lines.get() + thread * line, packed.get() + thread * planes_.plane_floats, zeros.get(),
             to + static_cast<int64_t>(block) * planes_.slots * A::V);
    });

    sum_chunks(partial.get(), chunks_, size_, sums.get());
    points_to_taps(sums.get());
  }

 private:
  // Some rows of an input plane; planes of the same rows follow each other, since they meet the same output planes.
  void unit(int64_t i, int block, float* line, float* packed, const float* zeros, float* to) const {
    const int z = static_cast<int>(i % s_.in[0]);
    const int y = static_cast<int>(i / s_.in[0] % row_groups_) * kRowsOfWinogradUnit;
    const int64_t sample = i / s_.in[0] / row_groups_;
    const int rows = s_.in[1] - y < kRowsOfWinogradUnit ? s_.in[1] - y : kRowsOfWinogradUnit;
    const int channels = s_.ci - block * planes_.slots < planes_.slots ? s_.ci - block * planes_.slots : planes_.slots;
    for (int row = 0; row < rows; row++) {
      const float* x = a_.x + ((sample * s_.in[0] + z) * s_.in[1] + y + row) * s_.in[2] * s_.ci;
      if (norm_.is_there()) {
        norm_.apply(sample, x, static_cast<int64_t>(s_.in[2]) * s_.ci, line);
        x = line;
      }
      planes_.pack_block(x + block * planes_.slots, s_.ci, channels, packed + row * planes_.row_floats);
    }
    for (int kd = 0; kd < s_.kernel[0]; kd++) {
      const int out_z = z + s_.pad[0] - kd;
      if (out_z < 0 || out_z >= s_.out[0]) continue;
      const float* dy = a_.dy + (sample * s_.out[0] + out_z) * s_.out[1] * s_.out[2] * s_.co;
      if (s_.kernel[1] == 3)
        rows_of_taps<3>(packed, y, rows, dy, zeros, 0, to + kd * 3 * tap_floats_);
      else
        for (int kh = 0; kh < s_.kernel[1]; kh++)
          rows_of_taps<1>(packed, y, rows, dy, zeros, kh, to + (kd * s_.kernel[1] + kh) * tap_floats_);
    }
  }

  // Taps (kd, kh .. kh + R) of one output plane.
  template <int R>
  void rows_of_taps(const float* packed, int y, int rows, const float* dy, const float* zeros, int kh, float* to) const {
    const int at_once = planes_.tiles >= kTilesInRegisters ? 1 : kTilesInRegisters / planes_.tiles;
    WinogradGradientRow<R> list[kRowsOfWinogradUnit];
    for (int first = 0; first < rows; first += at_once) {
      int count = 0;
      for (int row = first; row < rows && row < first + at_once; row++) {
        WinogradGradientRow<R>& to_row = list[count];
        to_row.x = packed + row * planes_.row_floats;
        bool any = false;
        for (int k = 0; k < R; k++) {
          const int out_y = y + row + s_.pad[1] - kh - k;
          const bool inside = out_y >= 0 && out_y < s_.out[1];
          any = any || inside;
          to_row.dy[k] = inside ? dy + static_cast<int64_t>(out_y) * s_.out[2] * s_.co : zeros;
        }
        if (any) count++;
      }
      if (count == 0) continue;
      if (planes_.slots == 1)
        parts<1, R>(list, count, to);
      else
        parts<8, R>(list, count, to);
    }
  }

  template <int S, int R>
  void parts(const WinogradGradientRow<R>* list, int count, float* to) const {
    const int64_t part_floats = taps_ * tap_floats_;
    if constexpr (A::kPairs) {
      if (pairs_) {
        part<true, 0, S, R>(list, count, 0, to);
        part<true, 1, S, R>(list, count, 0, to + part_floats);
        return;
      }
    }
    for (int block = 0; block < out_blocks_; block++, to += kWinogradPoints * part_floats) {
      part<false, 0, S, R>(list, count, block, to);
      part<false, 1, S, R>(list, count, block, to + part_floats);
      part<false, 2, S, R>(list, count, block, to + 2 * part_floats);
      part<false, 3, S, R>(list, count, block, to + 3 * part_floats);
    }
  }

  template <bool kPairs, int kPart, int S, int R>
  void part(const WinogradGradientRow<R>* list, int count, int block, float* to) const {
    const int left = s_.co - block * lanes_;
    if (left >= A::V || kPairs)
      return sums<kPairs, kPart, S>(list, count, block, WinogradChannels<A, true>(A::V), to);
    sums<kPairs, kPart, S>(list, count, block, WinogradChannels<A, false>(left), to);
  }

  template <bool kPairs, int kPart, int S, int R, bool kWhole>
  void sums(const WinogradGradientRow<R>* list, int count, int block, const WinogradChannels<A, kWhole>& channels, float* to) const {
    constexpr int C = S < A::kGradientChannels ? S : A::kGradientChannels;
    for (int c = 0; c < S; c += C) {
      const int64_t x_at = kPart * planes_.part_floats + c * planes_.values;
      winograd_gradient_sums<A, kPairs, kPart, S, C, R, kWhole>(list, count, x_at, static_cast<int64_t>(block) * A::V, s_.out[2], s_.co,
                                                                channels, to + c * A::V, tap_floats_);
    }
  }

  void points_to_taps(const double* sums) const {
    const int64_t part_floats = taps_ * tap_floats_;
    parallel(taps_, [&](int64_t tap, int) {
      for (int i = 0; i < s_.ci; i++) {
        float* to = a_.dfilter + (tap * 3 * s_.ci + i) * s_.co;
        const int64_t step = static_cast<int64_t>(s_.ci) * s_.co;
        for (int o = 0; o < s_.co; o++) {
          const double* m = sums + (o / lanes_ * planes_.parts * taps_ + tap) * tap_floats_ + static_cast<int64_t>(i) * A::V;
          const int lane = o % lanes_;
          // Pairs lie side by side: {M0, M3}, {M1, M2}.
          const double m0 = m[pairs_ ? 2 * lane : lane];
          const double m1 = m[part_floats + (pairs_ ? 2 * lane : lane)];
          const double m2 = pairs_ ? m[part_floats + 2 * lane + 1] : m[2 * part_floats + lane];
          const double m3 = pairs_ ? m[2 * lane + 1] : m[3 * part_floats + lane];
          to[o] = static_cast<float>(m0 + (m1 + m2) / 2);
          to[step + o] = static_cast<float>((m1 - m2) / 2);
          to[2 * step + o] = static_cast<float>(m3 + (m1 + m2) / 2);
        }
      }
    });
  }

  const Conv3dFilterGradient& a_;
  const Conv3dShape& s_;
  const InputNorm<A> norm_;
  const bool pairs_;  // two points of eight output channels share a register
  const int lanes_;   // output channels of a block
  const int out_blocks_;
  const int row_groups_;
  const WinogradPlanes<A> planes_;
  int in_blocks_;
  int taps_;
  int64_t tap_floats_, size_, units_, chunks_;
};

}  // namespace
}  // namespace ctflow
