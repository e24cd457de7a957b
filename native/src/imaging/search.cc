#include "imaging/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ctflow {
namespace {

// The largest float32 that is not above: the same float32 numbers are above it.
float not_above(double threshold) {
  const float nearest = static_cast<float>(threshold);
  return nearest > threshold ? std::nextafter(nearest, -std::numeric_limits<float>::infinity()) : nearest;
}

}  // namespace

bool search_box(BoxSearch& c) {
  const float threshold = not_above(c.threshold);
  const int nx = c.nx;
  int64_t low[3] = {nx, c.ny, c.planes}, high[3] = {-1, -1, -1};
  const float* row = c.voxels;
  for (int64_t z = 0; z < c.planes; z++)
    for (int64_t y = 0; y < c.ny; y++, row += nx) {
      int64_t first = 0;
      while (first < nx && !(row[first] > threshold)) first++;
      if (first == nx) continue;
      int64_t last = nx - 1;
      while (last > first && !(row[last] > threshold)) last--;
      const int64_t from[3] = {first, y, z}, to[3] = {last, y, z};
      for (int axis = 0; axis < 3; axis++) {
        low[axis] = std::min(low[axis], from[axis]);
        high[axis] = std::max(high[axis], to[axis]);
      }
    }
  std::copy_n(low, 3, c.low);
  std::copy_n(high, 3, c.high);
  return high[0] >= 0;
}

int64_t mark_candidates(const CandidateMarking& c) {
  const float threshold = not_above(c.threshold);
  const float classes = static_cast<float>(c.classes);
  const int64_t plane = candidate_plane_bytes(c.ny, c.nz);
  uint8_t* const background = c.bits + plane * c.nx;
  int64_t at = 0;
  for (int z = c.z; z < c.z + c.planes; z++)
    for (int y = 0; y < c.ny; y++) {
      const int64_t bit = static_cast<int64_t>(y) * c.nz + z;
      const uint8_t mask = static_cast<uint8_t>(1 << (bit & 7));
      uint8_t* to = c.bits + (bit >> 3);
      uint8_t* other = background + (bit >> 3);
      for (int x = 0; x < c.nx; x++, at++, to += plane, other += plane) {
        const float label = c.label[at];
        if (label == 0) {
          if (!(c.image[at] > threshold)) continue;
          *other |= mask;
          c.counts[c.nx + x]++;
        } else {
          // False for NaN.
          if (!(label > 0 && label < classes) || static_cast<float>(static_cast<int>(label)) != label) return at;
          *to |= mask;
          c.counts[x]++;
        }
      }
    }
  return -1;
}

}  // namespace ctflow
