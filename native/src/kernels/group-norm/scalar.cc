// Group normalisation in plain loops, one task per sample.
#include "kernels/group-norm/statistics.h"
#include "kernels/table.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {

void group_norm_forward__scalar(const GroupNormForward& a) {
  const GroupNormShape& s = a.shape;
  Scratch<double> sums(s.batch * 2 * s.channels);
  parallel(s.batch, [&](int64_t n, int) {
    const float* x = a.x + n * s.voxels * s.channels;
    float* y = a.y == nullptr ? nullptr : a.y + n * s.voxels * s.channels;
    double* sum = sums.get() + n * 2 * s.channels;
    double* squares = sum + s.channels;
    for (int64_t c = 0; c < 2 * s.channels; c++) sum[c] = 0;
    for (int64_t i = 0; i < s.voxels * s.channels; i++) {
      const int64_t c = i % s.channels;
      const double away = static_cast<double>(x[i]) - x[c];
      sum[c] += away;
      squares[c] += away * away;
    }
    float* mean = a.mean + n * s.groups;
    float* rstd = a.rstd + n * s.groups;
    group_statistics(s, sum, squares, x, mean, rstd);
    for (int64_t i = 0; y != nullptr && i < s.voxels * s.channels; i++) {
      const int64_t c = i % s.channels;
      const int64_t g = c / (s.channels / s.groups);
      const float value = a.gamma[c] * rstd[g] * (x[i] - mean[g]) + a.beta[c];
      y[i] = s.relu && value < 0 ? 0 : value;
    }
  });
}

void group_norm_gradient__scalar(const GroupNormGradient& a) {
  const GroupNormShape& s = a.shape;
  const int64_t per_group = s.channels / s.groups;
  Scratch<double> sums(s.batch * 2 * s.channels);
  parallel(s.batch, [&](int64_t n, int) {
    const int64_t size = s.voxels * s.channels;
    const float* x = a.x + n * size;
    const float* dy = a.dy + n * size;
    float* dx = a.dx + n * size;
    const float* mean = a.mean + n * s.groups;
    const float* rstd = a.rstd + n * s.groups;
    double* sum_u = sums.get() + n * 2 * s.channels;
    double* sum_ux = sum_u + s.channels;
    const auto passed = [&](int64_t i) {
      const int64_t c = i % s.channels;
      const int64_t g = c / per_group;
      return s.relu && a.gamma[c] * rstd[g] * (x[i] - mean[g]) + a.beta[c] <= 0 ? 0.0f : dy[i];
    };
    for (int64_t c = 0; c < 2 * s.channels; c++) sum_u[c] = 0;
    for (int64_t i = 0; i < size; i++) {
      const int64_t c = i % s.channels;
      const double u = passed(i);
      sum_u[c] += u;
      sum_ux[c] += u * (static_cast<double>(x[i]) - mean[c / per_group]) * rstd[c / per_group];
    }
    for (int64_t g = 0; g < s.groups; g++) {
      float m1, m2;
      group_means(s, a.gamma, sum_u, sum_ux, g, &m1, &m2);
      for (int64_t v = 0; v < s.voxels; v++)
        for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) {
          const int64_t i = v * s.channels + c;
          const float added = a.residual == nullptr ? 0 : a.residual[n * size + i];
          dx[i] = rstd[g] * (a.gamma[c] * passed(i) - m1 - (x[i] - mean[g]) * rstd[g] * m2) + added;
        }
    }
  });
  for (int64_t c = 0; c < s.channels; c++) {
    double gamma = 0;
    double beta = 0;
    for (int64_t n = 0; n < s.batch; n++) {
      beta += sums[n * 2 * s.channels + c];
      gamma += sums[n * 2 * s.channels + s.channels + c];
    }
    a.dgamma[c] = static_cast<float>(gamma);
    a.dbeta[c] = static_cast<float>(beta);
  }
}

}  // namespace ctflow
