// The filter gradient with bfloat16 products. A pair is two neighbouring voxels of a row, since the sum runs over voxels.
//
// One tensor's rows are taken in turn ("main"), those of the other ("other") are seen through the taps (kd, kh), nine at
// most: they are packed once and kept while neighbours see them. With three taps along x and stride 1 the main rows are
// x's, pairs {x[2 p], x[2 p + 1]}, and the others dy's, {dy[j], dy[j + 1]} for every j, so that a broadcast of x serves
// three taps; else the main rows are dy's pairs and the others x's, {x[j], x[j + stride]}. Zeros around a packed row stand
// for what lies outside the volume.
//
// Sums: as in filter-gradient.h. Neither the tasks' cut nor the number of threads changes their order.
#pragma once

#include "kernels/conv3d/axis.h"
#include "kernels/conv3d/bfloat16-pairs.h"
#include "kernels/conv3d/partial-sums.h"

namespace ctflow {
namespace {

// Packed rows of the other tensor that a thread keeps: most of a second-level cache.
constexpr int64_t kOtherFloats = 3 << 16;

template <class A>
class Bfloat16FilterGradient {
 public:
  explicit Bfloat16FilterGradient(const Conv3dFilterGradient& a)
      : a_(a), s_(a.shape), norm_(a.norm, a.shape.batch, a.shape.ci), by_taps_(s_.kernel[2] == 3 && s_.stride[2] == 1),
        by_eight_(by_taps_ && s_.co == 8) {
    for (int i = 0; i < 2; i++)
      axes_[i] = by_taps_ ? Axis{s_.in[i], s_.out[i], s_.kernel[i], s_.stride[i], s_.pad[i], true}
                          : Axis{s_.out[i], s_.in[i], s_.kernel[i], s_.stride[i], s_.pad[i], false};
    const int width = by_taps_ ? s_.in[2] : s_.out[2];
    pairs_ = (width + 1) / 2;
    dy_lanes_ = by_eight_ ? 8 : (s_.co + A::V - 1) / A::V * A::V;
    other_count_ = by_taps_ ? 2 * pairs_ + 1 : 2 * s_.stride[2] * (pairs_ - 1) + s_.kernel[2];

    taps_ = static_cast<int64_t>(s_.kernel[0]) * s_.kernel[1] * s_.kernel[2];
    size_ = taps_ * s_.ci * s_.co;
    rows_ = static_cast<int64_t>(s_.batch) * axes_[0].outputs * axes_[1].outputs;
    chunks_ = chunks_of(rows_ * width, size_, rows_);
    // By eight, one row is met by many others: it stays in the first cache when it goes alone.
    segment_ = (by_eight_ ? kVoxelsInRegisters / 2 : kVoxelsInRegisters) / width;
    segment_ = segment_ < 1 ? 1 : segment_;
  }

  void run() {
    constexpr int C = A::kGradientChannels;
    const int threads = thread_count();
    // Channels of x are cut further where the chunks alone do not keep the threads busy: their sums do not meet.
    const int blocks = (s_.ci + C - 1) / C;
    int groups = 1;
    while (groups < blocks && chunks_ * groups < 4 * threads) groups++;
    const int of_group = (blocks + groups - 1) / groups * C;
    groups = (s_.ci + of_group - 1) / of_group;
    choose_planes();

    const int64_t main_floats = main_row_floats(of_group) * segment_;
    const int64_t other_floats = other_row_floats(of_group);
    const int64_t held = static_cast<int64_t>(held_planes_) * held_lines_;
    const int64_t of_thread = main_floats + other_floats * (held + 1);
    Scratch<float> partial(chunks_ * size_);
    Scratch<float> packed(of_thread * threads);
    Scratch<int64_t> tags(held * threads);
    Scratch<RowTriple> lists(static_cast<int64_t>(threads) * segment_);
    const int64_t line = norm_.is_there() ? scratch_elements({s_.in[2], s_.ci}) : 0;
    Scratch<float> lines(scratch_elements({threads, line}));

    parallel(chunks_ * groups, [&](int64_t task, int thread) {
      const int64_t chunk = task / groups;
      Task t;
      t.first = static_cast<int>(task % groups) * of_group;
      t.channels = s_.ci - t.first < of_group ? s_.ci - t.first : of_group;
      t.to = partial.get() + chunk * size_;
      t.main = packed.get() + of_thread * thread;
      t.zeros = t.main + main_floats;
      t.other = t.zeros + other_floats;
      t.tags = tags.get() + held * thread;
      t.list = lists.get() + static_cast<int64_t>(thread) * segment_;
      t.line = lines.get() + thread * line;
      for (int64_t i = 0; i < held; i++) t.tags[i] = -1;
      for (int64_t i = 0; i < other_floats; i++) t.zeros[i] = 0;
      for (int64_t tap = 0; tap < taps_; tap++)
        std::memset(t.to + (tap * s_.ci + t.first) * s_.co, 0, sizeof(float) * t.channels * s_.co);
      const int64_t end = rows_ * (chunk + 1) / chunks_;
      for (int64_t row = rows_ * chunk / chunks_; row < end;) row = segment(t, row, end);
    });

    sum_chunks(partial.get(), chunks_, size_, a_.dfilter);
  }

 private:
  // What one thread works with.
  struct Task {
    int first;     // of the input channels
    int channels;
    float* to;
    float* main;   // packed main rows of a segment
    float* zeros;  // a packed row of the other tensor outside the volume
    float* other;
    int64_t* tags;
    RowTriple* list;
    float* line;  // a normalised row of x, before it is packed
    const float* ahead;  // read with each pair of the next tile, to have it in a cache
    int64_t ahead_step;
  };

  struct Place {
    int64_t sample;
    int y, z;
    int64_t left;  // rows to the end of its block of planes, itself included
  };

  // Main rows in their order: blocks of `planes_` planes, in each the rows by y, then z.
  Place place(int64_t row) const {
    const int64_t depth = axes_[0].outputs;
    const int64_t height = axes_[1].outputs;
    const int64_t of_sample = depth * height;
    const int64_t in_sample = row % of_sample;
    const int64_t block = in_sample / (planes_ * height);
    const int64_t planes = (block + 1) * planes_ < depth ? planes_ : depth - block * planes_;
    const int64_t in_block = in_sample - block * planes_ * height;
    return Place{row / of_sample, static_cast<int>(in_block / planes), static_cast<int>(block * planes_ + in_block % planes),
                 planes * height - in_block};
  }

  int64_t main_row_floats(int channels) const {
    return static_cast<int64_t>(pairs_) * (by_taps_ ? channels : dy_lanes_) + A::V;
  }
  int64_t other_row_floats(int channels) const {
    return static_cast<int64_t>(other_count_) * (by_taps_ ? dy_lanes_ : channels) + A::V;
  }

  // As many planes side by side as the cache has room for: rows of planes that follow each other share most others. By
  // shape alone, since the order of the rows follows from it.
  void choose_planes() {
    const int depth = axes_[0].outputs;
    for (int blocks = 1;; blocks++) {
      planes_ = (depth + blocks - 1) / blocks;
      const int fewest = depth - (depth - 1) / planes_ * planes_;
      held_planes_ = axes_[0].seen_by(planes_);
      held_lines_ = axes_[1].seen_by((segment_ - 1 + fewest - 1) / fewest + 1);
      if (planes_ == 1 || static_cast<int64_t>(held_planes_) * held_lines_ * other_row_floats(s_.ci) <= kOtherFloats) return;
    }
  }

  // Rows [row, ...) as far as a segment goes, for all channels of the task; gives the next row.
  int64_t segment(Task& t, int64_t row, int64_t end) const {
    int64_t n = segment_;
    const int64_t left = place(row).left;
    n = n < left ? n : left;
    n = n < end - row ? n : end - row;
    const int64_t main_floats = main_row_floats(t.channels);
    for (int64_t i = 0; i < n; i++) pack_main(t, place(row + i), t.main + i * main_floats);

    const int planes = s_.kernel[0] * s_.kernel[1];
    for (int p = 0; p < planes; p += by_eight_ ? 2 : 1) {
      t.ahead = t.main;
      t.ahead_step = 0;
      if (row + 2 * n <= end) fetch_ahead(t, row + n, n, p);
      int found = 0;
      for (int64_t i = 0; i < n; i++) {
        const Place at = place(row + i);
        const float* main = t.main + i * main_floats;
        const float* a = other_row(t, at, p);
        const float* b = by_eight_ && p + 1 < planes ? other_row(t, at, p + 1) : nullptr;
        if (a == nullptr && b == nullptr) continue;
        t.list[found++] = RowTriple{main, a == nullptr ? t.zeros : a, b == nullptr ? t.zeros : b};
      }
      if (found == 0) continue;
      for (int c = 0; c < t.channels;) {
        const int more = t.channels - c;
        if (more >= 8)
          tiles<8>(t, found, p, c), c += 8;
        else if (more >= 4)
          tiles<4>(t, found, p, c), c += 4;
        else if (more >= 2)
          tiles<2>(t, found, p, c), c += 2;
        else
          tiles<1>(t, found, p, c), c += 1;
      }
    }
    return row + n;
  }

  // Channels [c, c + C) of the task through the taps of plane p, all output channels.
  template <int C>
  void tiles(const Task& t, int found, int p, int c) const {
    const int64_t of_channel = s_.co;
    const int64_t of_tap = static_cast<int64_t>(s_.ci) * s_.co;
    float* to = t.to + p * s_.kernel[2] * of_tap + (t.first + c) * of_channel;
    constexpr int kAtOnce = 64;
    if (by_eight_) {
      RowTriple rows[kAtOnce];
      float nowhere[3 * C * 8];
      float* to_b = to + 3 * of_tap;
      // The last plane has no partner; the partner's sums are sums of zeros.
      const bool alone = p + 1 == s_.kernel[0] * s_.kernel[1];
      if (alone) std::memset(nowhere, 0, sizeof nowhere);
      for (int at = 0; at < found; at += kAtOnce) {
        const int some = found - at < kAtOnce ? found - at : kAtOnce;
        for (int i = 0; i < some; i++) rows[i] = RowTriple{t.list[at + i].x + c, t.list[at + i].a, t.list[at + i].b};
        if (alone) {
          float sums[3 * C * 8];
          std::memset(sums, 0, sizeof sums);
          gradient_tile_of_pairs_8<A, C>(rows, some, pairs_, t.channels, sums, nowhere, C * 8, 8, t.ahead, t.ahead_step);
          for (int k = 0; k < 3; k++)
            for (int i = 0; i < C * 8; i++) to[k * of_tap + i] += sums[k * C * 8 + i];
        } else {
          gradient_tile_of_pairs_8<A, C>(rows, some, pairs_, t.channels, to, to_b, of_tap, of_channel, t.ahead, t.ahead_step);
        }
      }
      return;
    }
    RowPair rows[kAtOnce];
    for (int at = 0; at < found; at += kAtOnce) {
      const int some = found - at < kAtOnce ? found - at : kAtOnce;
      for (int o = 0; o < s_.co; o += A::V) {
        const auto mask = A::first(s_.co - o);
        if (by_taps_) {
          for (int i = 0; i < some; i++) rows[i] = RowPair{t.list[at + i].x + c, t.list[at + i].a + o};
          gradient_tile_of_pairs<A, C>(rows, some, pairs_, t.channels, dy_lanes_, mask, to + o, of_tap, of_channel);
          continue;
        }
        const int64_t step = static_cast<int64_t>(2) * s_.stride[2] * t.channels;
        for (int k = 0; k < s_.kernel[2]; k += s_.kernel[2] == 3 ? 3 : 1) {
          for (int i = 0; i < some; i++)
            rows[i] = RowPair{t.list[at + i].a + c + static_cast<int64_t>(k) * t.channels, t.list[at + i].x + o};
          if (s_.kernel[2] == 3)
            gradient_tile<A, C, 3>(rows, some, pairs_, step, t.channels, dy_lanes_, mask, to + o, of_tap, of_channel);
          else
            gradient_tile<A, C, 1>(rows, some, pairs_, step, t.channels, dy_lanes_, mask, to + k * of_tap + o, of_tap, of_channel);
        }
      }
    }
  }

  void pack_main(const Task& t, const Place& at, float* to) const {
    if (by_taps_)
      pack_pairs_of_row<A>({seen_row(t, at.sample, at.z, at.y) + t.first, s_.in[2], s_.ci, t.channels, 0, 2, 1, pairs_, t.channels}, to);
    else
      pack_pairs_of_row<A>({dy_row(at.sample, at.z, at.y), s_.out[2], s_.co, s_.co, 0, 2, 1, pairs_, dy_lanes_}, to);
  }

  // The packed row that meets a main row through the taps of plane p; null outside the volume.
  const float* other_row(const Task& t, const Place& at, int p) const {
    const int z = axes_[0].input(at.z, p / s_.kernel[1]);
    const int y = axes_[1].input(at.y, p % s_.kernel[1]);
    if (z < 0 || y < 0) return nullptr;
    const int place = z % held_planes_ * held_lines_ + y % held_lines_;
    float* to = t.other + place * other_row_floats(t.channels);
    const int64_t tag = (at.sample * axes_[0].inputs + z) * axes_[1].inputs + y;
    if (t.tags[place] == tag) return to;
    t.tags[place] = tag;
    if (by_taps_)
      pack_pairs_of_row<A>({dy_row(at.sample, z, y), s_.out[2], s_.co, s_.co, s_.pad[2] - 2, 1, 1, other_count_, dy_lanes_}, to);
    else
      pack_pairs_of_row<A>({seen_row(t, at.sample, z, y) + t.first, s_.in[2], s_.ci, t.channels, -s_.pad[2], 1, s_.stride[2],
                            other_count_, t.channels}, to);
    return to;
  }

  // Asks for what the next segment packs first, a part with each plane of taps, so that it will not wait for memory: many
  // requests at once would themselves wait. By eight, a tile asks piece by piece: the first for x, the second for dy.
  void fetch_ahead(Task& t, int64_t row, int64_t n, int p) const {
    const int planes = s_.kernel[0] * s_.kernel[1];
    for (int64_t i = row; i < row + n; i++) {
      const Place at = place(i);
      const int z = axes_[0].input(at.z, by_taps_ ? 0 : s_.kernel[0] - 1);
      const int y = axes_[1].input(at.y, by_taps_ ? 0 : s_.kernel[1] - 1);
      const float* main = by_taps_ ? x_row(at.sample, at.z, at.y) : dy_row(at.sample, at.z, at.y);
      const float* other = z < 0 || y < 0 ? nullptr : by_taps_ ? dy_row(at.sample, z, y) : x_row(at.sample, z, y);
      if (by_eight_) {
        if (i > row || p > 2 || (p == 2 && other == nullptr)) return;
        t.ahead = p == 0 ? main : other;
        t.ahead_step = p == 0 ? 2 * s_.ci : 16;
        continue;
      }
      fetch_part(main, by_taps_ ? s_.in[2] * s_.ci : s_.out[2] * s_.co, p, planes);
      if (other != nullptr) fetch_part(other, by_taps_ ? s_.out[2] * s_.co : s_.in[2] * s_.ci, p, planes);
    }
  }
  static void fetch_part(const float* row, int64_t floats, int p, int planes) {
    for (int64_t i = floats * p / planes; i < floats * (p + 1) / planes; i += 16) __builtin_prefetch(row + i, 0, 2);
  }

  // The row of x as the convolution sees it, until the next one is asked for.
  const float* seen_row(const Task& t, int64_t sample, int z, int y) const {
    const float* row = x_row(sample, z, y);
    if (!norm_.is_there()) return row;
    norm_.apply(sample, row, static_cast<int64_t>(s_.in[2]) * s_.ci, t.line);
    return t.line;
  }
  const float* x_row(int64_t sample, int z, int y) const {
    return a_.x + ((sample * s_.in[0] + z) * s_.in[1] + y) * s_.in[2] * s_.ci;
  }
  const float* dy_row(int64_t sample, int z, int y) const {
    return a_.dy + ((sample * s_.out[0] + z) * s_.out[1] + y) * s_.out[2] * s_.co;
  }

  const Conv3dFilterGradient& a_;
  const Conv3dShape& s_;
  const InputNorm<typename A::Float32> norm_;
  const bool by_taps_;   // main rows are x's
  const bool by_eight_;  // and eight output channels share a register with another tap
  Axis axes_[2];         // D and H: main rows see others
  int pairs_;            // of a packed main row
  int other_count_;      // of a packed other row
  int dy_lanes_;
  int64_t taps_, size_, rows_, chunks_;
  int segment_;
  int planes_ = 1;
  int held_planes_ = 1;
  int held_lines_ = 1;
};

}  // namespace
}  // namespace ctflow
