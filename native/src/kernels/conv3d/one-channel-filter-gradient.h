// The filter gradient of a 3x3x3 convolution with stride 1 from one channel to eight, the network's first layer, by the
// filtering of winograd-filter-gradient.h. With one channel what costs is to transform dy; here each of its tiles is
// transformed once and meets all rows of taps, in 18 sums.
//
// Of a row's tile with the inputs d, 0 to 3, the packed values are d0 - d2, d1 - d3, d1 + d2, d1 - d2: v0, -v3, v1, -v2.
// Sums run over some hundred voxels in registers, then in float64. Blocks are cut by shape alone and added in their order,
// so the number of threads changes nothing.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/input-norm.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// Rows and planes of dy of a block.
constexpr int kRowsOfOneChannelBlock = 8;
constexpr int kPlanesOfOneChannelBlock = 16;
// Of each two rows of dy, summed in registers.
constexpr int kMostOneChannelTiles = 128;
// From one tile of a packed plane to the next: rows lie side by side, four values each.
constexpr int kOneChannelTile = (kRowsOfOneChannelBlock + 2) * 4;
constexpr int kOneChannelSums = 18;

// to[kd][kh][part] += sums over `tiles` tiles of two rows of dy; the last one is half a tile if `half`. `x` are the
// planes that the taps see, from the row above on; dy's next rows are asked for at `ahead`.
template <class A>
static inline void one_channel_sums(const float* const* x, const float* dy, const float* dy_below, const float* ahead,
                                    int64_t ahead_below, int tiles, bool half, double* to) {
  using F = typename A::F;
  F sum[3][3][2];
  CTFLOW_UNROLL
  for (int i = 0; i < kOneChannelSums; i++) sum[i / 6][i / 2 % 3][i % 2] = A::zero();
  const float* planes[3] = {x[0], x[1], x[2]};
  const auto add = [&](F above, F below) {
    above = A::interleave_halves(above);
    below = A::interleave_halves(below);
    const F first[2] = {above, A::sums_and_differences(above)}, second[2] = {below, A::sums_and_differences(below)};
    CTFLOW_UNROLL
    for (int kd = 0; kd < 3; kd++) {
      CTFLOW_UNROLL
      for (int r = 0; r < 4; r++) {
        CTFLOW_UNROLL
        for (int part = 0; part < 2; part++) {
          const F value = A::set_pair(planes[kd] + r * 4 + part * 2);
          if (r < 3) sum[kd][r < 3 ? r : 0][part] = A::fma(value, first[part], sum[kd][r < 3 ? r : 0][part]);
          if (r > 0) sum[kd][r > 0 ? r - 1 : 0][part] = A::fma(value, second[part], sum[kd][r > 0 ? r - 1 : 0][part]);
        }
      }
      planes[kd] += kOneChannelTile;
    }
  };
  const int whole = half ? tiles - 1 : tiles;
  for (int t = 0; t < whole; t++, dy += 16, dy_below += 16, ahead += 16) {
    __builtin_prefetch(ahead, 0, 2);
    __builtin_prefetch(ahead + ahead_below, 0, 2);
    add(A::load(dy), A::load(dy_below));
  }
  if (half) add(A::load(A::first(8), dy), A::load(A::first(8), dy_below));
  CTFLOW_UNROLL
  for (int i = 0; i < kOneChannelSums; i++) A::add_to(to + i * A::V, sum[i / 6][i / 2 % 3][i % 2]);
}

template <class A>
class OneChannelFilterGradient {
 public:
  static bool suits(const Conv3dShape& s) { return A::kPairs && s.ci == 1 && s.co == 8 && s.kernel[0] == 3 && s.kernel[1] == 3; }

  explicit OneChannelFilterGradient(const Conv3dFilterGradient& a)
      : a_(a),
        s_(a.shape),
        norm_(a.norm, a.shape.batch, 1),
        tiles_((s_.out[2] + 1) / 2),
        y_blocks_((s_.out[1] + kRowsOfOneChannelBlock - 1) / kRowsOfOneChannelBlock),
        z_blocks_((s_.out[0] + kPlanesOfOneChannelBlock - 1) / kPlanesOfOneChannelBlock),
        plane_floats_(scratch_elements({tiles_, kOneChannelTile})),
        row_floats_(static_cast<int64_t>(s_.out[2]) * 8) {}

  void run() const {
    constexpr int64_t kSize = kOneChannelSums * A::V;
    const int threads = thread_count();
    const int64_t blocks = static_cast<int64_t>(s_.batch) * z_blocks_ * y_blocks_;
    // A row of x as taps see it, from -pad on.
    const int64_t line = 2 * static_cast<int64_t>(tiles_) + 2 + A::V;
    Scratch<double> partial(scratch_elements({blocks, kSize}));
    Scratch<float> packed(scratch_elements({threads, 3, plane_floats_}));
    Scratch<float> lines(scratch_elements({threads, line}));
    Scratch<float> zeros(row_floats_);
    std::memset(zeros.get(), 0, row_floats_ * sizeof(float));
    parallel(blocks, [&](int64_t block, int thread) {
      double* to = partial.get() + block * kSize;
      std::memset(to, 0, kSize * sizeof(double));
      sums_of_block(block, zeros.get(), packed.get() + thread * 3 * plane_floats_, lines.get() + thread * line, line, to);
    });
    for (int64_t block = 1; block < blocks; block++)
      for (int64_t i = 0; i < kSize; i++) partial[i] += partial[block * kSize + i];
    points_to_taps(partial.get());
  }

 private:
  void sums_of_block(int64_t block, const float* zeros, float* packed, float* line, int64_t line_floats, double* to) const {
    const int y = static_cast<int>(block % y_blocks_) * kRowsOfOneChannelBlock;
    const int z = static_cast<int>(block / y_blocks_ % z_blocks_) * kPlanesOfOneChannelBlock;
    const int64_t sample = block / y_blocks_ / z_blocks_;
    const int rows = s_.out[1] - y < kRowsOfOneChannelBlock ? s_.out[1] - y : kRowsOfOneChannelBlock;
    const int planes = s_.out[0] - z < kPlanesOfOneChannelBlock ? s_.out[0] - z : kPlanesOfOneChannelBlock;
    const auto dy_row = [&](int plane, int row) { return a_.dy + ((sample * s_.out[0] + z + plane) * s_.out[1] + y + row) * row_floats_; };
    const auto place = [&](int plane) { return packed + plane % 3 * plane_floats_; };
    for (int plane = 0; plane < planes + 2; plane++) {
      pack_plane(sample, z + plane - s_.pad[0], y - s_.pad[1], rows + 2, line, line_floats, place(plane));
      if (plane < 2) continue;
      const int at = plane - 2;
      for (int row = 0; row < rows; row += 2) {
        const float* dy = dy_row(at, row);
        const float* below = row + 1 < rows ? dy + row_floats_ : zeros;
        const float* ahead = row + 2 < rows ? dy_row(at, row + 2) : (at + 1 < planes ? dy_row(at + 1, 0) : dy);
        for (int t = 0; t < tiles_; t += kMostOneChannelTiles) {
          const int some = tiles_ - t < kMostOneChannelTiles ? tiles_ - t : kMostOneChannelTiles;
          const int64_t x_at = static_cast<int64_t>(t) * kOneChannelTile + row * 4, dy_at = static_cast<int64_t>(t) * 16;
          const float* x[3] = {place(at) + x_at, place(at + 1) + x_at, place(at + 2) + x_at};
          one_channel_sums<A>(x, dy + dy_at, below + dy_at, ahead + dy_at, row_floats_, some, t + some == tiles_ && s_.out[2] % 2 != 0, to);
        }
      }
    }
  }

  // Rows [y, y + rows) of plane z, zeros outside of the volume; a row more where their number is odd.
  void pack_plane(int64_t sample, int z, int y, int rows, float* line, int64_t line_floats, float* to) const {
    for (int row = 0; row < (rows + 1) / 2 * 2; row++, to += 4) {
      std::memset(line, 0, line_floats * sizeof(float));
      if (z >= 0 && z < s_.in[0] && y + row >= 0 && y + row < s_.in[1])
        fill_line(sample, a_.x + ((sample * s_.in[0] + z) * s_.in[1] + y + row) * s_.in[2], line);
      float* tile = to;
      for (int t = 0; t < tiles_; t += A::V / 2) {
        alignas(64) float outer[A::V], inner[A::V];
        const float* d = line + 2 * t;
        A::store(outer, A::sub(A::load(d), A::load(d + 2)));
        A::store(inner, A::sums_and_differences(A::load(d + 1)));
        for (int i = 0; i < A::V / 2 && t + i < tiles_; i++, tile += kOneChannelTile) {
          std::memcpy(tile, outer + 2 * i, 2 * sizeof(float));
          std::memcpy(tile + 2, inner + 2 * i, 2 * sizeof(float));
        }
      }
    }
  }

  // What lies in the row, as far as any tap sees it.
  void fill_line(int64_t sample, const float* row, float* line) const {
    const int pad = s_.pad[2];
    const int64_t wanted = 2 * static_cast<int64_t>(tiles_) + 2 - pad;
    const int64_t count = wanted < s_.in[2] ? wanted : s_.in[2];
    if (count <= 0) return;
    if (norm_.is_there())
      norm_.apply(sample, row, count, line + pad);
    else
      for (int64_t i = 0; i < count; i += A::V) {
        const auto mask = A::first(static_cast<int>(count - i < A::V ? count - i : A::V));
        A::store(mask, line + pad + i, A::load(mask, row + i));
      }
  }

  void points_to_taps(const double* sums) const {
    for (int tap = 0; tap < 9; tap++)
      for (int o = 0; o < 8; o++) {
        const double* m = sums + tap * 2 * A::V + 2 * o;
        const double m0 = m[0], m3 = -m[1], m1 = m[A::V], m2 = -m[A::V + 1];
        float* to = a_.dfilter + tap * 3 * 8 + o;
        to[0] = static_cast<float>(m0 + (m1 + m2) / 2);
        to[8] = static_cast<float>((m1 - m2) / 2);
        to[16] = static_cast<float>(m3 + (m1 + m2) / 2);
      }
  }

  const Conv3dFilterGradient& a_;
  const Conv3dShape& s_;
  const InputNorm<A> norm_;
  const int tiles_;  // of a row
  const int y_blocks_, z_blocks_;
  const int64_t plane_floats_, row_floats_;
};

}  // namespace
}  // namespace ctflow
