// The convolution and its input gradient of any shape, row by row: both say for each output position which inputs it sees
// through which taps, pack those input rows (blocks of channels, zeros at the ends) and hand them to the tiles. In float32
// for what has no kernel of its own (winograd.h, pointwise.h, input-gradient-stride-2.h), in bfloat16 for all.
#pragma once

#include "kernels/conv3d/axis.h"
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/float-slots.h"
#include "kernels/conv3d/input-norm.h"
#include "kernels/conv3d/streaming.h"
#include "kernels/conv3d/tiles.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// The outputs of a row that see the same taps at the same places: all of them going forward; every stride-th, from
// `start`, going back.
struct RowClass {
  int start;
  int step;
  int count;
  int taps;
  int first_tap;  // index into the lists of taps and offsets
  bool fused;     // three taps side by side
};

struct Block {
  int channel;    // first output channel
  int registers;  // 1 or 2
  int64_t lanes;  // of the blocks before this one
};

// Output rows that are computed side by side.
constexpr int kMostRowsOfGroup = 8;
// Packed rows of one thread: half of a second-level cache.
constexpr int64_t kPackedFloats = 1 << 18;

template <class A, class Slots = FloatSlots>
class RowConvolution {
 public:
  // `filter_out` and `filter_in` are the steps, in floats, from one output or input channel to the next in the filter
  // (taps, ci, co): the input gradient swaps them.
  RowConvolution(int batch, const Axis axes[3], int channels_in, int channels_out, const float* x, const float* filter,
                 int64_t filter_in, int64_t filter_out, float* y, const float* norm = nullptr, const float* residual = nullptr)
      : batch_(batch), d_(axes[0]), h_(axes[1]), w_(axes[2]), ci_(channels_in), co_(channels_out), x_(x), filter_(filter),
        filter_in_(filter_in), filter_out_(filter_out), y_(y),
        norm_(norm, batch, channels_in), residual_(residual),
        pairs_(A::kPairs && channels_out <= 8), slots_(Slots::slots_of_block(channels_in)),
        slots_in_((channels_in + Slots::kValues - 1) / Slots::kValues),
        lanes_(A::V), blocks_in_((slots_in_ + slots_ - 1) / slots_), sx_(w_.transposed ? 1 : w_.stride),
        classes_(w_.transposed ? w_.stride : 1), taps_(w_.kernel), offsets_(w_.kernel), class_filters_(classes_.count),
        blocks_((channels_out + A::V - 1) / A::V), stream_(streams()) {
    make_classes();
    make_blocks();
  }

  void run() {
    Scratch<float> filters(filters_size_);
    pack_filters(filters.get());

    const int threads = thread_count();
    // A group of rows goes through the planes; what a plane's outputs see is kept until the next plane has used it.
    const int window = d_.seen_by(1);
    const int64_t row_floats = static_cast<int64_t>(blocks_in_) * width_ * slots_ * (pairs_ ? 2 : 1);
    int group = kMostRowsOfGroup;
    while (group > 1 && row_floats > kPackedFloats / (window * h_.seen_by(group))) group /= 2;
    const int y_blocks = (h_.outputs + group - 1) / group;
    group = (h_.outputs + y_blocks - 1) / y_blocks;
    const int held = window * h_.seen_by(group);
    // Each block of planes packs some planes of its neighbours: as few blocks as keep the threads busy.
    const int64_t columns = static_cast<int64_t>(batch_) * y_blocks;
    int z_blocks = static_cast<int>((8 * threads + columns - 1) / columns);
    const int most_z_blocks = (d_.outputs + 3) / 4;
    z_blocks = z_blocks > most_z_blocks ? most_z_blocks : z_blocks;
    const int planes = (d_.outputs + z_blocks - 1) / z_blocks;

    const int64_t most = static_cast<int64_t>(d_.kernel) * h_.kernel * blocks_in_;
    Scratch<float> packed_rows(scratch_elements({threads, held, row_floats}));
    Scratch<int64_t> tags(scratch_elements({threads, held}));
    Scratch<RowTaps> lists(scratch_elements({threads, most, group}));
    const int64_t line = norm_.is_there() ? scratch_elements({w_.inputs, ci_}) : 0;
    Scratch<float> lines(scratch_elements({threads, line}));

    parallel(static_cast<int64_t>(batch_) * z_blocks * y_blocks, [&](int64_t task, int thread) {
      const int y_block = static_cast<int>(task % y_blocks);
      const int z_block = static_cast<int>(task / y_blocks % z_blocks);
      const int sample = static_cast<int>(task / y_blocks / z_blocks);
      Cache cache{packed_rows.get() + static_cast<int64_t>(thread) * held * row_floats, tags.get() + static_cast<int64_t>(thread) * held,
                  row_floats, window, held / window, lines.get() + thread * line};
      for (int i = 0; i < held; i++) cache.tags[i] = -1;
      RowTaps* list = lists.get() + static_cast<int64_t>(thread) * most * group;
      const int y = y_block * group;
      const int y_end = y + group < h_.outputs ? y + group : h_.outputs;
      const int z_end = (z_block + 1) * planes < d_.outputs ? (z_block + 1) * planes : d_.outputs;
      for (int z = z_block * planes; z < z_end; z++) rows_of_group(sample, z, y, y_end, filters.get(), cache, list);
      if constexpr (A::kPairs) {
        if (stream_) A::finish_stream();
      }
    });
  }

 private:
  template <class T>
  struct Array : Scratch<T> {
    explicit Array(int n) : Scratch<T>(n), count(n) {}
    int count;
  };

  // Packed input rows of one thread. A row has one place; neighbouring rows never share it.
  struct Cache {
    float* rows;
    int64_t* tags;
    int64_t row_floats;
    int planes;
    int rows_of_plane;
    float* line;  // a normalised row, before it is packed
  };

  void make_classes() {
    int tap_count = 0;
    int longest = 0;
    first_ = 1 << 30;
    int last = -(1 << 30);
    for (int c = 0; c < classes_.count; c++) {
      RowClass& k = classes_[c];
      k.start = c;
      k.step = classes_.count;
      k.count = c < w_.outputs ? (w_.outputs - c + k.step - 1) / k.step : 0;
      k.first_tap = tap_count;
      // Ascending places of the input: with the tap going forward, against it going back.
      for (int i = 0; i < w_.kernel; i++) {
        const int tap = w_.transposed ? w_.kernel - 1 - i : i;
        const int scaled = w_.transposed ? c + w_.pad - tap : tap - w_.pad;
        if (w_.transposed && scaled % w_.stride != 0) continue;
        const int offset = w_.transposed ? scaled / w_.stride : scaled;
        taps_[tap_count] = tap;
        offsets_[tap_count] = offset;
        tap_count++;
        if (offset < first_) first_ = offset;
        if (offset > last) last = offset;
      }
      k.taps = tap_count - k.first_tap;
      // Where one float32 lies in a slot, Winograd's filtering serves such rows unless they are very short.
      k.fused = Slots::kValues == 2 && k.taps == 3 && sx_ == 1 && offsets_[k.first_tap + 2] - offsets_[k.first_tap] == 2 && co_ <= 1 * A::V;
      if (k.count > longest) longest = k.count;
    }
    if (first_ > last) first_ = last = 0;
    const int even = (longest + 1) / 2 * 2;
    width_ = (even - 1) * sx_ + last - first_ + 1;
    // Offsets become places in a packed row.
    for (int i = 0; i < tap_count; i++) offsets_[i] = (offsets_[i] - first_) * slots_ * (pairs_ ? 2 : 1);
  }

  void make_blocks() {
    block_count_ = 0;
    int64_t lanes = 0;
    for (int channel = 0; channel < co_;) {
      const int registers = co_ - channel > lanes_ ? 2 : 1;
      blocks_[block_count_++] = Block{channel, registers, lanes};
      lanes += static_cast<int64_t>(registers) * lanes_;
      channel += registers * lanes_;
    }
    filters_size_ = 0;
    for (int c = 0; c < classes_.count; c++) {
      class_filters_[c] = filters_size_;
      filters_size_ += lanes * d_.kernel * h_.kernel * blocks_in_ * classes_[c].taps * slots_;
    }
  }

  // [class][block of outputs][kd][kh][block of inputs][tap along x][slot][lane]
  void pack_filters(float* to) const {
    for (int c = 0; c < classes_.count; c++)
      for (int b = 0; b < block_count_; b++)
        for (int plane = 0; plane < d_.kernel * h_.kernel; plane++)
          for (int block = 0; block < blocks_in_; block++)
            for (int k = 0; k < classes_[c].taps; k++) {
              const int64_t tap = static_cast<int64_t>(plane) * w_.kernel + taps_[classes_[c].first_tap + k];
              for (int slot = 0; slot < slots_; slot++)
                for (int lane = 0; lane < blocks_[b].registers * lanes_; lane++) {
                  const int in = (block * slots_ + slot) * Slots::kValues;
                  const int out = blocks_[b].channel + (pairs_ ? lane / 2 : lane);
                  *to++ = Slots::slot(weight(tap, in, out), weight(tap, in + 1, out));
                }
            }
  }

  float weight(int64_t tap, int in, int out) const {
    return in < ci_ && out < co_ ? filter_[tap * ci_ * co_ + in * filter_in_ + out * filter_out_] : 0.0f;
  }

  // Output rows [begin, end) of plane z.
  void rows_of_group(int sample, int z, int begin, int end, const float* packed_filters, Cache& cache,
                     RowTaps* lists) const {
    RowJob jobs[kMostRowsOfGroup];
    const int64_t most = static_cast<int64_t>(d_.kernel) * h_.kernel * blocks_in_;
    for (int c = 0; c < classes_.count; c++) {
      const RowClass& k = classes_[c];
      if (k.count == 0) continue;
      for (int b = 0; b < block_count_; b++) {
        const Block& block = blocks_[b];
        const float* filters = packed_filters + class_filters_[c] +
                               block.lanes * d_.kernel * h_.kernel * blocks_in_ * k.taps * slots_;
        for (int y = begin; y < end; y++) jobs[y - begin] = job_of_row(sample, z, y, k, block, filters, cache, lists + (y - begin) * most);
        dispatch(jobs, end - begin, block.registers, k.fused);
      }
    }
  }

  RowJob job_of_row(int sample, int z, int y, const RowClass& k, const Block& block, const float* filters, Cache& cache,
                    RowTaps* list) const {
    const int64_t tap_block = static_cast<int64_t>(slots_) * lanes_ * block.registers;
    const int64_t per_row = blocks_in_ * k.taps * tap_block;
    int n = 0;
    for (int kd = 0; kd < d_.kernel; kd++) {
      const int iz = d_.input(z, kd);
      if (iz < 0) continue;
      for (int kh = 0; kh < h_.kernel; kh++) {
        const int iy = h_.input(y, kh);
        if (iy < 0) continue;
        const float* packed = packed_row(sample, iz, iy, cache);
        const float* filter = filters + (kd * h_.kernel + kh) * per_row;
        for (int i = 0; i < blocks_in_; i++)
          list[n++] = RowTaps{packed + static_cast<int64_t>(i) * width_ * slots_ * (pairs_ ? 2 : 1),
                              filter + i * k.taps * tap_block, slots_in_ - i * slots_ < slots_ ? slots_in_ - i * slots_ : slots_};
      }
    }
    const int64_t voxel = ((static_cast<int64_t>(sample) * d_.outputs + z) * h_.outputs + y) * w_.outputs + k.start;
    const int left = co_ - block.channel;
    return RowJob{list,
                  n,
                  k.taps,
                  offsets_.get() + k.first_tap,
                  y_ + voxel * co_ + block.channel,
                  residual_ == nullptr ? nullptr : residual_ + voxel * co_ + block.channel,
                  static_cast<int64_t>(k.step) * co_,
                  k.count,
                  left < block.registers * lanes_ ? left : block.registers * lanes_,
                  stream_,
                  n > 0 && block.channel == 0 && k.start == 0 ? ahead(sample, z, y, k.count, n) : Ahead{}};
  }

  // What the next plane's outputs see for the first time, beside the outputs of row y.
  Ahead ahead(int sample, int z, int y, int outputs, int job_rows) const {
    if (z + 1 >= d_.outputs) return Ahead{};
    const int planes = d_.transposed ? 1 : d_.stride, rows = h_.transposed ? 1 : h_.stride;
    const int iz = d_.input(z + 1, d_.transposed ? 0 : d_.kernel - 1) - (planes - 1);
    const int iy = h_.input(y, h_.kernel / 2);
    if (iz < 0 || iy < 0 || iy + rows > h_.inputs) return Ahead{};
    const int64_t row_floats = static_cast<int64_t>(w_.inputs) * ci_, plane_floats = h_.inputs * row_floats;
    const int64_t step = rows * row_floats / outputs;
    const float* from = x_ + (static_cast<int64_t>(sample) * d_.inputs + iz) * plane_floats + iy * row_floats;
    return Ahead{from, planes, plane_floats, step, static_cast<float>(step) / (16 * job_rows)};
  }

  void dispatch(const RowJob* jobs, int count, int registers, bool fused) const {
    if (slots_ == 1) return dispatch<1>(jobs, count, registers, fused);
    if constexpr (Slots::kValues == 2) {
      if (slots_ == 4) return dispatch<4>(jobs, count, registers, fused);
    }
    dispatch<8>(jobs, count, registers, fused);
  }

  template <int S>
  void dispatch(const RowJob* jobs, int count, int registers, bool fused) const {
    if constexpr (Slots::kValues == 2) {
      if (fused) return pairs_ ? fused_pair_rows<A, S>(jobs, count) : fused_rows<A, S>(jobs, count);
    }
    if constexpr (A::kPairs) {
      if (pairs_) return sx_ == 1 ? pair_rows<A, S, 1>(jobs, count) : pair_rows<A, S, 2>(jobs, count);
    }
    if (registers == 2) return sx_ == 1 ? plain_rows<A, S, 1, 2>(jobs, count) : plain_rows<A, S, 2, 2>(jobs, count);
    return sx_ == 1 ? plain_rows<A, S, 1, 1>(jobs, count) : plain_rows<A, S, 2, 1>(jobs, count);
  }

  const float* packed_row(int sample, int z, int y, Cache& cache) const {
    const int place = (z % cache.planes) * cache.rows_of_plane + y % cache.rows_of_plane;
    float* to = cache.rows + place * cache.row_floats;
    const int64_t tag = static_cast<int64_t>(z) * h_.inputs + y;
    if (cache.tags[place] == tag) return to;
    cache.tags[place] = tag;
    const float* from = x_ + ((static_cast<int64_t>(sample) * d_.inputs + z) * h_.inputs + y) * w_.inputs * ci_;
    if (norm_.is_there()) {
      norm_.apply(sample, from, static_cast<int64_t>(w_.inputs) * ci_, cache.line);
      from = cache.line;
    }
    const int most = slots_ * Slots::kValues;
    for (int block = 0; block < blocks_in_; block++) {
      const int channels = ci_ - block * most < most ? ci_ - block * most : most;
      float* block_to = to + static_cast<int64_t>(block) * width_ * slots_ * (pairs_ ? 2 : 1);
      if constexpr (Slots::kValues == 1)
        pack_block(from + block * most, channels, block_to);
      else
        Slots::pack_block({from + block * most, ci_, channels, w_.inputs, first_, width_, slots_, pairs_ ? sx_ : 0}, block_to);
    }
    return to;
  }

  // `width_` voxels from first_ on, `slots_` floats (or pairs of floats) each.
  void pack_block(const float* from, int channels, float* to) const {
    const bool whole = channels == 8;
    const int apart = pairs_ ? sx_ : 0;
    // Voxels whose inputs all lie inside the row.
    int begin = -first_ < 0 ? 0 : -first_;
    int end = w_.inputs - apart - first_;
    begin = begin > width_ ? width_ : begin;
    end = end > width_ ? width_ : (end < begin ? begin : end);
    for (int j = 0; j < begin; j++) pack_voxel(from, channels, j, to);
    if (whole) {
      const float* source = from + static_cast<int64_t>(begin + first_) * ci_;
      if constexpr (A::kPairs) {
        if (pairs_)
          for (int j = begin; j < end; j++, source += ci_) A::interleave(source, source + apart * ci_, to + j * 16);
      }
      if (!pairs_) {
        // In registers: memcpy of some kilobytes is a string instruction, which takes twice as long on some processors.
        float* voxel = to + begin * 8;
        for (int j = begin; j < end; j++, source += ci_, voxel += 8) std::memcpy(voxel, source, 8 * sizeof(float));
      }
    } else {
      const int width = pairs_ ? 2 : 1;
      const float* source = from + static_cast<int64_t>(begin + first_) * ci_;
      float* voxel = to + begin * slots_ * width;
      for (int j = begin; j < end; j++, source += ci_, voxel += slots_ * width)
        for (int v = 0; v < width; v++) {
          for (int i = 0; i < channels; i++) voxel[i * width + v] = source[v * apart * ci_ + i];
        }
    }
    for (int j = end; j < width_; j++) pack_voxel(from, channels, j, to);
  }

  void pack_voxel(const float* from, int channels, int j, float* to) const {
    const int width = pairs_ ? 2 : 1;
    for (int v = 0; v < width; v++) {
      const int x = j + first_ + v * sx_;
      const bool inside = x >= 0 && x < w_.inputs;
      for (int i = 0; i < slots_; i++)
        to[(j * slots_ + i) * width + v] = inside && i < channels ? from[static_cast<int64_t>(x) * ci_ + i] : 0.0f;
    }
  }

  // Only where registers fill whole lines of memory.
  bool streams() const {
    return pairs_ && co_ == 8 && classes_.count == 1 && w_.outputs % 2 == 0 &&
           streams_past_caches(y_, static_cast<int64_t>(batch_) * d_.outputs * h_.outputs * w_.outputs * co_);
  }

  const int batch_;
  const Axis d_, h_, w_;
  const int ci_, co_;
  const float* const x_;
  const float* const filter_;
  const int64_t filter_in_, filter_out_;
  float* const y_;
  const InputNorm<typename A::Float32> norm_;
  const float* const residual_;
  const bool pairs_;
  const int slots_;  // of a block of input channels
  const int slots_in_;
  const int lanes_;
  const int blocks_in_;
  const int sx_;
  Array<RowClass> classes_;
  Array<int> taps_;
  Array<int> offsets_;
  Array<int64_t> class_filters_;
  Array<Block> blocks_;
  int block_count_ = 0;
  int64_t filters_size_ = 0;
  const bool stream_;
  int first_ = 0;  // the input voxel at the start of a packed row
  int width_ = 0;  // voxels of a packed row
};

// False where the tiles cannot do it (rows sampled at every third voxel or sparser).
template <class A, class Slots = FloatSlots>
static bool forward_by_rows(const Conv3dForward& a) {
  const Conv3dShape& s = a.shape;
  if (s.stride[2] > 2) return false;
  Axis axes[3];
  for (int i = 0; i < 3; i++) axes[i] = Axis{s.out[i], s.in[i], s.kernel[i], s.stride[i], s.pad[i], false};
  RowConvolution<A, Slots>(s.batch, axes, s.ci, s.co, a.x, a.filter, s.co, 1, a.y, a.norm, a.residual).run();
  return true;
}

template <class A, class Slots = FloatSlots>
static void input_gradient_by_rows(const Conv3dInputGradient& a) {
  const Conv3dShape& s = a.shape;
  Axis axes[3];
  for (int i = 0; i < 3; i++) axes[i] = Axis{s.in[i], s.out[i], s.kernel[i], s.stride[i], s.pad[i], true};
  RowConvolution<A, Slots>(s.batch, axes, s.co, s.ci, a.dy, a.filter, 1, s.co, a.dx).run();
}

}  // namespace
}  // namespace ctflow
