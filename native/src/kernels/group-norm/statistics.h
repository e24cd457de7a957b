// What both the plain and the vector version do with sums per channel: a few float64 operations per group.
#pragma once

#include <cmath>

#include "kernels/group-norm/group-norm.h"

namespace ctflow {
namespace {

// Mean and 1 / sqrt(variance + epsilon) of each group of a sample, from each channel's sums of (x - shift) and
// (x - shift)^2. The shift, a value of that channel, keeps the squares from cancelling.
static inline void group_statistics(const GroupNormShape& s, const double* sum, const double* squares, const float* shift,
                                    float* mean, float* rstd) {
  const int64_t per_group = s.channels / s.groups;
  const double n = static_cast<double>(s.voxels);
  for (int64_t g = 0; g < s.groups; g++) {
    double group_mean = 0;
    for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) group_mean += shift[c] + sum[c] / n;
    group_mean /= static_cast<double>(per_group);
    double variance = 0;
    for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) {
      const double away = shift[c] + sum[c] / n - group_mean;
      const double within = squares[c] / n - sum[c] / n * (sum[c] / n);
      variance += (within > 0 ? within : 0) + away * away;
    }
    variance /= static_cast<double>(per_group);
    mean[g] = static_cast<float>(group_mean);
    rstd[g] = static_cast<float>(1 / std::sqrt(variance + static_cast<double>(s.epsilon)));
  }
}

// The group's means of gamma u and of gamma u xh, from each channel's sums of u and u xh.
static inline void group_means(const GroupNormShape& s, const float* gamma, const double* sum_u, const double* sum_ux,
                               int64_t g, float* m1, float* m2) {
  const int64_t per_group = s.channels / s.groups;
  double a = 0;
  double b = 0;
  for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) {
    a += gamma[c] * sum_u[c];
    b += gamma[c] * sum_ux[c];
  }
  const double members = static_cast<double>(s.voxels) * static_cast<double>(per_group);
  *m1 = static_cast<float>(a / members);
  *m2 = static_cast<float>(b / members);
}

}  // namespace
}  // namespace ctflow
