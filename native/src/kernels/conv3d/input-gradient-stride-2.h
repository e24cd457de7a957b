// The input gradient of a 3x3x3 convolution with stride 2 and padding 1. Along each axis an output gradient dy[j] comes
// from the inputs 2 j - 1, 2 j and 2 j + 1, hence
//
//   dx[2 j] = dy[j] w1        dx[2 j + 1] = dy[j] w2 + dy[j + 1] w0
//
// A cell is these two of y and x in one plane of dx: four voxels from the same four of dy, 9 products instead of 16. A
// tile is some cells below each other: a value of dy is loaded once for up to six of their products, and dx leaves in
// whole lines. dy is read where it lies; other numbers than float32 are made of all of it first.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/float-slots.h"
#include "kernels/conv3d/streaming.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// Of a voxel of dx, with at most four taps that see it: summed by themselves.
constexpr int kProductsOfCellSum = 64;

// One plane of dy: rows from the tile's first one on, one more than it has cells, and the nine taps that meet it.
template <int R>
struct CellPlane {
  const float* rows[R + 1];
  const float* filter;
};

// sum[cell][row][x] for R cells, from dy `at` slots into the rows, with `slots` a voxel. With pairs, for at most eight
// channels of dx, two slots at a time: lane 2 c + v is what dy's slots of parity v give to channel c.
template <class A, class Slots, bool kPairs, int R>
static inline void cell_sums(const CellPlane<R>* planes, int plane_count, int64_t at, int slots, float* to) {
  using F = typename A::F;
  constexpr int kStep = kPairs ? 2 : 1;
  constexpr int kStepsOfSum = kProductsOfCellSum / 4 / Slots::kValues;
  const int steps = slots / kStep;
  int plane = 0, step = 0;
  bool first = true;
  do {
    F sum[R][2][2];
    CTFLOW_UNROLL
    for (int r = 0; r < R; r++) sum[r][0][0] = sum[r][0][1] = sum[r][1][0] = sum[r][1][1] = A::zero();
    for (int left = kStepsOfSum; left > 0 && plane < plane_count;) {
      const int count = steps - step < left ? steps - step : left;
      const float* x[R + 1];
      CTFLOW_UNROLL
      for (int r = 0; r <= R; r++) x[r] = planes[plane].rows[r] + at + step * kStep;
      const float* w = planes[plane].filter + static_cast<int64_t>(step) * 9 * A::V;
      for (const float* const end = w + static_cast<int64_t>(count) * 9 * A::V; w != end; w += 9 * A::V) {
        F tap[3][3];
        CTFLOW_UNROLL
        for (int k = 0; k < 9; k++) tap[k / 3][k % 3] = A::load(w + k * A::V);
        CTFLOW_UNROLL
        for (int r = 0; r <= R; r++) {
          F here, next;
          if constexpr (kPairs)
            here = A::set_pair(x[r]), next = A::set_pair(x[r] + slots);
          else
            here = A::set(*x[r]), next = A::set(x[r][slots]);
          x[r] += kStep;
          const auto row = [&](F(&to)[2], const F(&k)[3]) {
            to[0] = A::fma(here, k[1], to[0]);
            to[1] = A::fma(here, k[2], to[1]);
            to[1] = A::fma(next, k[0], to[1]);
          };
          if (r < R) row(sum[r < R ? r : 0][0], tap[1]), row(sum[r < R ? r : 0][1], tap[2]);
          if (r > 0) row(sum[r > 0 ? r - 1 : 0][1], tap[0]);
        }
      }
      left -= count;
      step += count;
      if (step == steps) step = 0, plane++;
    }
    CTFLOW_UNROLL
    for (int i = 0; i < 4 * R; i++) {
      float* p = to + i * A::V;
      const F one = sum[i / 4][i / 2 % 2][i % 2];
      A::store(p, first ? one : A::add(A::load(p), one));
    }
    first = false;
  } while (plane < plane_count);
}

template <class A, class Slots = FloatSlots>
class InputGradientStride2 {
 public:
  static bool suits(const Conv3dShape& s) {
    // A load for each product pays with one block of eight channels; with two, tiles of rows.h share theirs.
    if (!A::kPairs && s.ci > A::V) return false;
    for (int i = 0; i < 3; i++)
      if (s.kernel[i] != 3 || s.stride[i] != 2 || s.pad[i] != 1) return false;
    return s.co % (Slots::kValues * (is_paired(s) ? 2 : 1)) == 0;
  }

  explicit InputGradientStride2(const Conv3dInputGradient& a)
      : a_(a),
        s_(a.shape),
        dy_(a.dy),
        pairs_(is_paired(s_)),
        lanes_(pairs_ ? 8 : A::V),
        out_blocks_((s_.ci + lanes_ - 1) / lanes_),
        slots_(s_.co / Slots::kValues),
        steps_(pairs_ ? slots_ / 2 : slots_),
        cells_x_((s_.in[2] + 1) / 2) {
    const int64_t size = static_cast<int64_t>(s_.batch) * s_.in[0] * s_.in[1] * s_.in[2] * s_.ci;
    stream_ = pairs_ && s_.ci == 8 && s_.in[2] % 2 == 0 && streams_past_caches(a.dx, size);
  }

  void run() {
    constexpr int R = A::kTileCells;
    const int threads = thread_count();
    const int64_t row_slots = static_cast<int64_t>(s_.out[2]) * slots_, dy_rows = static_cast<int64_t>(s_.batch) * s_.out[0] * s_.out[1];
    Scratch<float> packed(Slots::kValues == 1 ? 1 : scratch_elements({dy_rows, row_slots}));
    if constexpr (Slots::kValues != 1) {
      parallel(dy_rows, [&](int64_t row, int) {
        Slots::pack(a_.dy + row * row_slots * Slots::kValues, row_slots, packed.get() + row * row_slots);
      });
      dy_ = packed.get();
    }
    Scratch<float> filters(scratch_elements({out_blocks_, 3, tap_plane_floats()}));
    pack_filters(filters.get());
    const int64_t zero_floats = (static_cast<int64_t>(cells_x_) + 1) * slots_;
    Scratch<float> zeros(zero_floats);
    std::memset(zeros.get(), 0, zero_floats * sizeof(float));
    const int64_t edge_floats = scratch_elements({2, R + 1, 2, slots_});
    Scratch<float> edges(scratch_elements({threads, edge_floats}));

    // A task takes some rows of cells through some planes: they meet the same rows of dy again.
    const int y_blocks = ((s_.in[1] + 1) / 2 + R - 1) / R;
    const int64_t columns = static_cast<int64_t>(s_.batch) * y_blocks;
    int64_t z_blocks = (8 * threads + columns - 1) / columns;
    z_blocks = z_blocks > s_.in[0] ? s_.in[0] : z_blocks;
    parallel(columns * z_blocks, [&](int64_t task, int thread) {
      const int y = static_cast<int>(task % y_blocks) * R;
      const int64_t z_block = task / y_blocks % z_blocks;
      const Place place{static_cast<int>(task / y_blocks / z_blocks), 0, y, zeros.get(), edges.get() + thread * edge_floats};
      const int end = static_cast<int>(s_.in[0] * (z_block + 1) / z_blocks);
      for (int z = static_cast<int>(s_.in[0] * z_block / z_blocks); z < end; z++) rows_of_plane(place, z, filters.get());
      if constexpr (A::kPairs) {
        if (stream_) A::finish_stream();
      }
    });
  }

 private:
  struct Place {
    int sample;
    int z;
    int y;  // the first row of cells
    const float* zeros;
    float* edge;
  };

  static bool is_paired(const Conv3dShape& s) { return A::kPairs && s.ci <= 8; }

  int64_t tap_plane_floats() const { return static_cast<int64_t>(steps_) * 9 * A::V; }

  // [block of outputs][kd][step][kh][kw][lane]
  void pack_filters(float* to) const {
    for (int block = 0; block < out_blocks_; block++)
      for (int kd = 0; kd < 3; kd++)
        for (int step = 0; step < steps_; step++)
          for (int tap = kd * 9; tap < kd * 9 + 9; tap++)
            for (int lane = 0; lane < A::V; lane++) {
              const int in = block * lanes_ + (pairs_ ? lane / 2 : lane), slot = pairs_ ? 2 * step + lane % 2 : step;
              const float* w = a_.filter + (static_cast<int64_t>(tap) * s_.ci + in) * s_.co + slot * Slots::kValues;
              *to++ = in < s_.ci ? Slots::slot(w[0], w[Slots::kValues - 1]) : 0.0f;
            }
  }

  void rows_of_plane(Place place, int z, const float* filters) const {
    place.z = z;
    int left = (s_.in[1] + 1) / 2 - place.y;
    if (left >= A::kTileCells) return row_of_tiles<A::kTileCells>(place, filters);
    for (; left >= 2; left -= 2, place.y += 2) row_of_tiles<2>(place, filters);
    if (left == 1) row_of_tiles<1>(place, filters);
  }

  template <int R>
  void row_of_tiles(const Place& place, const float* filters) const {
    for (int block = 0; block < out_blocks_; block++) {
      CellPlane<R> planes[2], edge[2];
      int count = 0;
      const auto add = [&](int z, int kd) {
        if (z >= s_.out[0]) return;
        CellPlane<R>& plane = planes[count++];
        plane.filter = filters + (block * 3 + kd) * tap_plane_floats();
        const int64_t row_slots = static_cast<int64_t>(s_.out[2]) * slots_;
        const int64_t first = (static_cast<int64_t>(place.sample) * s_.out[0] + z) * s_.out[1] + place.y;
        for (int r = 0; r <= R; r++) plane.rows[r] = place.y + r >= s_.out[1] ? place.zeros : dy_ + (first + r) * row_slots;
      };
      add(place.z / 2, place.z % 2 == 0 ? 1 : 2);
      if (place.z % 2 != 0) add(place.z / 2 + 1, 0);

      const int64_t row = (static_cast<int64_t>(place.sample) * s_.in[0] + place.z) * s_.in[1] + 2 * place.y;
      float* dx = a_.dx + row * s_.in[2] * s_.ci + block * lanes_;
      const int channels = s_.ci - block * lanes_ < lanes_ ? s_.ci - block * lanes_ : lanes_;
      const int rows = s_.in[1] - 2 * place.y < 2 * R ? s_.in[1] - 2 * place.y : 2 * R;
      for (int x = 0; x < cells_x_; x++, dx += 2 * s_.ci) {
        const int columns = s_.in[2] - 2 * x < 2 ? 1 : 2;
        if (x + 1 < s_.out[2]) {
          tile<R>(planes, count, static_cast<int64_t>(x) * slots_, channels, rows, columns, dx);
          continue;
        }
        for (int p = 0; p < count; p++) {
          edge[p].filter = planes[p].filter;
          for (int r = 0; r <= R; r++) edge[p].rows[r] = end_of_row(planes[p].rows[r], x, place.edge + (p * (R + 1) + r) * 2 * slots_);
        }
        tile<R>(edge, count, 0, channels, rows, columns, dx);
      }
    }
  }

  // Copies voxels x and x + 1 of a row, zeros where it has ended.
  const float* end_of_row(const float* row, int x, float* to) const {
    std::memset(to, 0, 2 * slots_ * sizeof(float));
    if (x < s_.out[2]) std::memcpy(to, row + static_cast<int64_t>(x) * slots_, slots_ * sizeof(float));
    return to;
  }

  template <int R>
  void tile(const CellPlane<R>* planes, int plane_count, int64_t at, int channels, int rows, int columns, float* dx) const {
    alignas(64) float sums[R * 4 * A::V];
    if constexpr (A::kPairs) {
      if (pairs_) {
        cell_sums<A, Slots, true, R>(planes, plane_count, at, slots_, sums);
        for (int row = 0; row < rows; row++, dx += static_cast<int64_t>(s_.in[2]) * s_.ci) {
          const auto even = A::load(sums + 2 * row * A::V), odd = A::load(sums + (2 * row + 1) * A::V);
          store_pair(A::add(A::even_lanes(even, odd), A::odd_lanes(even, odd)), channels, columns, dx);
        }
        return;
      }
    }
    cell_sums<A, Slots, false, R>(planes, plane_count, at, slots_, sums);
    const auto mask = A::first(channels);
    for (int row = 0; row < rows; row++, dx += static_cast<int64_t>(s_.in[2]) * s_.ci)
      for (int x = 0; x < columns; x++) A::store(mask, dx + x * s_.ci, A::load(sums + (2 * row + x) * A::V));
  }

  // Eight channels of two voxels.
  void store_pair(typename A::F both, int channels, int columns, float* dx) const {
    if (stream_) return A::stream(dx, both);
    if (s_.ci == 8 && columns == 2) return A::store(dx, both);
    const auto mask = A::first(channels);
    A::store(mask, dx, both);
    if (columns == 2) A::store(mask, dx + s_.ci, A::high_half(both));
  }

  const Conv3dInputGradient& a_;
  const Conv3dShape& s_;
  const float* dy_;   // in slots
  const bool pairs_;  // two slots of dy are met at a time, by eight channels of dx
  const int lanes_;   // channels of dx in a block
  const int out_blocks_;
  const int slots_;  // of a voxel of dy
  const int steps_;  // through them
  const int cells_x_;
  bool stream_;
};

}  // namespace
}  // namespace ctflow
