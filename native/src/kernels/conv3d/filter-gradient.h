// The filter gradient: for every tap, the sum over all voxels of x (as the tap sees it) times dy.
//
// Sums run over some hundred voxels in registers, then over a chunk in float32, then over chunks in float64. Chunks are
// cut by shape alone and added in their order, so the number of threads changes nothing.
#pragma once

#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/partial-sums.h"
#include "kernels/conv3d/pointwise-product.h"
#include "kernels/conv3d/tiles.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// Voxels summed in registers before they go to memory: long enough to hide that, short enough for float32.
constexpr int kVoxelsInRegisters = 512;

// Pairs of rows: an input row and the output row that sees it.
struct RowPair {
  const float* x;
  const float* dy;
  const float* ahead;  // an input row that the next pairs will want from memory
};

// sum[tap][channel] += x[(o * stride + tap) voxels][channel] * dy[o], for o in [0, count), C channels, T taps. kAhead: asks
// for the rows ahead meanwhile.
template <class A, int C, int T, bool kAhead = false>
static void gradient_tile(const RowPair* rows, int row_count, int count, int64_t x_step, int64_t x_tap,
                                 int64_t dy_step, typename A::Mask mask, float* to, int64_t to_tap, int64_t to_channel) {
  using F = typename A::F;
  F sum[T][C];
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) {
    CTFLOW_UNROLL
    for (int c = 0; c < C; c++) sum[t][c] = A::zero();
  }
  for (int r = 0; r < row_count; r++) {
    // A pointer per tap: their distance is not known here, that of the channels is.
    const float* x[T];
    CTFLOW_UNROLL
    for (int t = 0; t < T; t++) x[t] = rows[r].x + t * x_tap;
    const float* dy = rows[r].dy;
    [[maybe_unused]] const float* ahead = rows[r].ahead;
    for (int o = 0; o < count; o++, dy += dy_step) {
      if constexpr (kAhead) {
        __builtin_prefetch(ahead, 0, 2);
        __builtin_prefetch(ahead + x_tap, 0, 2);
        ahead += x_step;
      }
      const F gradient = A::load(mask, dy);
      CTFLOW_UNROLL
      for (int t = 0; t < T; t++) {
        CTFLOW_UNROLL
        for (int c = 0; c < C; c++) sum[t][c] = A::fma(A::set(x[t][c]), gradient, sum[t][c]);
        x[t] += x_step;
      }
    }
  }
  CTFLOW_UNROLL
  for (int t = 0; t < T; t++) {
    CTFLOW_UNROLL
    for (int c = 0; c < C; c++) {
      float* p = to + t * to_tap + c * to_channel;
      A::store(mask, p, A::add(A::load(mask, p), sum[t][c]));
    }
  }
}

template <class A>
class FilterGradient {
 public:
  explicit FilterGradient(const Conv3dFilterGradient& a)
      : a_(a), s_(a.shape), norm_(a.norm, a.shape.batch, a.shape.ci), x_(a.x) {
    taps_ = static_cast<int64_t>(s_.kernel[0]) * s_.kernel[1] * s_.kernel[2];
    size_ = taps_ * s_.ci * s_.co;
    rows_ = static_cast<int64_t>(s_.batch) * s_.out[0] * s_.out[1];
    one_tap_ = suits_pointwise(s_);
    chunks_ = chunks_of(rows_ * s_.out[2], size_, rows_);
    segment_ = kVoxelsInRegisters / s_.out[2];
    if (segment_ < 1) segment_ = 1;
  }

  void run() {
    constexpr int C = A::kGradientChannels;
    const int groups = (s_.ci + C - 1) / C;
    const int threads = thread_count();
    const int64_t line = static_cast<int64_t>(s_.in[2]) * s_.ci;
    Scratch<float> partial(chunks_ * size_);
    Scratch<RowPair> lists(scratch_elements({threads, segment_}));
    // Where there is one tap each row is met once, and normalised then. Otherwise all are, before.
    const bool row_by_row = norm_.is_there() && one_tap_;
    const bool whole = norm_.is_there() && !one_tap_;
    Scratch<float> lines(row_by_row ? scratch_elements({threads, segment_, line}) : 1);
    const int64_t input_rows = static_cast<int64_t>(s_.batch) * s_.in[0] * s_.in[1];
    Scratch<float> normalised(whole ? scratch_elements({input_rows, line}) : 1);
    if (whole) {
      parallel(input_rows, [&](int64_t row, int) {
        norm_.apply(row / s_.in[0] / s_.in[1], a_.x + row * line, line, normalised.get() + row * line);
      });
      x_ = normalised.get();
    }

    parallel(chunks_ * groups, [&](int64_t task, int thread) {
      const int64_t chunk = task / groups;
      const int first = static_cast<int>(task % groups) * C;
      const int channels = s_.ci - first < C ? s_.ci - first : C;
      float* to = partial.get() + chunk * size_;
      for (int64_t tap = 0; tap < taps_; tap++)
        std::memset(to + (tap * s_.ci + first) * s_.co, 0, sizeof(float) * channels * s_.co);
      const int64_t end = rows_ * (chunk + 1) / chunks_;
      RowPair* list = lists.get() + static_cast<int64_t>(thread) * segment_;
      for (int64_t row = rows_ * chunk / chunks_; row < end; row += segment_) {
        const int64_t stop = row + segment_ < end ? row + segment_ : end;
        const float* seen = nullptr;
        if (row_by_row) {
          float* rows = lines.get() + static_cast<int64_t>(thread) * segment_ * line;
          for (int64_t r = row; r < stop; r++) norm_.apply(r / s_.in[0] / s_.in[1], x_ + r * line, line, rows + (r - row) * line);
          seen = rows;
        }
        for (int c = first; c < first + channels;) {
          const int left = first + channels - c;
          if (left >= 8 && C >= 8)
            segment<8>(row, stop, seen, c, to, list), c += 8;
          else if (left >= 4)
            segment<4>(row, stop, seen, c, to, list), c += 4;
          else if (left >= 2)
            segment<2>(row, stop, seen, c, to, list), c += 2;
          else
            segment<1>(row, stop, seen, c, to, list), c += 1;
        }
      }
    });

    sum_chunks(partial.get(), chunks_, size_, a_.dfilter);
  }

 private:
  // Rows [row, stop) for input channels [c, c + C), all taps and output channels; `seen` are these rows where they lie
  // apart, or null.
  template <int C>
  void segment(int64_t row, int64_t stop, const float* seen, int c, float* to, RowPair* pairs) const {
    for (int kd = 0; kd < s_.kernel[0]; kd++)
      for (int kh = 0; kh < s_.kernel[1]; kh++) {
        int n = 0;
        for (int64_t r = row; r < stop; r++) {
          const float* x = seen == nullptr ? input_row(r, kd, kh) : seen + (r - row) * s_.in[2] * s_.ci;
          if (x == nullptr) continue;
          const float* ahead = r + segment_ < rows_ && !seen ? input_row(r + segment_, kd, kh) : nullptr;
          pairs[n++] = RowPair{x + c, a_.dy + r * s_.out[2] * s_.co, ahead == nullptr ? x + c : ahead + c};
        }
        if (n > 0) taps_of_row<C>(pairs, n, to + (static_cast<int64_t>(kd) * s_.kernel[1] + kh) * s_.kernel[2] * s_.ci * s_.co + c * s_.co);
      }
  }

  template <int C>
  void taps_of_row(const RowPair* pairs, int n, float* to) const {
    if (s_.kernel[2] != 3) {
      for (int k = 0; k < s_.kernel[2]; k++) single_tap<C>(pairs, n, k, 0, s_.out[2], to);
      return;
    }
    // Outputs whose three taps all lie inside the row, then the rest tap by tap.
    const int stride = s_.stride[2];
    const int pad = s_.pad[2];
    int begin = (pad + stride - 1) / stride;
    const int room = s_.in[2] - 3 + pad;
    int end = room < 0 ? 0 : room / stride + 1;
    if (end > s_.out[2]) end = s_.out[2];
    if (begin >= end) begin = end = 0;
    if (end > begin) tile<C, 3>(pairs, n, 0, begin, end, to);
    for (int k = 0; k < 3; k++) {
      single_tap<C>(pairs, n, k, 0, begin, to);
      single_tap<C>(pairs, n, k, end, s_.out[2], to);
    }
  }

  // Tap k for the outputs of [begin, end) that see something through it.
  template <int C>
  void single_tap(const RowPair* pairs, int n, int k, int begin, int end, float* to) const {
    while (begin < end && begin * s_.stride[2] - s_.pad[2] + k < 0) begin++;
    while (end > begin && (end - 1) * s_.stride[2] - s_.pad[2] + k >= s_.in[2]) end--;
    if (begin < end) tile<C, 1>(pairs, n, k, begin, end, to + static_cast<int64_t>(k) * s_.ci * s_.co);
  }

  template <int C, int T>
  void tile(const RowPair* pairs, int n, int k, int begin, int end, float* to) const {
    const int64_t x_at = (static_cast<int64_t>(begin) * s_.stride[2] - s_.pad[2] + k) * s_.ci;
    const int64_t dy_at = static_cast<int64_t>(begin) * s_.co;
    constexpr int kAtOnce = 64;
    RowPair moved[kAtOnce];
    for (int at = 0; at < n; at += kAtOnce) {
      const int some = n - at < kAtOnce ? n - at : kAtOnce;
      for (int i = 0; i < some; i++) moved[i] = RowPair{pairs[at + i].x + x_at, pairs[at + i].dy + dy_at, pairs[at + i].ahead + x_at};
      for (int o = 0; o < s_.co; o += A::V) {
        const auto sums = o == 0 && T == 3 ? gradient_tile<A, C, T, T == 3> : gradient_tile<A, C, T, false>;
        sums(moved, some, end - begin, static_cast<int64_t>(s_.stride[2]) * s_.ci, s_.ci, s_.co,
             A::first(s_.co - o < A::V ? s_.co - o : A::V), to + o, static_cast<int64_t>(s_.ci) * s_.co, s_.co);
        for (int i = 0; i < some; i++) moved[i].dy += A::V;
      }
    }
  }

  // The input row that output row r sees through taps (kd, kh, .), or null.
  const float* input_row(int64_t r, int kd, int kh) const {
    const int y = static_cast<int>(r % s_.out[1]) * s_.stride[1] - s_.pad[1] + kh;
    const int z = static_cast<int>(r / s_.out[1] % s_.out[0]) * s_.stride[0] - s_.pad[0] + kd;
    if (y < 0 || y >= s_.in[1] || z < 0 || z >= s_.in[0]) return nullptr;
    const int64_t sample = r / s_.out[1] / s_.out[0];
    return x_ + ((sample * s_.in[0] + z) * s_.in[1] + y) * s_.in[2] * s_.ci;
  }

  const Conv3dFilterGradient& a_;
  const Conv3dShape& s_;
  const InputNorm<A> norm_;
  const float* x_;
  int64_t taps_, size_, rows_, chunks_;
  int segment_;
  bool one_tap_;
};

}  // namespace
}  // namespace ctflow
