// Element-wise operations on float32, with the broadcasts that a training step needs, sums over leading axes, and the
// softmax over the last axis.
#pragma once

#include <cstdint>

namespace ctflow {

enum class ElementwiseOp : int { kAdd = 0, kSubtract = 1, kMultiply = 2, kRelu = 3, kReluGradient = 4, kFill = 5, kDivide = 6 };

// to[i] = a[i] op b[i % period]; period 1 is a scalar, period = size is another tensor. kRelu ignores b; kReluGradient is
// a where b > 0; kFill writes b[0].
struct Elementwise {
  ElementwiseOp op;
  int64_t size;
  int64_t period;
  const float* a;
  const float* b;
  float* to;
};

// to[c] = sum over rows of a (rows, channels), in float64.
struct ChannelSum {
  int64_t rows;
  int64_t channels;
  const float* a;
  float* to;
};

// Over the last axis of (rows, classes).
struct Softmax {
  int64_t rows;
  int64_t classes;
  const float* a;
  float* to;
};

}  // namespace ctflow
