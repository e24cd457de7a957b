// The convolution with three taps along x and stride 1, and its input gradient, by Winograd's filtering along x: see
// winograd-planes.h. One task packs the planes that its output rows see, one after the other, and multiplies them with
// the transformed filters of all rows of taps.
#pragma once

#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/winograd-planes.h"
#include "kernels/simd/unroll.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// One block of channels of one row of taps: the packed inputs that it sees, from the group's first tile on, and its filter.
struct WinogradRow {
  const float* x;
  const float* filter;
  int channels;
};

// Products that are summed by themselves, 8 of each row: one running sum of hundreds of terms was the largest rounding
// error of the whole network.
constexpr int kRowsOfWinogradSum = 3;
constexpr int kMostRowsOfWinogradGroup = 16;
// Packed planes of one thread: they share a second-level cache with filters and outputs.
constexpr int64_t kWinogradPlanesFloats = 1 << 17;
// Outputs from this size on do not stay in a cache until they are read.
constexpr int64_t kWinogradStreamedFloats = 1 << 23;

// to[t][b] = sum of products of one part, for T tiles from `at` on and B registers of channels.
template <class A, bool kPairs, int S, int T, int B>
static inline void winograd_products(const WinogradRow* rows, int row_count, int64_t at, float* to) {
  using F = typename A::F;
  constexpr int kStep = kPairs ? 2 : 1;
  int r = 0;
  do {
    const bool first = r == 0;
    const int end = r + kRowsOfWinogradSum < row_count ? r + kRowsOfWinogradSum : row_count;
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

// As above for pairs, R output rows of T tiles with three rows of taps: a broadcast that serves one multiply-add only
// costs a third of another one on some processors; here most serve two or three rows. Each list entry is the first of
// R + 2 input rows, `row` floats apart, and the first of three filters, `filter_row` floats apart.
template <class A, int S, int T, int R>
static inline void winograd_products_of_rows(const WinogradRow* blocks, int block_count, int64_t at, int64_t row, int64_t filter_row, float* to) {
  using F = typename A::F;
  constexpr int kBlocksOfSum = 2;
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
          CTFLOW_UNROLL
          for (int t = 0; t < T; t++) {
            const F value = A::set_pair(x[j] + t * S * 2);
            if (j < R) sum[(j < R ? j : 0) * T + t] = A::fma(value, w0, sum[(j < R ? j : 0) * T + t]);
            if (j >= 1 && j <= R) sum[(j >= 1 && j <= R ? j - 1 : 0) * T + t] = A::fma(value, w1, sum[(j >= 1 && j <= R ? j - 1 : 0) * T + t]);
            if (j >= 2) sum[(j >= 2 ? j - 2 : 0) * T + t] = A::fma(value, w2, sum[(j >= 2 ? j - 2 : 0) * T + t]);
          }
          x[j] += 2;
        }
      }
    }
    CTFLOW_UNROLL
    for (int k = 0; k < R * T; k++) A::store(to + k * A::V, first ? sum[k] : A::add(A::load(to + k * A::V), sum[k]));
  } while (i < block_count);
}

template <class A>
class WinogradConvolution {
 public:
  // Of `sizes` in and out along D, H, W; `pad` in front. `transposed` is the input gradient: taps go backwards. Steps
  // from one output or input channel to the next in the filter (taps, ci, co) are in floats.
  WinogradConvolution(int batch, const int in[3], const int out[3], const int kernel[3], const int pad[3], bool transposed, int channels_in, int channels_out,
                      const float* x, const float* filter, int64_t filter_in, int64_t filter_out, float* y, const float* norm = nullptr, const float* residual = nullptr)
      : batch_(batch),
        ci_(channels_in),
        co_(channels_out),
        x_(x),
        filter_(filter),
        filter_in_(filter_in),
        filter_out_(filter_out),
        y_(y),
        norm_(norm, batch, channels_in),
        residual_(residual),
        transposed_(transposed),
        pairs_(A::kPairs && channels_out <= 8),
        registers_(channels_out > A::V ? 2 : 1),
        lanes_(registers_ * A::V),
        out_blocks_((channels_out + lanes_ - 1) / lanes_) {
    for (int i = 0; i < 3; i++) {
      in_[i] = in[i];
      out_[i] = out[i];
      kernel_[i] = kernel[i];
      pad_[i] = transposed ? kernel[i] - 1 - pad[i] : pad[i];
    }
    tiles_ = (out_[2] + 1) / 2;
    if constexpr (A::kPairs) by_rows_ = pairs_ && kernel_[1] == 3 && tiles_ >= A::kTilePairsOfRows;
    group_ = rows_of_group();
  }

  void run() const {
    const WinogradPlanes<A> planes(in_[2], ci_, pad_[2], out_[2], group_ + kernel_[1] - 1, pairs_);
    const int64_t filter_floats = static_cast<int64_t>(planes.parts) * kernel_[0] * kernel_[1] * planes.blocks * planes.slots * lanes_;
    Scratch<float> filters(scratch_elements({out_blocks_, filter_floats}));
    pack_filters(planes, filters.get());

    const int threads = thread_count();
    const int y_blocks = (out_[1] + group_ - 1) / group_;
    // Each block of planes packs some planes of its neighbours: as few blocks as keep the threads busy.
    const int64_t columns = static_cast<int64_t>(batch_) * y_blocks;
    int z_blocks = static_cast<int>((8 * threads + columns - 1) / columns);
    const int most_z_blocks = (out_[0] + 3) / 4;
    z_blocks = z_blocks > most_z_blocks ? most_z_blocks : z_blocks;
    const int planes_of_block = (out_[0] + z_blocks - 1) / z_blocks;

    const int64_t most_rows = static_cast<int64_t>(kernel_[0]) * kernel_[1] * planes.blocks;
    Scratch<float> packed(scratch_elements({threads, kernel_[0], planes.plane_floats}));
    Scratch<int> tags(scratch_elements({threads, kernel_[0]}));
    Scratch<WinogradRow> lists(scratch_elements({threads, planes.parts, most_rows}));
    const int64_t line = norm_.is_there() ? scratch_elements({in_[2], ci_}) : 0;
    Scratch<float> lines(scratch_elements({threads, line}));

    parallel(static_cast<int64_t>(batch_) * z_blocks * y_blocks, [&](int64_t task, int thread) {
      const int sample = static_cast<int>(task / y_blocks / z_blocks);
      const int y = static_cast<int>(task % y_blocks) * group_;
      const int rows = out_[1] - y < group_ ? out_[1] - y : group_;
      const int z = static_cast<int>(task / y_blocks % z_blocks) * planes_of_block;
      const int z_end = out_[0] - z < planes_of_block ? out_[0] : z + planes_of_block;
      Group group{planes, sample, y, rows, packed.get() + static_cast<int64_t>(thread) * kernel_[0] * planes.plane_floats,
                  tags.get() + static_cast<int64_t>(thread) * kernel_[0], lists.get() + static_cast<int64_t>(thread) * planes.parts * most_rows, lines.get() + thread * line};
      for (int i = 0; i < kernel_[0]; i++) group.tags[i] = -1;
      for (int at = z; at < z_end; at++) plane(group, at, filters.get(), filter_floats);
      if constexpr (A::kPairs) {
        if (streams()) A::finish_stream();
      }
    });
  }

 private:
  // Some output rows that go through the planes together.
  struct Group {
    const WinogradPlanes<A>& planes;
    int sample;
    int y;
    int rows;
    float* packed;  // an input plane z lies at z % kernel
    int* tags;
    WinogradRow* lists;
    float* line;  // a normalised row, before it is packed
  };

  // What all tiles of a group share.
  struct Outputs {
    const WinogradRow* lists;
    int64_t most_rows;
    int row_count;
    float* y;  // first voxel of the group's first row
    int channels;
    int64_t row_floats;  // of packed inputs, and from one row of taps to the next in the filter
    int64_t filter_row_floats;
    const float* ahead;  // the input row below the group's first one that will be packed next, or null
  };

  // As many rows as cost least: full tiles of registers against input rows that two groups both pack.
  int rows_of_group() const {
    int64_t tile = registers_ == 2 ? A::kTile2 : A::kTile1;
    if constexpr (A::kPairs) tile = pairs_ ? A::kTilePairs : tile;
    const int64_t blocks_in = ci_ == 1 ? 1 : (ci_ + 7) / 8 * 8;
    const int64_t held_of_row = kernel_[0] * static_cast<int64_t>(tiles_) * kWinogradPoints * blocks_in;
    int best = 1;
    double least = 0;
    for (int rows = 1; rows <= kMostRowsOfWinogradGroup && rows <= out_[1]; rows++) {
      if (rows > 1 && (rows + kernel_[1] - 1) * held_of_row > kWinogradPlanesFloats) break;
      const int64_t groups = (out_[1] + rows - 1) / rows;
      const int64_t count = static_cast<int64_t>(rows) * tiles_;
      const int64_t covered = count >= tile ? (count + tile - 1) / tile * tile : (count + 3) / 4 * 4;
      const double products = static_cast<double>(covered) * (pairs_ ? 2 : kWinogradPoints * registers_ * out_blocks_) * kernel_[0] * kernel_[1] * ci_;
      const double packing = 1.25 * (rows + kernel_[1] - 1) * tiles_ * ci_;
      const double cost = groups * (products + packing);
      if (rows == 1 || cost < least) best = rows, least = cost;
    }
    return best;
  }

  // [block of outputs][part][kd][kh][block of inputs][slot][lane]
  void pack_filters(const WinogradPlanes<A>& planes, float* to) const {
    const int taps = kernel_[0] * kernel_[1];
    const int64_t per_tap = static_cast<int64_t>(planes.blocks) * planes.slots * lanes_;
    parallel(static_cast<int64_t>(out_blocks_) * taps, [&](int64_t task, int) {
      const int tap = static_cast<int>(task % taps);
      const int64_t block = task / taps;
      float* place[kWinogradPoints];
      for (int part = 0; part < planes.parts; part++) place[part] = to + ((block * planes.parts + part) * taps + tap) * per_tap;
      // The three taps along x, a step apart; backwards where they go backwards.
      const int64_t step = transposed_ ? -static_cast<int64_t>(ci_) * co_ : static_cast<int64_t>(ci_) * co_;
      const float* first = filter_ + (transposed_ ? static_cast<int64_t>(taps - tap) * 3 - 1 : static_cast<int64_t>(tap) * 3) * ci_ * co_;
      for (int in = 0; in < planes.blocks * planes.slots; in++)
        for (int c = 0; c < (pairs_ ? lanes_ / 2 : lanes_); c++) {
          const int64_t out = block * lanes_ + c;
          float g0 = 0, g1 = 0, g2 = 0;
          if (in < ci_ && out < co_) {
            const float* g = first + in * filter_in_ + out * filter_out_;
            g0 = g[0], g1 = g[step], g2 = g[2 * step];
          }
          const float u1 = 0.5f * (g0 + g2 + g1), u2 = 0.5f * (g0 + g2 - g1);
          if (pairs_) {
            *place[0]++ = g0, *place[0]++ = g2;
            *place[1]++ = u1, *place[1]++ = u2;
          } else {
            *place[0]++ = g0, *place[1]++ = u1, *place[2]++ = u2, *place[3]++ = g2;
          }
        }
    });
  }

  void plane(Group& group, int z, const float* filters, int64_t filter_floats) const {
    const WinogradPlanes<A>& planes = group.planes;
    int first = pad_[0] - z, last = in_[0] + pad_[0] - z;  // taps [first, last) see a plane
    first = first < 0 ? 0 : first;
    last = last > kernel_[0] ? kernel_[0] : last;
    for (int kd = first; kd < last; kd++) pack_plane(group, z - pad_[0] + kd);
    const int64_t per_tap = static_cast<int64_t>(planes.slots) * lanes_;
    for (int block = 0; block < out_blocks_; block++) {
      const int64_t most_rows = static_cast<int64_t>(kernel_[0]) * kernel_[1] * planes.blocks;
      int count = 0;
      for (int part = 0; part < planes.parts; part++) {
        count = 0;
        for (int kd = first; kd < last; kd++) {
          const float* x = group.packed + (z - pad_[0] + kd) % kernel_[0] * planes.plane_floats + part * planes.part_floats;
          for (int kh = 0; kh < (by_rows_ ? 1 : kernel_[1]); kh++)
            for (int i = 0; i < planes.blocks; i++)
              group.lists[part * most_rows + count++] =
                  WinogradRow{x + i * planes.block_floats + kh * planes.row_floats,
                              filters + block * filter_floats + (((static_cast<int64_t>(part) * kernel_[0] + kd) * kernel_[1] + kh) * planes.blocks + i) * per_tap,
                              planes.channels_of(i)};
        }
      }
      const Outputs outputs{group.lists, most_rows, count, y_ + (((static_cast<int64_t>(group.sample) * out_[0] + z) * out_[1] + group.y) * out_[2]) * co_ + block * lanes_,
                            co_ - block * lanes_ < lanes_ ? co_ - block * lanes_ : lanes_, planes.row_floats, planes.blocks * per_tap, block == 0 ? next_plane(group, z) : nullptr};
      if (planes.slots == 1)
        tiles_of_group<1>(group, outputs);
      else
        tiles_of_group<8>(group, outputs);
    }
  }

  // Of the plane that the next output plane sees for the first time.
  const float* next_plane(const Group& group, int z) const {
    const int next = z + 1 - pad_[0] + kernel_[0] - 1;
    const int y = group.y - pad_[1] + kernel_[1] / 2;
    if (z + 1 >= out_[0] || next < 0 || next >= in_[0] || y < 0 || y + group.rows > in_[1]) return nullptr;
    return x_ + (((static_cast<int64_t>(group.sample) * in_[0] + next) * in_[1] + y) * in_[2]) * ci_;
  }

  // Asks for the inputs of so many tiles from `at` on, so that packing will not wait for memory.
  void fetch_ahead(const float* ahead, int64_t at, int tiles) const {
    if (ahead == nullptr) return;
    const float* from = ahead + (at / tiles_ * in_[2] + at % tiles_ * 2) * ci_;
    const float* end = from + tiles * 2 * ci_;
    for (; from < end; from += 16) __builtin_prefetch(from, 0, 2);
  }

  // Asks for the residual of so many tiles when they begin: it is there when they end.
  void expect_residual(const Outputs& outputs, int64_t at, int tiles) const {
    if (residual_ == nullptr) return;
    const float* from = residual_ + (outputs.y - y_) + (at / tiles_ * out_[2] + at % tiles_ * 2) * co_;
    const float* end = from + tiles * 2 * co_;
    for (; from < end; from += 16) __builtin_prefetch(from);
  }

  void pack_plane(Group& group, int z) const {
    const int place = z % kernel_[0];
    if (group.tags[place] == z) return;
    group.tags[place] = z;
    for (int row = 0; row < group.rows + kernel_[1] - 1; row++) {
      const int y = group.y - pad_[1] + row;
      const float* from = y < 0 || y >= in_[1] ? nullptr : x_ + (((static_cast<int64_t>(group.sample) * in_[0] + z) * in_[1] + y) * in_[2]) * ci_;
      if (norm_.is_there() && from != nullptr) {
        norm_.apply(group.sample, from, static_cast<int64_t>(in_[2]) * ci_, group.line);
        from = group.line;
      }
      group.planes.pack(from, row, group.packed + place * group.planes.plane_floats);
    }
  }

  template <int S>
  void tiles_of_group(const Group& group, const Outputs& outputs) const {
    if constexpr (A::kPairs) {
      if (by_rows_) return cover_by_rows<S>(group.rows, outputs);
      if (pairs_) return cover<true, S, A::kTilePairs, 1>(group.rows, outputs);
    }
    if (registers_ == 2) return cover<false, S, A::kTile2, 2>(group.rows, outputs);
    cover<false, S, A::kTile1, 1>(group.rows, outputs);
  }

  // Covers the group's tiles by T; the last ones are moved back over what is already done rather than cut.
  template <bool kPairs, int S, int T, int B>
  void cover(int rows, const Outputs& outputs) const {
    const int64_t count = static_cast<int64_t>(rows) * tiles_;
    if (tiles_ % T == 0 || tiles_ >= 4 * T) {
      // Column by column: the rows of a group share most of their inputs, which stay in the first cache.
      for (int t = 0; t < tiles_; t += T)
        for (int row = 0; row < rows; row++) tile<kPairs, S, T, B>(outputs, row * static_cast<int64_t>(tiles_) + (t + T <= tiles_ ? t : tiles_ - T));
    } else if (count >= T) {
      for (int64_t at = 0; at < count; at += T) tile<kPairs, S, T, B>(outputs, at + T <= count ? at : count - T);
    } else {
      int64_t at = 0;
      for (; at + 4 <= count; at += 4) tile<kPairs, S, 4, B>(outputs, at);
      for (; at < count; at++) tile<kPairs, S, 1, B>(outputs, at);
    }
  }

  template <int S>
  void cover_by_rows(int rows, const Outputs& outputs) const {
    constexpr int T = A::kTilePairsOfRows;
    for (int t = 0; t < tiles_; t += T) {
      int64_t at = t + T <= tiles_ ? t : tiles_ - T;
      int left = rows;
      for (; left >= 4; left -= 4, at += 4 * tiles_) tile_of_rows<S, T, 4>(outputs, at);
      for (; left >= 2; left -= 2, at += 2 * tiles_) tile_of_rows<S, T, 2>(outputs, at);
      if (left > 0) tile_of_rows<S, T, 1>(outputs, at);
    }
  }

  template <int S, int T, int R>
  void tile_of_rows(const Outputs& outputs, int64_t at) const {
    constexpr int kFloats = R * T * A::V;
    alignas(64) float sums[2 * kFloats];
    for (int j = 0; j < R; j++) {
      fetch_ahead(outputs.ahead, at + static_cast<int64_t>(j) * tiles_, T);
      expect_residual(outputs, at + static_cast<int64_t>(j) * tiles_, T);
    }
    for (int part = 0; part < 2; part++)
      winograd_products_of_rows<A, S, T, R>(outputs.lists + part * outputs.most_rows, outputs.row_count, at, outputs.row_floats, outputs.filter_row_floats, sums + part * kFloats);
    const int64_t row = at / tiles_;
    const int t = static_cast<int>(at % tiles_);
    for (int j = 0; j < R; j++) {
      float* y = outputs.y + ((row + j) * out_[2] + 2 * t) * co_;
      for (int i = 0; i < T; i++, y += 2 * co_) {
        const float* sum = sums + (j * T + i) * A::V;
        store_pair(A::add(A::load(sum), A::sums_and_differences(A::load(sum + kFloats))), outputs.channels, 2 * (t + i) + 1 < out_[2], y);
      }
    }
  }

  template <bool kPairs, int S, int T, int B>
  void tile(const Outputs& outputs, int64_t at) const {
    constexpr int kFloats = T * B * A::V;
    constexpr int kParts = kPairs ? 2 : kWinogradPoints;
    alignas(64) float sums[kParts * kFloats];
    fetch_ahead(outputs.ahead, at, T);
    expect_residual(outputs, at, T);
    for (int part = 0; part < kParts; part++)
      winograd_products<A, kPairs, S, T, B>(outputs.lists + part * outputs.most_rows, outputs.row_count, at, sums + part * kFloats);
    int64_t row = at / tiles_;
    int t = static_cast<int>(at % tiles_);
    for (int i = 0; i < T; i++) {
      float* y = outputs.y + (row * out_[2] + 2 * t) * co_;
      const bool second = 2 * t + 1 < out_[2];
      if constexpr (kPairs)
        store_pair(A::add(A::load(sums + i * A::V), A::sums_and_differences(A::load(sums + kFloats + i * A::V))), outputs.channels, second, y);
      else
        store_points<B>(sums + i * B * A::V, kFloats, outputs.channels, second, y);
      if (++t == tiles_) t = 0, row++;
    }
  }

  template <int B>
  void store_points(const float* sums, int part_floats, int channels, bool second, float* y) const {
    for (int b = 0; b < B && b * A::V < channels; b++, sums += A::V, y += A::V) {
      const auto m1 = A::load(sums + part_floats), m2 = A::load(sums + 2 * part_floats);
      const auto mask = A::first(channels - b * A::V);
      put(mask, A::add(A::load(sums), A::add(m1, m2)), y);
      if (second) put(mask, A::add(A::load(sums + 3 * part_floats), A::sub(m1, m2)), y + co_);
    }
  }

  void store_pair(typename A::F interleaved, int channels, bool second, float* y) const {
    auto both = A::deinterleave(interleaved);
    if (co_ == 8 && second) {
      if (residual_ != nullptr) both = A::add(both, A::load(residual_ + (y - y_)));
      if (streams())
        A::stream(y, both);
      else
        A::store(y, both);
      return;
    }
    const auto mask = A::first(channels);
    put(mask, both, y);
    if (second) put(mask, A::high_half(both), y + co_);
  }

  void put(typename A::Mask mask, typename A::F value, float* y) const {
    if (residual_ != nullptr) value = A::add(value, A::load(mask, residual_ + (y - y_)));
    A::store(mask, y, value);
  }

  // Past the caches only where registers fill whole lines of memory; A::stream wants them aligned.
  bool streams() const {
    return pairs_ && co_ == 8 && out_[2] % 2 == 0 && reinterpret_cast<uintptr_t>(y_) % 64 == 0 &&
           static_cast<int64_t>(batch_) * out_[0] * out_[1] * out_[2] * co_ >= kWinogradStreamedFloats;
  }

  int in_[3], out_[3], kernel_[3], pad_[3];
  const int batch_;
  const int ci_, co_;
  const float* const x_;
  const float* const filter_;
  const int64_t filter_in_, filter_out_;
  float* const y_;
  const InputNorm<A> norm_;
  const float* const residual_;
  const bool transposed_;
  const bool pairs_;
  bool by_rows_ = false;
  const int registers_;  // of a block of output channels
  const int lanes_;      // of a block
  const int out_blocks_;
  int tiles_;
  int group_;
};

// Below this a tile costs more products than the taps that lie inside the row.
constexpr int kShortestWinogradRow = 4;

static inline bool suits_winograd(const Conv3dShape& s) {
  return s.kernel[2] == 3 && s.stride[0] == 1 && s.stride[1] == 1 && s.stride[2] == 1 && s.out[2] >= kShortestWinogradRow && s.in[2] >= kShortestWinogradRow;
}

template <class A>
static void winograd_forward(const Conv3dForward& a) {
  const Conv3dShape& s = a.shape;
  WinogradConvolution<A>(s.batch, s.in, s.out, s.kernel, s.pad, false, s.ci, s.co, a.x, a.filter, s.co, 1, a.y, a.norm, a.residual).run();
}

template <class A>
static void winograd_input_gradient(const Conv3dInputGradient& a) {
  const Conv3dShape& s = a.shape;
  WinogradConvolution<A>(s.batch, s.out, s.in, s.kernel, s.pad, true, s.co, s.ci, a.dy, a.filter, 1, s.co, a.dx).run();
}

}  // namespace
}  // namespace ctflow
