#include "imaging/resample.h"

#include <algorithm>

#include "imaging/separable.h"
#include "scratch.h"

namespace ctflow {
namespace {

void separable_linear(const PlaneSampling& c, const Neighbours& z, const Neighbours* xs) {
  const int width = c.source[0], nx = c.target[0];
  BlendedRows rows(c.planes[z.lower - c.low], c.planes[z.upper - c.low], z, width);
  const Scratch<double> blended(width);
  double* const row = blended.get();
  for (int y = 0; y < c.target[1]; y++) {
    const Neighbours n = along_axis(c.map, c.source, 1, y, c.nearest);
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
    const float* const row = plane + static_cast<int64_t>(along_axis(c.map, c.source, 1, y, c.nearest).lower) * c.source[0];
    float* const to = c.to + static_cast<int64_t>(y) * nx;
    for (int x = 0; x < nx; x++) to[x] = row[xs[x].lower];
  }
}

bool separable(const PlaneSampling& c) {
  const Neighbours z = along_axis(c.map, c.source, 2, c.z, c.nearest);
  if (z.lower < c.low || z.upper >= c.low + c.count) return false;
  const Scratch<Neighbours> xs(c.target[0]);
  for (int x = 0; x < c.target[0]; x++) xs[x] = along_axis(c.map, c.source, 0, x, c.nearest);
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
