// The convolution with one tap and stride 1 as a product of matrices, and how threads share it.
#pragma once

#include <cstdint>

#include "kernels/conv3d/conv3d.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// Inputs and outputs of one task: enough to be worth a start, few enough that threads end together.
constexpr int64_t kPointwiseTaskFloats = 1 << 14;
// Up to so many channels out a register holds channels in, not out.
constexpr int kFewOutputs = 4;

static inline bool suits_pointwise(const Conv3dShape& s) {
  for (int i = 0; i < 3; i++)
    if (s.kernel[i] != 1 || s.stride[i] != 1 || s.pad[i] != 0 || s.in[i] != s.out[i]) return false;
  return true;
}

static inline int64_t pointwise_voxels(const Conv3dShape& s) { return static_cast<int64_t>(s.in[0]) * s.in[1] * s.in[2]; }

// (batch, voxels, in) x (in, out): what a convolution and its input gradient have in common.
struct PointwiseProduct {
  int batch;
  int64_t voxels;  // of a sample
  int64_t in;
  int64_t out;
  const float* x;
  const float* filter;
  int64_t filter_in;  // from one input channel to the next, in floats
  int64_t filter_out;
  float* y;
  const float* norm;      // as in Conv3dForward
  const float* residual;  // as in Conv3dForward
};

// Voxels [begin, end) of a sample, one task's.
struct PointwiseTask {
  int64_t sample;
  int64_t begin;
  int64_t end;
};

// Calls each(task, thread), tasks being cut at multiples of `step` voxels.
template <class Each>
static inline void for_pointwise_tasks(const PointwiseProduct& p, int64_t step, Each&& each) {
  const int64_t steps = kPointwiseTaskFloats / (p.in + p.out) / step;
  const int64_t voxels = (steps < 1 ? 1 : steps) * step;
  const int64_t tasks = (p.voxels + voxels - 1) / voxels;
  parallel(p.batch * tasks, [&](int64_t i, int thread) {
    const int64_t begin = i % tasks * voxels;
    each(PointwiseTask{i / tasks, begin, begin + voxels < p.voxels ? begin + voxels : p.voxels}, thread);
  });
}

}  // namespace
}  // namespace ctflow
