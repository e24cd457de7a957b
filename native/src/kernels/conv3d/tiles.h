// The inner loops of the convolution: a tile is some neighbouring voxels of one output row times one or two registers of
// output channels, kept in registers while all inputs that they see pass by.
//
// Inputs come as packed rows: blocks of S input channels, each [voxel][S], zeros where the row ends. Filters come as
// [tap along x][S][lanes]. The order of the sum for one output is: rows, channel blocks, channels, taps (fused) or rows,
// channel blocks, taps, channels; it never depends on where the tile lies. The products of a row, or of a few, are
// summed by themselves and then added to a total: one running sum of hundreds of terms was the largest rounding error of
// the whole network.
//
// Where it is faster, tiles are functions of their own: inlined, compilers keep what the caller needs in registers that
// the sums need.
#pragma once

#include <cstdint>

#include "kernels/simd/unroll.h"

namespace ctflow {
namespace {

// total += sum, sum = 0. Rows, of 24 products each in a 3x3x3 convolution, are summed by themselves, A::kRowsOfSum at a time:
// few enough for float32, enough to hide the extra addition where totals do not fit into registers.
template <class A, int N>
static inline void flush(typename A::F (&total)[N], typename A::F (&sum)[N]) {
  CTFLOW_UNROLL
  for (int i = 0; i < N; i++) {
    total[i] = A::add(total[i], sum[i]);
    sum[i] = A::zero();
  }
}

// The same where there are not registers for both: totals in memory, which compilers leave there.
template <class A, int N>
static inline void add_to_total(bool first, const typename A::F (&sum)[N], float* total) {
  CTFLOW_UNROLL
  for (int i = 0; i < N; i++) A::store(total + i * A::V, first ? sum[i] : A::add(A::load(total + i * A::V), sum[i]));
}

// One block of channels of one input row and the filter that it meets.
struct RowTaps {
  const float* x;
  const float* filter;
  int channels;
};

// Neighbouring input rows of some planes that will be packed next.
struct Ahead {
  const float* x;
  int planes;  // 0 for none
  int64_t plane_floats;
  int64_t step;  // floats of a plane's rows per output voxel
  float lines;   // the same in lines of 64 bytes, for each row of the job
};

// What all tiles of an output row share.
struct RowJob {
  const RowTaps* rows;
  int row_count;
  int taps;          // along x
  const int* shift;  // of each tap, in floats of a packed row
  float* y;          // first output voxel of the row
  const float* residual;  // added to them, or null
  int64_t step;      // from one output voxel to the next, in floats
  int count;         // output voxels
  int channels;      // output channels of this block, at most the lanes
  bool stream;       // outputs are not read again before they have left the caches
  Ahead ahead;
};

// Asks for a tile's share of the next rows, so that packing will not wait for memory: some lines with each of its rows,
// because lines that are asked for all at once hold up what the tile itself reads.
class Fetch {
 public:
  Fetch(const RowJob& job, int at, int outputs)
      : x_(job.ahead.x + at * job.ahead.step), plane_floats_(job.ahead.plane_floats), planes_(job.ahead.planes),
        lines_(planes_ == 0 ? 0 : static_cast<int>(outputs * job.ahead.lines) + 1) {}
  void next() {
    for (int plane = 0; plane < planes_; plane++)
      for (int i = 0; i < lines_; i++) __builtin_prefetch(x_ + plane * plane_floats_ + i * 16, 0, 2);
    x_ += lines_ * 16;
  }

 private:
  const float* x_;
  const int64_t plane_floats_;
  const int planes_;
  const int lines_;
};

// The end of a tile: `sum` goes to y[at], with the residual if there is one; all lanes, or those of the mask.
template <class A>
static inline void put(const RowJob& job, int64_t at, typename A::F sum) {
  if (job.residual != nullptr) sum = A::add(sum, A::load(job.residual + at));
  A::store(job.y + at, sum);
}
template <class A>
static inline void put(const RowJob& job, int64_t at, typename A::Mask mask, typename A::F sum) {
  if (job.residual != nullptr) sum = A::add(sum, A::load(mask, job.residual + at));
  A::store(mask, job.y + at, sum);
}

// Asks for the residual of `count` voxels at the start of their tile: it is there at the end.
static inline void expect_residual(const RowJob& job, int at, int count) {
  if (job.residual == nullptr) return;
  const float* first = job.residual + at * job.step;
  const float* last = first + (count - 1) * job.step + job.channels;
  for (const float* p = first; p < last; p += 16) __builtin_prefetch(p);
}

// T voxels x B registers.
template <class A, int S, int SX, int T, int B>
[[gnu::noinline]] static void plain_tile(const RowJob& job, int at) {
  using F = typename A::F;
  expect_residual(job, at, T);
  Fetch fetch(job, at, T);
  alignas(64) float total[T * B * A::V];
  int r = 0;
  do {
    const bool first = r == 0;
    const int end = r + A::kRowsOfSum < job.row_count ? r + A::kRowsOfSum : job.row_count;
    F sum[T * B];
    CTFLOW_UNROLL
    for (int i = 0; i < T * B; i++) sum[i] = A::zero();
    for (; r < end; r++) {
      fetch.next();
      const float* filter = job.rows[r].filter;
      const int channels = job.rows[r].channels;
      for (int k = 0; k < job.taps; k++, filter += S * A::V * B) {
        const float* x = job.rows[r].x + at * SX * S + job.shift[k];
        const float* w = filter;
        for (int i = 0; i < channels; i++, x++, w += A::V * B) {
          F weight[B];
          CTFLOW_UNROLL
          for (int b = 0; b < B; b++) weight[b] = A::load(w + b * A::V);
          CTFLOW_UNROLL
          for (int t = 0; t < T; t++) {
            const F value = A::set(x[t * SX * S]);
            CTFLOW_UNROLL
            for (int b = 0; b < B; b++) sum[t * B + b] = A::fma(value, weight[b], sum[t * B + b]);
          }
        }
      }
    }
    add_to_total<A, T * B>(first, sum, total);
  } while (r < job.row_count);
  const auto last = A::first(job.channels - (B - 1) * A::V);
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) {
    if (B == 2) put<A>(job, (at + t) * job.step, A::load(total + t * B * A::V));
    put<A>(job, (at + t) * job.step + (B - 1) * A::V, last, A::load(total + (t * B + B - 1) * A::V));
  }
}

// T voxels x 1 register, three taps side by side, stride 1: each input is loaded once for its three outputs.
template <class A, int S, int T>
static inline void fused_tile(const RowJob& job, int at) {
  using F = typename A::F;
  expect_residual(job, at, T);
  Fetch fetch(job, at, T);
  F total[T], sum[T];
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) total[t] = sum[t] = A::zero();
  for (int r = 0; r < job.row_count; r++) {
    fetch.next();
    const float* w = job.rows[r].filter;
    const float* x = job.rows[r].x + at * S + job.shift[0];
    const float* end = x + job.rows[r].channels;
    for (; x != end; x++, w += A::V) {
      const F w0 = A::load(w);
      const F w1 = A::load(w + S * A::V);
      const F w2 = A::load(w + 2 * S * A::V);
      CTFLOW_UNROLL
      for (int p = 0; p < T + 2; p++) {
        const F value = A::set(x[p * S]);
        if (p < T) sum[p < T ? p : 0] = A::fma(value, w0, sum[p < T ? p : 0]);
        if (p >= 1 && p <= T) sum[p >= 1 && p <= T ? p - 1 : 0] = A::fma(value, w1, sum[p >= 1 && p <= T ? p - 1 : 0]);
        if (p >= 2) sum[p >= 2 ? p - 2 : 0] = A::fma(value, w2, sum[p >= 2 ? p - 2 : 0]);
      }
    }
    flush<A>(total, sum);  // each row: the totals have registers of their own
  }
  const auto mask = A::first(job.channels);
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) put<A>(job, (at + t) * job.step, mask, total[t]);
}

// Pairs, for at most eight output channels in sixteen lanes: lane 2 c + v is channel c of voxel 2 t + v. A packed row
// holds each input with the one that the other voxel needs, {x[j], x[j + SX]}, so that one 64-bit broadcast feeds both.

template <class A>
static inline void store_pairs(const RowJob& job, int at, int t, typename A::F sum) {
  const typename A::F both = A::deinterleave(sum);
  const int64_t y = (at + 2 * t) * job.step;
  const bool second = at + 2 * t + 1 < job.count;
  if (job.step == 8 && job.channels == 8 && second) {
    if (!job.stream) return put<A>(job, y, both);
    return A::stream(job.y + y, job.residual == nullptr ? both : A::add(both, A::load(job.residual + y)));
  }
  const auto mask = A::first(job.channels);
  put<A>(job, y, mask, both);
  if (second) put<A>(job, y + job.step, mask, A::high_half(both));
}

template <class A, int S, int SX, int T>
[[gnu::noinline]] static void pair_tile(const RowJob& job, int at) {
  using F = typename A::F;
  expect_residual(job, at, 2 * T);
  Fetch fetch(job, at, 2 * T);
  alignas(64) float total[T * A::V];
  int r = 0;
  do {
    const bool first = r == 0;
    const int end = r + A::kRowsOfSum < job.row_count ? r + A::kRowsOfSum : job.row_count;
    F sum[T];
    CTFLOW_UNROLL
    for (int t = 0; t < T; t++) sum[t] = A::zero();
    for (; r < end; r++) {
      fetch.next();
      const float* filter = job.rows[r].filter;
      for (int k = 0; k < job.taps; k++, filter += S * A::V) {
        const float* x = job.rows[r].x + at * SX * 2 * S + job.shift[k];
        const float* w = filter;
        for (int i = 0; i < job.rows[r].channels; i++, x += 2, w += A::V) {
          const F weight = A::load(w);
          CTFLOW_UNROLL
          for (int t = 0; t < T; t++) sum[t] = A::fma(A::set_pair(x + t * 2 * SX * 2 * S), weight, sum[t]);
        }
      }
    }
    add_to_total<A, T>(first, sum, total);
  } while (r < job.row_count);
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) store_pairs<A>(job, at, t, A::load(total + t * A::V));
}

template <class A, int S, int T>
[[gnu::noinline]] static void fused_pair_tile(const RowJob& job, int at) {
  using F = typename A::F;
  expect_residual(job, at, 2 * T);
  Fetch fetch(job, at, 2 * T);
  F total[T], sum[T];
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) total[t] = sum[t] = A::zero();
  for (int r = 0; r < job.row_count; r++) {
    fetch.next();
    const float* w = job.rows[r].filter;
    const float* x = job.rows[r].x + at * 2 * S + job.shift[0];
    const float* end = x + 2 * job.rows[r].channels;
    for (; x != end; x += 2, w += A::V) {
      const F w0 = A::load(w);
      const F w1 = A::load(w + S * A::V);
      const F w2 = A::load(w + 2 * S * A::V);
      CTFLOW_UNROLL
      for (int t = 0; t <= T; t++) {
        const F even = A::set_pair(x + 2 * t * 2 * S);
        if (t < T) sum[t < T ? t : 0] = A::fma(even, w0, sum[t < T ? t : 0]);
        if (t > 0) sum[t > 0 ? t - 1 : 0] = A::fma(even, w2, sum[t > 0 ? t - 1 : 0]);
        if (t < T) {
          const F odd = A::set_pair(x + (2 * t + 1) * 2 * S);
          sum[t < T ? t : 0] = A::fma(odd, w1, sum[t < T ? t : 0]);
        }
      }
    }
    flush<A>(total, sum);  // each row: the totals have registers of their own
  }
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) store_pairs<A>(job, at, t, total[t]);
}

// Covers [0, count) with tiles of T outputs; the last one is moved back over what is already done rather than cut. A
// group of neighbouring rows is covered side by side: they share most of their inputs, which stay in the first cache.
#define CTFLOW_COVER(T, TILE, TILE4, TILE1)                       \
  const int n = jobs[0].count;                                    \
  if (n >= (T)) {                                                 \
    for (int at = 0; at < n; at += (T))                           \
      for (int j = 0; j < job_count; j++) {                       \
        TILE(jobs[j], at + (T) <= n ? at : n - (T));              \
      }                                                           \
  } else {                                                        \
    for (int j = 0; j < job_count; j++) {                         \
      int at = 0;                                                 \
      for (; at + 4 <= n; at += 4) TILE4(jobs[j], at);            \
      for (; at < n; at++) TILE1(jobs[j], at);                    \
    }                                                             \
  }

template <class A, int S, int SX, int B>
static void plain_rows(const RowJob* jobs, int job_count) {
  constexpr int T = B == 1 ? A::kTile1 : A::kTile2;
  CTFLOW_COVER(T, (plain_tile<A, S, SX, T, B>), (plain_tile<A, S, SX, 4, B>), (plain_tile<A, S, SX, 1, B>))
}

template <class A, int S>
static void fused_rows(const RowJob* jobs, int job_count) {
  constexpr int T = A::kTileFused;
  CTFLOW_COVER(T, (fused_tile<A, S, T>), (fused_tile<A, S, 4>), (fused_tile<A, S, 1>))
}

// Tiles of 2 T voxels; where few are left, pairs, the last of which may be half empty.
#define CTFLOW_COVER_PAIRS(T, TILE, TILE1)                        \
  const int n = jobs[0].count;                                    \
  if (n >= 2 * (T)) {                                             \
    for (int at = 0; at < n; at += 2 * (T))                       \
      for (int j = 0; j < job_count; j++) {                       \
        TILE(jobs[j], at + 2 * (T) <= n ? at : n - 2 * (T));      \
      }                                                           \
  } else {                                                        \
    for (int j = 0; j < job_count; j++)                           \
      for (int at = 0; at < n; at += 2) TILE1(jobs[j], at);       \
  }

template <class A, int S, int SX>
static void pair_rows(const RowJob* jobs, int job_count) {
  CTFLOW_COVER_PAIRS(A::kTilePairs, (pair_tile<A, S, SX, A::kTilePairs>), (pair_tile<A, S, SX, 1>))
}

template <class A, int S>
static void fused_pair_rows(const RowJob* jobs, int job_count) {
  CTFLOW_COVER_PAIRS(A::kTilePairs, (fused_pair_tile<A, S, A::kTilePairs>), (fused_pair_tile<A, S, 1>))
}

}  // namespace
}  // namespace ctflow
