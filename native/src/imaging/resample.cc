#include "imaging/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

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

struct Neighbours {
  int lower, upper;
  double rest, weight;  // value = source[lower] * rest + source[upper] * weight
};

Neighbours along_axis(const PlaneSampling& c, int axis, int i) {
  const int last = c.source[axis] - 1;
  const double at = clamp(c.map[axis * 5] * i + c.map[axis * 4 + 3], last);
  if (c.nearest) {
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

void separable_linear(const PlaneSampling& c, const Neighbours& z, const Neighbours* xs) {
  const int width = c.source[0], nx = c.target[0];
  BlendedRows rows(c.planes[z.lower - c.low], c.planes[z.upper - c.low], z, width);
  const Scratch<double> blended(width);
  double* const row = blended.get();
  for (int y = 0; y < c.target[1]; y++) {
    const Neighbours n = along_axis(c, 1, y);
    const double* const a = rows.row(n.lower);
    const double* const b = rows.row(n.upper);
    for (int x = 0; x < width; x++) row[x] = a[x] * n.rest + b[x] * n.weight;
    float* const to = c.to + static_cast<int64_t>(y) * nx;
    for (int x = 0; x < nx; x++) to[x] = static_cast<float>(row[xs[x].lower] * xs[x].rest + row[xs[x].upper] * xs[x].weight);
  }
}

void separable_nearest(const PlaneSampling& c, const Neighbours& z, const Neighbours* xs) {
  const float* const plane = c.planes[z.lower - c.low];
  const int nx = c.target[0];
  for (int y = 0; y < c.target[1]; y++) {
    const float* const row = plane + static_cast<int64_t>(along_axis(c, 1, y).lower) * c.source[0];
    float* const to = c.to + static_cast<int64_t>(y) * nx;
    for (int x = 0; x < nx; x++) to[x] = row[xs[x].lower];
  }
}

bool separable(const PlaneSampling& c) {
  const Neighbours z = along_axis(c, 2, c.z);
  if (z.lower < c.low || z.upper >= c.low + c.count) return false;
  const Scratch<Neighbours> xs(c.target[0]);
  for (int x = 0; x < c.target[0]; x++) xs[x] = along_axis(c, 0, x);
  if (c.nearest)
    separable_nearest(c, z, xs.get());
  else
    separable_linear(c, z, xs.get());
  return true;
}

bool general_linear(const PlaneSampling& c) {
  const double* const m = c.map;
  const int width = c.source[0];
  const int last[3] = {width - 1, c.source[1] - 1, c.source[2] - 1};
  float* to = c.to;
  for (int y = 0; y < c.target[1]; y++) {
    const double x0 = m[1] * y + m[2] * c.z + m[3];
    const double y0 = m[5] * y + m[6] * c.z + m[7];
    const double z0 = m[9] * y + m[10] * c.z + m[11];
    for (int x = 0; x < c.target[0]; x++) {
      const double sx = clamp(m[0] * x + x0, last[0]);
      const double sy = clamp(m[4] * x + y0, last[1]);
      const double sz = clamp(m[8] * x + z0, last[2]);
      const int ix = static_cast<int>(sx), iy = static_cast<int>(sy), iz = static_cast<int>(sz);
      const double fx = sx - ix, fy = sy - iy, fz = sz - iz;
      const int above = std::min(iz + 1, last[2]);
      if (iz < c.low || above >= c.low + c.count) return false;
      const int64_t near = static_cast<int64_t>(iy) * width + ix;
      const int right = ix < last[0] ? 1 : 0;
      const int down = iy < last[1] ? width : 0;
      const auto in_plane = [&](const float* p) {
        return (p[near] * (1 - fx) + p[near + right] * fx) * (1 - fy) + (p[near + down] * (1 - fx) + p[near + down + right] * fx) * fy;
      };
      const double a = in_plane(c.planes[iz - c.low]);
      const double b = in_plane(c.planes[above - c.low]);
      *to++ = static_cast<float>(a * (1 - fz) + b * fz);
    }
  }
  return true;
}

bool general_nearest(const PlaneSampling& c) {
  const double* const m = c.map;
  float* to = c.to;
  for (int y = 0; y < c.target[1]; y++)
    for (int x = 0; x < c.target[0]; x++) {
      const auto index = [&](int row) {
        const double* const r = m + row * 4;
        return round_half_even(clamp(r[0] * x + r[1] * y + r[2] * c.z + r[3], c.source[row] - 1));
      };
      const int iz = index(2);
      if (iz < c.low || iz >= c.low + c.count) return false;
      *to++ = c.planes[iz - c.low][static_cast<int64_t>(index(1)) * c.source[0] + index(0)];
    }
  return true;
}

}  // namespace

bool sample_plane(const PlaneSampling& call) {
  if (call.separable) return separable(call);
  return call.nearest ? general_nearest(call) : general_linear(call);
}

}  // namespace ctflow
