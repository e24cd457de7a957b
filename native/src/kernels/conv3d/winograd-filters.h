// A filter's points, what winograd-planes.h calls u, as winograd-tiles.h reads them.
#pragma once

#include <cstdint>

#include "kernels/conv3d/winograd-planes.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// A filter (taps, ci, co), seen going forward or back.
struct WinogradFilter {
  const float* values;
  int channels_in;
  int channels_out;
  int64_t step_in;   // from one input channel to the next, in floats
  int64_t step_out;  // and from one output channel to the next
  bool transposed;   // taps go backwards
};

// Where they go: [block of outputs][part][row of taps][slot][lane].
struct WinogradFilterLayout {
  int rows_of_taps;
  int parts;  // two, of pairs of points, or all four
  int slots;  // input channels, those that are not there included
  int blocks;
  int lanes;         // of a block
  int last_lanes;    // of the last one
  int64_t block_floats;
};

static inline void pack_winograd_filter(const WinogradFilter& filter, const WinogradFilterLayout& layout, float* to) {
  const bool pairs = layout.parts == 2;
  const int64_t size = static_cast<int64_t>(filter.channels_in) * filter.channels_out;
  const int64_t step = filter.transposed ? -size : size;
  parallel(static_cast<int64_t>(layout.blocks) * layout.rows_of_taps, [&](int64_t task, int) {
    const int row = static_cast<int>(task % layout.rows_of_taps);
    const int64_t block = task / layout.rows_of_taps;
    const int lanes = block + 1 == layout.blocks ? layout.last_lanes : layout.lanes;
    float* place[kWinogradPoints];
    for (int part = 0; part < layout.parts; part++)
      place[part] = to + block * layout.block_floats + (static_cast<int64_t>(part) * layout.rows_of_taps + row) * layout.slots * lanes;
    // The three taps along x, a step apart.
    const int64_t first_tap = filter.transposed ? int64_t{3} * (layout.rows_of_taps - row) - 1 : int64_t{3} * row;
    for (int in = 0; in < layout.slots; in++)
      for (int c = 0; c < (pairs ? lanes / 2 : lanes); c++) {
        const int64_t out = block * layout.lanes + c;
        float g0 = 0, g1 = 0, g2 = 0;
        if (in < filter.channels_in && out < filter.channels_out) {
          const float* g = filter.values + first_tap * size + in * filter.step_in + out * filter.step_out;
          g0 = g[0], g1 = g[step], g2 = g[2 * step];
        }
        const float u1 = 0.5f * (g0 + g2 + g1), u2 = 0.5f * (g0 + g2 - g1);
        if (pairs) {
          *place[0]++ = g0, *place[0]++ = g2;
          *place[1]++ = u1, *place[1]++ = u2;
        } else {
          *place[0]++ = g0, *place[1]++ = u1, *place[2]++ = u2, *place[3]++ = g2;
        }
      }
  });
}

}  // namespace
}  // namespace ctflow
