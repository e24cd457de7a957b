// Between the voxels of a volume, where the axes of both grids run along each other. All in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "scratch.h"

namespace ctflow {
namespace {

// NaN becomes 0: whatever the map holds, an index lies in the volume.
inline double clamp(double at, int last) { return at > 0 ? (at < last ? at : last) : 0; }

// numpy's rule, and what is within 1e-9 of a half is a half: spacing.ts. Not negative.
inline int round_half_even(double value) {
  const int floor = static_cast<int>(value);
  const double over = value - floor - 0.5;
  if (std::fabs(over) > 1e-9) return over < 0 ? floor : floor + 1;
  return floor % 2 == 0 ? floor : floor + 1;
}

// The two input indices around an output one.
struct Neighbours {
  int lower, upper;
  double rest, weight;  // value = source[lower] * rest + source[upper] * weight
};

inline Neighbours along_axis(const double* map, const int* source, int axis, int i, bool nearest) {
  const int last = source[axis] - 1;
  const double at = clamp(map[axis * 5] * i + map[axis * 4 + 3], last);
  if (nearest) {
    const int index = round_half_even(at);
    return {index, index, 1, 0};
  }
  const int lower = static_cast<int>(at);
  const double weight = at - lower;
  return {lower, std::min(lower + 1, last), 1 - weight, weight};
}

// Rows of the plane between two input planes, made when they are asked for; the last two are kept.
class BlendedRows {
 public:
  BlendedRows(const float* lower, const float* upper, const Neighbours& z, int width)
      : lower_(lower), upper_(upper), rest_(z.rest), weight_(z.weight), width_(width), rows_(2 * static_cast<int64_t>(width)) {}

  // Stays until two others have been asked for.
  const double* row(int y) {
    for (int k = 0; k < 2; k++)
      if (held_[k] == y) {
        oldest_ = 1 - k;
        return rows_.get() + static_cast<int64_t>(k) * width_;
      }
    const int k = oldest_;
    held_[k] = y;
    oldest_ = 1 - k;
    const float* const a = lower_ + static_cast<int64_t>(y) * width_;
    const float* const b = upper_ + static_cast<int64_t>(y) * width_;
    double* const to = rows_.get() + static_cast<int64_t>(k) * width_;
    for (int x = 0; x < width_; x++) to[x] = a[x] * rest_ + b[x] * weight_;
    return to;
  }

 private:
  const float *lower_, *upper_;
  double rest_, weight_;
  int width_;
  Scratch<double> rows_;
  int held_[2] = {-1, -1};
  int oldest_ = 0;
};

}  // namespace
}  // namespace ctflow
