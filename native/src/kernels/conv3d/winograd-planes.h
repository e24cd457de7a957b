// Winograd's minimal filtering F(2, 3) along x: two neighbouring outputs of a row from four products instead of six.
// (S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for Convolutional
// Neural Networks, arXiv:1509.09308.) Of a tile's four inputs d and a filter's three taps g:
//
//   v0 = d0 - d2    u0 = g0
//   v1 = d1 + d2    u1 = (g0 + g1 + g2) / 2
//   v2 = d2 - d1    u2 = (g0 - g1 + g2) / 2
//   v3 = d3 - d1    u3 = g2
//
// With m_p the sum of v_p u_p over rows of taps and input channels: y0 = m0 + m1 + m2, y1 = m3 + m1 - m2.
//
// What rounding leaves is relative to the largest of a tile's inputs and taps, where the plain sum's is relative to the terms
// that an output sees: a voxel of 1e8 beside voxels of 1 takes digits from a neighbour whose own taps do not reach it.
// Here: the v of some rows of an input plane, which all rows of taps and output channels then share.
#pragma once

#include <cstdint>
#include <cstring>

namespace ctflow {
namespace {

constexpr int kWinogradPoints = 4;

// Eight channels of a voxel, in whatever registers there are.
typedef float Eight __attribute__((vector_size(32)));

static inline Eight load_eight(const float* p) {
  Eight v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

static inline void store_eight(float* p, Eight v) { std::memcpy(p, &v, sizeof v); }

// A plane lies as [part][block of channels][row][tile][channel of the block][value]. A part is one of the four points;
// for pairs it is two of them, {v0, v3} or {v1, v2}, side by side for one broadcast of 64 bits.
template <class A>
class WinogradPlanes {
 public:
  // Rows of `width` voxels of `channels`; the first tile begins at x = -pad. `rows` of each plane are held.
  WinogradPlanes(int width, int channels, int pad, int outputs, int rows, bool pairs)
      : parts(pairs ? 2 : kWinogradPoints),
        values(pairs ? 2 : 1),
        tiles((outputs + 1) / 2),
        slots(channels == 1 ? 1 : 8),
        blocks((channels + slots - 1) / slots),
        row_floats(static_cast<int64_t>(tiles) * slots * values),
        block_floats(rows * row_floats),
        part_floats(blocks * block_floats),
        plane_floats(parts * part_floats),
        width_(width),
        channels_(channels),
        pad_(pad) {}

  // Channels of a block that there are.
  int channels_of(int block) const { return channels_ - block * slots < slots ? channels_ - block * slots : slots; }

  // Packs one row of all channels; a row outside of the volume is null.
  void pack(const float* from, int row, float* plane) const {
    for (int block = 0; block < blocks; block++)
      pack_block(from == nullptr ? nullptr : from + block * slots, channels_, channels_of(block),
                 plane + block * block_floats + row * row_floats);
  }

  // Packs one row of a block: `channels` of it, `step` floats from one voxel to the next.
  void pack_block(const float* from, int64_t step, int channels, float* to) const {
    if (from == nullptr) {
      for (int part = 0; part < parts; part++) std::memset(to + part * part_floats, 0, row_floats * sizeof(float));
    } else if (slots == 1) {
      pack_channel(from, to);
    } else if (channels == 8) {
      pack_eight([&](int x) { return load_eight(from + x * step); }, to);
    } else {
      pack_eight(
          [&](int x) {
            Eight v = {};
            for (int i = 0; i < channels; i++) v[i] = from[x * step + i];
            return v;
          },
          to);
    }
  }

  const int parts;
  const int values;
  const int tiles;  // of a row
  const int slots;  // channels of a block
  const int blocks;
  const int64_t row_floats, block_floats, part_floats, plane_floats;

 private:
  template <class Load>
  void pack_eight(Load&& load, float* to) const {
    const auto voxel = [&](int x) { return x >= 0 && x < width_ ? load(x) : Eight{}; };
    Eight d0 = voxel(-pad_), d1 = voxel(1 - pad_);
    for (int t = 0; t < tiles; t++) {
      const int x = 2 * t + 2 - pad_;
      const Eight d2 = voxel(x), d3 = voxel(x + 1);
      const Eight v0 = d0 - d2, v1 = d1 + d2, v2 = d2 - d1, v3 = d3 - d1;
      d0 = d2;
      d1 = d3;
      if constexpr (A::kPairs) {
        if (values == 2) {
          A::interleave(v0, v3, to + t * 16);
          A::interleave(v1, v2, to + part_floats + t * 16);
          continue;
        }
      }
      store_eight(to + t * 8, v0);
      store_eight(to + part_floats + t * 8, v1);
      store_eight(to + 2 * part_floats + t * 8, v2);
      store_eight(to + 3 * part_floats + t * 8, v3);
    }
  }

  void pack_channel(const float* from, float* to) const {
    const auto voxel = [&](int x) { return x >= 0 && x < width_ ? from[x] : 0.0f; };
    // Where the points of a tile lie: {v0, v3}, {v1, v2} or one after the other.
    const int64_t place[kWinogradPoints] = {0, part_floats, values == 2 ? part_floats + 1 : 2 * part_floats,
                                            values == 2 ? 1 : 3 * part_floats};
    float d0 = voxel(-pad_), d1 = voxel(1 - pad_);
    for (int t = 0; t < tiles; t++, to += values) {
      const int x = 2 * t + 2 - pad_;
      const float d2 = voxel(x), d3 = voxel(x + 1);
      to[place[0]] = d0 - d2;
      to[place[1]] = d1 + d2;
      to[place[2]] = d2 - d1;
      to[place[3]] = d3 - d1;
      d0 = d2;
      d1 = d3;
    }
  }

  const int width_, channels_, pad_;
};

}  // namespace
}  // namespace ctflow
