// The inner loops of winograd.h: a tile is two neighbouring voxels of an output row; the sums of some tiles are kept in
// registers while all transformed inputs that they see pass by, one part (winograd-planes.h) at a time.
#pragma once

#include <cstdint>

#include "kernels/simd/unroll.h"

namespace ctflow {
namespace {

// One block of channels of one row of taps: the packed inputs that it sees, from the group's first tile on, and its filter.
struct WinogradRow {
  const float* x;
  const float* filter;
  int channels;
};

// Products that are summed by themselves, about: one running sum of hundreds of terms was the largest rounding error of the
// whole network.
constexpr int kProductsOfWinogradSum = 24;

// to[t][b] = sum of products of one part, for T tiles from `at` on and B registers of output channels.
template <class A, bool kPairs, int S, int T, int B>
static inline void winograd_products(const WinogradRow* rows, int row_count, int64_t at, float* to) {
  using F = typename A::F;
  constexpr int kStep = kPairs ? 2 : 1;
  constexpr int kRowsOfSum = kProductsOfWinogradSum / S;
  int r = 0;
  do {
    const bool first = r == 0;
    const int end = r + kRowsOfSum < row_count ? r + kRowsOfSum : row_count;
    F sum[T * B];
    CTFLOW_UNROLL
    for (int i = 0; i < T * B; i++) sum[i] = A::zero();
    for (; r < end; r++) {
      const float* x = rows[r].x + at * S * kStep;
      const float* w = rows[r].filter;
      const float* const stop = x + rows[r].channels * kStep;
      for (; x != stop; x += kStep, w += A::V * B) {
        F weight[B];
        CTFLOW_UNROLL
        for (int b = 0; b < B; b++) weight[b] = A::load(w + b * A::V);
        CTFLOW_UNROLL
        for (int t = 0; t < T; t++) {
          F value;
          if constexpr (kPairs)
            value = A::set_pair(x + t * S * kStep);
          else
            value = A::set(x[t * S]);
          CTFLOW_UNROLL
          for (int b = 0; b < B; b++) sum[t * B + b] = A::fma(value, weight[b], sum[t * B + b]);
        }
      }
    }
    CTFLOW_UNROLL
    for (int i = 0; i < T * B; i++) A::store(to + i * A::V, first ? sum[i] : A::add(A::load(to + i * A::V), sum[i]));
  } while (r < row_count);
}

// As above for pairs, R output rows of T tiles with three rows of taps: a broadcast that serves one multiply-add only costs a
// third of another one on some processors; here most serve two or three rows. Each list entry is the first of R + 2 input
// rows, `row` floats apart, and the first of three filters, `filter_row` floats apart.
template <class A, int S, int T, int R>
static inline void winograd_products_of_rows(const WinogradRow* blocks, int block_count, int64_t at, int64_t row, int64_t filter_row,
                                             float* to) {
  using F = typename A::F;
  // Two sums' worth: this many registers of totals come and go through memory.
  constexpr int kBlocksOfSum = 2 * kProductsOfWinogradSum / (3 * S);
  int i = 0;
  do {
    const bool first = i == 0;
    const int end = i + kBlocksOfSum < block_count ? i + kBlocksOfSum : block_count;
    F sum[R * T];
    CTFLOW_UNROLL
    for (int k = 0; k < R * T; k++) sum[k] = A::zero();
    for (; i < end; i++) {
      const float* x[R + 2];
      CTFLOW_UNROLL
      for (int j = 0; j < R + 2; j++) x[j] = blocks[i].x + at * S * 2 + j * row;
      const float* w = blocks[i].filter;
      const float* const stop = w + blocks[i].channels * A::V;
      for (; w != stop; w += A::V) {
        const F w0 = A::load(w);
        const F w1 = A::load(w + filter_row);
        const F w2 = A::load(w + 2 * filter_row);
        CTFLOW_UNROLL
        for (int j = 0; j < R + 2; j++) {
          // Output rows that see input row j through their first, second and third row of taps; 0 where there is none.
          const int a = j < R ? j : 0, b = j >= 1 && j <= R ? j - 1 : 0, c = j >= 2 ? j - 2 : 0;
          CTFLOW_UNROLL
          for (int t = 0; t < T; t++) {
            const F value = A::set_pair(x[j] + t * S * 2);
            if (j < R) sum[a * T + t] = A::fma(value, w0, sum[a * T + t]);
            if (j >= 1 && j <= R) sum[b * T + t] = A::fma(value, w1, sum[b * T + t]);
            if (j >= 2) sum[c * T + t] = A::fma(value, w2, sum[c * T + t]);
          }
          x[j] += 2;
        }
      }
    }
    CTFLOW_UNROLL
    for (int k = 0; k < R * T; k++) A::store(to + k * A::V, first ? sum[k] : A::add(A::load(to + k * A::V), sum[k]));
  } while (i < block_count);
}

}  // namespace
}  // namespace ctflow
