// Group normalisation and, optionally, ReLU in one pass. Tensors are (N, voxels, C) float32; the variance is the biased
// one over the voxels and channels of a group. A group is C / groups neighbouring channels.
#pragma once

#include <cstdint>

namespace ctflow {

struct GroupNormShape {
  int64_t batch;
  int64_t voxels;
  int64_t channels;
  int64_t groups;
  float epsilon;
  bool relu;
};

// y = relu(gamma * (x - mean) * rstd + beta); mean and rstd are (N, groups). Without y only these two are computed.
struct GroupNormForward {
  GroupNormShape shape;
  const float* x;
  const float* gamma;
  const float* beta;
  float* y;
  float* mean;
  float* rstd;
};

// With u = dy where y > 0 (or everywhere without ReLU) and xh = (x - mean) * rstd: dbeta = sum u, dgamma = sum u xh,
// dx = rstd * (gamma u - m1 - xh m2), m1 and m2 the group's means of gamma u and gamma u xh. dx may lie where dy lies.
struct GroupNormGradient {
  GroupNormShape shape;
  const float* dy;
  const float* x;
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* rstd;
  float* dx;
  float* dgamma;
  float* dbeta;
  // Added to dx; null for nothing. Not where dx or dy lies.
  const float* residual = nullptr;
};

}  // namespace ctflow
