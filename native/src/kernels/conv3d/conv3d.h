// 3-D convolution (correlation) with zero padding, and its two gradients.
//
// Tensors are (N, D, H, W, C) float32, filters (kd, kh, kw, ci, co). Axes of the arrays below are D, H, W.
// y[o] = sum over k of x[o * stride - pad + k] * filter[k]; `pad` is the padding in front, the one behind follows from
// the output's size.
#pragma once

#include <cstdint>

namespace ctflow {

struct Conv3dShape {
  int batch;
  int in[3];
  int ci;
  int kernel[3];
  int out[3];
  int co;
  int stride[3];
  int pad[3];
};

struct Conv3dForward {
  Conv3dShape shape;
  const float* x;
  const float* filter;
  float* y;
  // (N, 3, ci): mean, scale and shift. The input is then max(0, (x - mean) * scale + shift), group norm and ReLU; null
  // for x itself.
  const float* norm = nullptr;
  // Added to y; null for nothing. Not y itself: some voxels are computed twice.
  const float* residual = nullptr;
};

struct Conv3dInputGradient {
  Conv3dShape shape;
  const float* dy;
  const float* filter;
  float* dx;
};

struct Conv3dFilterGradient {
  Conv3dShape shape;
  const float* x;
  const float* dy;
  float* dfilter;
  // As in Conv3dForward.
  const float* norm = nullptr;
};

}  // namespace ctflow
