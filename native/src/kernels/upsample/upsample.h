// Trilinear up-sampling by two, align_corners=False. Tensors are (N, D, H, W, C) float32; sizes are those of the small one.
#pragma once

#include <cstdint>

namespace ctflow {

struct UpsampleShape {
  int batch;
  int size[3];  // D, H, W of the small tensor
  int channels;
};

// y = upsampled x, plus skip where it is not null; y and skip are twice as large on each axis.
struct UpsampleForward {
  UpsampleShape shape;
  const float* x;
  const float* skip;
  float* y;
};

struct UpsampleGradient {
  UpsampleShape shape;
  const float* dy;
  float* dx;
};

}  // namespace ctflow
