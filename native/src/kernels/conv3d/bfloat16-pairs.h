// The filter gradient's rows as pairs of voxels, and the inner loops over them. Pairs are bfloat16, sums float32.
#pragma once

#include "kernels/conv3d/filter-gradient.h"

namespace ctflow {
namespace {

// sum[tap][channel] over pairs of x, C channels: x[p] meets dy[2 p + 2 - tap], `dy_step` floats apart.
template <class A, int C>
static inline void gradient_tile_of_pairs(const RowPair* rows, int row_count, int pairs, int64_t x_step, int64_t dy_step,
                                          typename A::Mask mask, float* to, int64_t to_tap, int64_t to_channel) {
  using F = typename A::F;
  F sum[3][C];
  CTFLOW_UNROLL
  for (int t = 0; t < 3; t++) {
    CTFLOW_UNROLL
    for (int c = 0; c < C; c++) sum[t][c] = A::zero();
  }
  for (int r = 0; r < row_count; r++) {
    const float* x = rows[r].x;
    const float* dy = rows[r].dy;
    F tap2 = A::load(dy);
    for (int p = 0; p < pairs; p++, x += x_step, dy += 2 * dy_step) {
      const F tap1 = A::load(dy + dy_step);
      const F tap0 = A::load(dy + 2 * dy_step);
      CTFLOW_UNROLL
      for (int c = 0; c < C; c++) {
        const F value = A::set(x[c]);
        sum[0][c] = A::fma(value, tap0, sum[0][c]);
        sum[1][c] = A::fma(value, tap1, sum[1][c]);
        sum[2][c] = A::fma(value, tap2, sum[2][c]);
      }
      tap2 = tap0;
    }
  }
  CTFLOW_UNROLL
  for (int t = 0; t < 3; t++) {
    CTFLOW_UNROLL
    for (int c = 0; c < C; c++) {
      float* p = to + t * to_tap + c * to_channel;
      A::store(mask, p, A::add(A::load(mask, p), sum[t][c]));
    }
  }
}

// An input row and two output rows that see it through different rows of taps.
struct RowTriple {
  const float* x;
  const float* a;
  const float* b;
};

// For eight output channels, two rows of taps (kd, kh) at once: {tap 1, tap 0} of row a, of row b, and tap 2 of both. With
// each pair it asks for a piece of a row that will be packed next.
template <class A, int C>
static inline void gradient_tile_of_pairs_8(const RowTriple* rows, int row_count, int pairs, int64_t x_step, float* to_a,
                                            float* to_b, int64_t to_tap, int64_t to_channel, const float* ahead,
                                            int64_t ahead_step) {
  using F = typename A::F;
  F sum_a[C], sum_b[C], sum_2[C];
  CTFLOW_UNROLL
  for (int c = 0; c < C; c++) sum_a[c] = sum_b[c] = sum_2[c] = A::zero();
  for (int r = 0; r < row_count; r++) {
    const float* x = rows[r].x;
    const float* a = rows[r].a;
    const float* b = rows[r].b;
    F tap2 = A::join_low(A::load(a), b);
    for (int p = 0; p < pairs; p++, x += x_step, a += 16, b += 16, ahead += ahead_step) {
      __builtin_prefetch(ahead, 0, 2);
      const F here_a = A::load(a + 8);
      const F here_b = A::load(b + 8);
      CTFLOW_UNROLL
      for (int c = 0; c < C; c++) {
        const F value = A::set(x[c]);
        sum_a[c] = A::fma(value, here_a, sum_a[c]);
        sum_b[c] = A::fma(value, here_b, sum_b[c]);
        sum_2[c] = A::fma(value, tap2, sum_2[c]);
      }
      tap2 = A::join_high(here_a, here_b);
    }
  }
  CTFLOW_UNROLL
  for (int c = 0; c < C; c++) {
    float* pa = to_a + c * to_channel;
    float* pb = to_b + c * to_channel;
    A::add_halves(pa + to_tap, pa, sum_a[c]);
    A::add_halves(pb + to_tap, pb, sum_b[c]);
    A::add_halves(pa + 2 * to_tap, pb + 2 * to_tap, sum_2[c]);
  }
}

// A row to be packed: to[j] = {row[first + j * step], row[first + j * step + apart]} for j in [0, count), `lanes` pairs
// each, zeros outside the row. Up to 15 pairs behind the last are overwritten.
struct PairsOfRow {
  const float* row;
  int voxels;
  int stride;    // floats from one voxel to the next
  int channels;  // of each voxel, from `row` on
  int first;
  int step;
  int apart;
  int count;
  int lanes;
};

template <class A>
static void pack_pairs_of_row(const PairsOfRow& r, float* to) {
  using F = typename A::F;
  int j = 0;
  const auto one = [&] {
    const int low = r.first + j * r.step;
    const int high = low + r.apart;
    for (int c = 0; c < r.channels; c += A::V) {
      const auto mask = A::first(r.channels - c);
      const F a = low >= 0 && low < r.voxels ? A::load(mask, r.row + static_cast<int64_t>(low) * r.stride + c) : A::zero();
      const F b = high >= 0 && high < r.voxels ? A::load(mask, r.row + static_cast<int64_t>(high) * r.stride + c) : A::zero();
      A::store(to + static_cast<int64_t>(j) * r.lanes + c, A::pair_up(a, b));
    }
    j++;
  };
  while (j < r.count && r.first + j * r.step < 0) one();
  if (r.channels == 8 && r.stride == 8 && r.lanes == 8) {
    const float* from = r.row + static_cast<int64_t>(r.first + j * r.step) * 8;
    if (r.step == 2 && r.apart == 1)
      for (; j + 2 <= r.count && r.first + 2 * j + 4 <= r.voxels; j += 2, from += 32)
        A::store(to + j * 8, A::pair_up_8(from));
    else if (r.step == 1 && r.apart == 1)
      for (; j + 4 <= r.count && r.first + j + 8 <= r.voxels; j += 4, from += 32)
        A::template pair_up_neighbours_8<1>(from, to + j * 8);
    else if (r.step == 1 && r.apart == 2)
      for (; j + 4 <= r.count && r.first + j + 8 <= r.voxels; j += 4, from += 32)
        A::template pair_up_neighbours_8<2>(from, to + j * 8);
  }
  while (j < r.count) one();
}

}  // namespace
}  // namespace ctflow
