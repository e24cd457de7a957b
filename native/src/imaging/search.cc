#include "imaging/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scratch.h"

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

void count_candidates(const CandidateCount& c) {
  const float threshold = not_above(c.threshold);
  const int nx = c.nx;
  const Scratch<uint32_t> foreground(nx), background(nx);
  std::fill_n(foreground.get(), nx, 0);
  std::fill_n(background.get(), nx, 0);
  for (int64_t row = 0; row < c.rows; row++) {
    const float* const label = c.label + row * nx;
    if (c.image == nullptr) {
      for (int x = 0; x < nx; x++) foreground[x] += label[x] != 0;
      continue;
    }
    const float* const image = c.image + row * nx;
    for (int x = 0; x < nx; x++) {
      const uint32_t is_foreground = label[x] != 0;
      foreground[x] += is_foreground;
      background[x] += (image[x] > threshold) & (is_foreground ^ 1);
    }
  }
  for (int x = 0; x < nx; x++) {
    c.foreground[x] = foreground[x];
    c.background[x] = c.image == nullptr ? static_cast<double>(c.rows) - foreground[x] : background[x];
  }
}

}  // namespace ctflow
