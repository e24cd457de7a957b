// The convolution with three taps along x and stride 1, and its input gradient, by Winograd's filtering along x: see
// winograd-planes.h. One task packs the planes that its output rows see, one after the other, and multiplies them with the
// transformed filters of all rows of taps.
#pragma once

#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/streaming.h"
#include "kernels/conv3d/winograd-filters.h"
#include "kernels/conv3d/winograd-planes.h"
#include "kernels/conv3d/winograd-tiles.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

constexpr int kMostRowsOfWinogradGroup = 16;
// Packed planes of one thread: they share a second-level cache with filters and outputs.
constexpr int64_t kWinogradPlanesFloats = 1 << 17;

// What is convolved, going forward or back: of the input gradient, dy is `x`, dx is `y`, and taps go backwards.
struct WinogradJob {
  int batch;
  const int* in;  // D, H, W
  const int* out;
  const int* kernel;
  const int* pad;
  bool transposed;
  int channels_in;
  int channels_out;
  const float* x;
  const float* filter;
  int64_t filter_in;   // from one input channel to the next in the filter (taps, ci, co), in floats
  int64_t filter_out;  // and from one output channel to the next
  float* y;
  const float* norm;      // see Conv3dForward
  const float* residual;  // see Conv3dForward
};

template <class A>
class WinogradConvolution {
 public:
  explicit WinogradConvolution(const WinogradJob& job)
      : job_(job),
        ci_(job.channels_in),
        co_(job.channels_out),
        in_(job.in),
        out_(job.out),
        kernel_(job.kernel),
        norm_(job.norm, job.batch, job.channels_in),
        tiles_((job.out[2] + 1) / 2),
        pairs_(A::kPairs && co_ <= 8),
        lanes_((co_ > A::V ? 2 : 1) * A::V),
        out_blocks_((co_ + lanes_ - 1) / lanes_),
        stream_(streams()) {
    for (int i = 0; i < 3; i++) pad_[i] = job.transposed ? kernel_[i] - 1 - job.pad[i] : job.pad[i];
    if constexpr (A::kPairs) by_rows_ = pairs_ && kernel_[1] == 3 && covers(A::kTilePairsOfRows);
    group_ = rows_of_group();
  }

  void run() const {
    const WinogradPlanes<A> planes(in_[2], ci_, pad_[2], out_[2], group_ + kernel_[1] - 1, pairs_);
    const int64_t filter_floats = scratch_elements({planes.parts, kernel_[0], kernel_[1], planes.blocks, planes.slots, lanes_});
    Scratch<float> filters(scratch_elements({out_blocks_, filter_floats}));
    pack_winograd_filter({job_.filter, ci_, co_, job_.filter_in, job_.filter_out, job_.transposed},
                         {kernel_[0] * kernel_[1], planes.parts, planes.blocks * planes.slots, out_blocks_, lanes_,
                          lanes_of(out_blocks_ - 1), filter_floats},
                         filters.get());

    const int threads = thread_count();
    const int y_blocks = (out_[1] + group_ - 1) / group_;
    // Each block of planes packs some planes of its neighbours: as few blocks as keep the threads busy.
    const int64_t columns = static_cast<int64_t>(job_.batch) * y_blocks;
    int z_blocks = static_cast<int>((8 * threads + columns - 1) / columns);
    const int most_z_blocks = (out_[0] + 3) / 4;
    z_blocks = z_blocks > most_z_blocks ? most_z_blocks : z_blocks;
    const int planes_of_block = (out_[0] + z_blocks - 1) / z_blocks;

    const int64_t most_rows = scratch_elements({kernel_[0], kernel_[1], planes.blocks});
    Scratch<float> packed(scratch_elements({threads, kernel_[0], planes.plane_floats}));
    Scratch<int> tags(scratch_elements({threads, kernel_[0]}));
    Scratch<WinogradRow> lists(scratch_elements({threads, planes.parts, most_rows}));
    const int64_t line = norm_.is_there() ? scratch_elements({in_[2], ci_}) : 0;
    Scratch<float> lines(scratch_elements({threads, line}));

    parallel(columns * z_blocks, [&](int64_t task, int thread) {
      const int sample = static_cast<int>(task / y_blocks / z_blocks);
      const int y = static_cast<int>(task % y_blocks) * group_;
      const int rows = out_[1] - y < group_ ? out_[1] - y : group_;
      const int z = static_cast<int>(task / y_blocks % z_blocks) * planes_of_block;
      const int z_end = out_[0] - z < planes_of_block ? out_[0] : z + planes_of_block;
      Group group{planes,
                  sample,
                  y,
                  rows,
                  packed.get() + thread * kernel_[0] * planes.plane_floats,
                  tags.get() + static_cast<int64_t>(thread) * kernel_[0],
                  lists.get() + thread * planes.parts * most_rows,
                  most_rows,
                  lines.get() + thread * line};
      for (int i = 0; i < kernel_[0]; i++) group.tags[i] = -1;
      for (int at = z; at < z_end; at++) plane(group, at, filters.get(), filter_floats);
      if constexpr (A::kPairs) {
        if (stream_) A::finish_stream();
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
    WinogradRow* lists;  // of each part
    int64_t most_rows;   // of a list
    float* line;         // a normalised row, before it is packed
  };

  // What all tiles of a group share, for one block of output channels.
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

  // Whether registers of T tiles each cover a row of them with little waste. Otherwise they go from one row's end on to the
  // next row.
  bool covers(int T) const { return tiles_ >= T && (tiles_ + T - 1) / T * T * 10 <= tiles_ * 11; }

  // As many rows as cost least: full registers of tiles against input rows that two groups both pack.
  int rows_of_group() const {
    int T = lanes_ > A::V ? A::kTile2 : A::kTile1;
    if constexpr (A::kPairs) T = by_rows_ ? A::kTilePairsOfRows : pairs_ ? A::kTilePairs : T;
    const int64_t slots_in = ci_ == 1 ? 1 : (ci_ + 7) / 8 * 8;
    const int64_t held_of_row = kernel_[0] * static_cast<int64_t>(tiles_) * kWinogradPoints * slots_in;
    const int64_t registers = pairs_ ? 2 : kWinogradPoints * ((co_ + A::V - 1) / A::V);
    int best = 1;
    double least = 0;
    for (int rows = 1; rows <= kMostRowsOfWinogradGroup && rows <= out_[1]; rows++) {
      if (rows > 1 && (rows + kernel_[1] - 1) * held_of_row > kWinogradPlanesFloats) break;
      const int64_t groups = (out_[1] + rows - 1) / rows;
      const int64_t count = static_cast<int64_t>(rows) * tiles_;
      int64_t covered = count >= T ? (count + T - 1) / T * T : (count + 3) / 4 * 4;
      if (covers(T)) covered = static_cast<int64_t>(rows) * ((tiles_ + T - 1) / T * T);
      const double products = static_cast<double>(covered) * registers * kernel_[0] * kernel_[1] * ci_;
      const double packing = 1.25 * (rows + kernel_[1] - 1) * tiles_ * ci_;
      const double cost = groups * (products + packing);
      if (rows == 1 || cost < least) best = rows, least = cost;
    }
    return best;
  }

  // Registers and lanes of a block of output channels: the last one may be satisfied with less.
  int registers_of(int block) const { return co_ - block * lanes_ > A::V ? 2 : 1; }
  int lanes_of(int block) const { return registers_of(block) * A::V; }

  // The group's rows of output plane z.
  void plane(Group& group, int z, const float* filters, int64_t filter_floats) const {
    const WinogradPlanes<A>& planes = group.planes;
    int first = pad_[0] - z, last = in_[0] + pad_[0] - z;  // taps [first, last) see a plane
    first = first < 0 ? 0 : first;
    last = last > kernel_[0] ? kernel_[0] : last;
    for (int kd = first; kd < last; kd++) pack_plane(group, z - pad_[0] + kd);
    float* y = job_.y + ((static_cast<int64_t>(group.sample) * out_[0] + z) * out_[1] + group.y) * out_[2] * co_;
    for (int block = 0; block < out_blocks_; block++) {
      const int64_t per_tap = static_cast<int64_t>(planes.slots) * lanes_of(block);
      int count = 0;
      for (int part = 0; part < planes.parts; part++)
        count = list_rows(group, z, first, last, part, filters + block * filter_floats, per_tap);
      const int left = co_ - block * lanes_;
      const Outputs outputs{group.lists,
                            group.most_rows,
                            count,
                            y + block * lanes_,
                            left < lanes_ ? left : lanes_,
                            planes.row_floats,
                            planes.blocks * per_tap,
                            block == 0 ? next_plane(group, z) : nullptr};
      if (planes.slots == 1)
        tiles_of_group<1>(group.rows, registers_of(block), outputs);
      else
        tiles_of_group<8>(group.rows, registers_of(block), outputs);
    }
  }

  // What a part's tiles of output plane z see through taps [first, last) along z; how many there are.
  int list_rows(const Group& group, int z, int first, int last, int part, const float* filters, int64_t per_tap) const {
    const WinogradPlanes<A>& planes = group.planes;
    WinogradRow* to = group.lists + part * group.most_rows;
    int count = 0;
    for (int kd = first; kd < last; kd++) {
      const float* x = group.packed + (z - pad_[0] + kd) % kernel_[0] * planes.plane_floats + part * planes.part_floats;
      const float* w = filters + (static_cast<int64_t>(part) * kernel_[0] + kd) * kernel_[1] * planes.blocks * per_tap;
      // Tiles of several rows find the other rows of taps themselves.
      for (int kh = 0; kh < (by_rows_ ? 1 : kernel_[1]); kh++)
        for (int i = 0; i < planes.blocks; i++)
          to[count++] = WinogradRow{x + i * planes.block_floats + kh * planes.row_floats,
                                    w + (static_cast<int64_t>(kh) * planes.blocks + i) * per_tap, planes.channels_of(i)};
    }
    return count;
  }

  const float* input_row(int sample, int z, int y) const {
    return job_.x + ((static_cast<int64_t>(sample) * in_[0] + z) * in_[1] + y) * in_[2] * ci_;
  }

  void pack_plane(Group& group, int z) const {
    const int place = z % kernel_[0];
    if (group.tags[place] == z) return;
    group.tags[place] = z;
    for (int row = 0; row < group.rows + kernel_[1] - 1; row++) {
      const int y = group.y - pad_[1] + row;
      const float* from = y < 0 || y >= in_[1] ? nullptr : input_row(group.sample, z, y);
      if (norm_.is_there() && from != nullptr) {
        norm_.apply(group.sample, from, static_cast<int64_t>(in_[2]) * ci_, group.line);
        from = group.line;
      }
      group.planes.pack(from, row, group.packed + place * group.planes.plane_floats);
    }
  }

  // Of the plane that the next output plane sees for the first time.
  const float* next_plane(const Group& group, int z) const {
    const int next = z + kernel_[0] - pad_[0];
    const int y = group.y - pad_[1] + kernel_[1] / 2;
    const bool inside = z + 1 < out_[0] && next >= 0 && next < in_[0] && y >= 0 && y + group.rows <= in_[1];
    return inside ? input_row(group.sample, next, y) : nullptr;
  }

  // To the second-level cache.
  static void fetch(const float* from, int64_t floats) {
    for (const float* end = from + floats; from < end; from += 16) __builtin_prefetch(from, 0, 2);
  }

  // Asks for what tiles from `at` on will need: inputs of the plane that is packed next, and the residual at their own end.
  void fetch_ahead(const Outputs& outputs, int64_t at, int tiles) const {
    const int64_t row = at / tiles_, x = at % tiles_ * 2;
    if (outputs.ahead != nullptr) fetch(outputs.ahead + (row * in_[2] + x) * ci_, static_cast<int64_t>(tiles) * 2 * ci_);
    if (job_.residual == nullptr) return;
    const float* from = job_.residual + (outputs.y - job_.y) + (row * out_[2] + x) * co_;
    if (out_blocks_ == 1) return fetch(from, static_cast<int64_t>(tiles) * 2 * co_);
    for (int voxel = 0; voxel < 2 * tiles; voxel++) fetch(from + static_cast<int64_t>(voxel) * co_, outputs.channels);
  }

  template <int S>
  void tiles_of_group(int rows, int registers, const Outputs& outputs) const {
    if constexpr (A::kPairs) {
      if (by_rows_) return cover_by_rows<S>(rows, outputs);
      if (pairs_) return cover<true, S, A::kTilePairs, 1>(rows, outputs);
    }
    if (registers == 2) return cover<false, S, A::kTile2, 2>(rows, outputs);
    cover<false, S, A::kTile1, 1>(rows, outputs);
  }

  // Covers the group's tiles by T; the last ones are moved back over what is already done rather than cut.
  template <bool kPairs, int S, int T, int B>
  void cover(int rows, const Outputs& outputs) const {
    const int64_t count = static_cast<int64_t>(rows) * tiles_;
    if (covers(T)) {
      // The rows of a group share most of their inputs, which stay in the first cache.
      for (int t = 0; t < tiles_; t += T)
        for (int row = 0; row < rows; row++)
          tile<kPairs, S, T, B>(outputs, row * static_cast<int64_t>(tiles_) + (t + T <= tiles_ ? t : tiles_ - T));
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
    for (int j = 0; j < R; j++) fetch_ahead(outputs, at + static_cast<int64_t>(j) * tiles_, T);
    for (int part = 0; part < 2; part++)
      winograd_products_of_rows<A, S, T, R>(outputs.lists + part * outputs.most_rows, outputs.row_count, at, outputs.row_floats,
                                            outputs.filter_row_floats, sums + part * kFloats);
    const int64_t row = at / tiles_;
    const int t = static_cast<int>(at % tiles_);
    for (int j = 0; j < R; j++) {
      float* y = outputs.y + ((row + j) * out_[2] + 2 * t) * co_;
      for (int i = 0; i < T; i++, y += 2 * co_)
        store_pair(sums + (j * T + i) * A::V, kFloats, outputs.channels, 2 * (t + i) + 1 < out_[2], y);
    }
  }

  template <bool kPairs, int S, int T, int B>
  void tile(const Outputs& outputs, int64_t at) const {
    constexpr int kFloats = T * B * A::V;
    constexpr int kParts = kPairs ? 2 : kWinogradPoints;
    alignas(64) float sums[kParts * kFloats];
    fetch_ahead(outputs, at, T);
    for (int part = 0; part < kParts; part++)
      winograd_products<A, kPairs, S, T, B>(outputs.lists + part * outputs.most_rows, outputs.row_count, at, sums + part * kFloats);
    int64_t row = at / tiles_;
    int t = static_cast<int>(at % tiles_);
    for (int i = 0; i < T; i++) {
      float* y = outputs.y + (row * out_[2] + 2 * t) * co_;
      const bool second = 2 * t + 1 < out_[2];
      if constexpr (kPairs)
        store_pair(sums + i * A::V, kFloats, outputs.channels, second, y);
      else
        store_points<B>(sums + i * B * A::V, kFloats, outputs.channels, second, y);
      if (++t == tiles_) t = 0, row++;
    }
  }

  // The two voxels at y from a tile's four sums, `part_floats` apart.
  template <int B>
  void store_points(const float* sums, int part_floats, int channels, bool second, float* y) const {
    for (int b = 0; b < B && b * A::V < channels; b++, sums += A::V, y += A::V) {
      const auto m1 = A::load(sums + part_floats), m2 = A::load(sums + 2 * part_floats);
      const auto mask = A::first(channels - b * A::V);
      put(mask, A::add(A::add(A::load(sums), m1), m2), y);
      if (second) put(mask, A::add(A::load(sums + 3 * part_floats), A::sub(m1, m2)), y + co_);
    }
  }

  // The same from pairs {m0, m3} and {m1, m2}.
  void store_pair(const float* sums, int part_floats, int channels, bool second, float* y) const {
    auto both = A::deinterleave(A::add(A::load(sums), A::sums_and_differences(A::load(sums + part_floats))));
    if (co_ == 8 && second) {
      if (job_.residual != nullptr) both = A::add(both, A::load(job_.residual + (y - job_.y)));
      if (stream_)
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
    if (job_.residual != nullptr) value = A::add(value, A::load(mask, job_.residual + (y - job_.y)));
    A::store(mask, y, value);
  }

  // Only where registers fill whole lines of memory.
  bool streams() const {
    return pairs_ && co_ == 8 && out_[2] % 2 == 0 &&
           streams_past_caches(job_.y, static_cast<int64_t>(job_.batch) * out_[0] * out_[1] * out_[2] * co_);
  }

  const WinogradJob job_;
  const int ci_, co_;
  const int* const in_;
  const int* const out_;
  const int* const kernel_;
  const InputNorm<A> norm_;
  const int tiles_;  // of a row
  const bool pairs_;
  const int lanes_;  // of a block of output channels, but the last
  const int out_blocks_;
  const bool stream_;
  int pad_[3];
  bool by_rows_ = false;
  int group_;
};

// Below this a tile costs more products than the taps that lie inside the row.
constexpr int kShortestWinogradRow = 4;

static inline bool suits_winograd(const Conv3dShape& s) {
  return s.kernel[2] == 3 && s.stride[0] == 1 && s.stride[1] == 1 && s.stride[2] == 1 && s.out[2] >= kShortestWinogradRow &&
         s.in[2] >= kShortestWinogradRow;
}

template <class A>
static void winograd_forward(const Conv3dForward& a) {
  const Conv3dShape& s = a.shape;
  WinogradConvolution<A>({s.batch, s.in, s.out, s.kernel, s.pad, false, s.ci, s.co, a.x, a.filter, s.co, 1, a.y, a.norm, a.residual})
      .run();
}

template <class A>
static void winograd_input_gradient(const Conv3dInputGradient& a) {
  const Conv3dShape& s = a.shape;
  WinogradConvolution<A>({s.batch, s.out, s.in, s.kernel, s.pad, true, s.co, s.ci, a.dy, a.filter, 1, s.co, a.dx, nullptr, nullptr})
      .run();
}

}  // namespace
}  // namespace ctflow
