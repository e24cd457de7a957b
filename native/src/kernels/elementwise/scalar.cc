// Element-wise operations and sums in plain loops.
#include <cmath>

#include "kernels/table.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {

void elementwise__scalar(const Elementwise& e) {
  for (int64_t i = 0; i < e.size; i++) {
    const float b = e.b == nullptr ? 0 : e.b[i % e.period];
    const float a = e.a == nullptr ? 0 : e.a[i];
    switch (e.op) {
      case ElementwiseOp::kAdd: e.to[i] = a + b; break;
      case ElementwiseOp::kSubtract: e.to[i] = a - b; break;
      case ElementwiseOp::kMultiply: e.to[i] = a * b; break;
      case ElementwiseOp::kDivide: e.to[i] = a / b; break;
      case ElementwiseOp::kRelu: e.to[i] = a < 0 ? 0 : a; break;
      case ElementwiseOp::kReluGradient: e.to[i] = b <= 0 ? 0 : a; break;
      case ElementwiseOp::kFill: e.to[i] = b; break;
    }
  }
}

void channel_sum__scalar(const ChannelSum& a) {
  Scratch<double> sums(a.channels);
  for (int64_t c = 0; c < a.channels; c++) sums[c] = 0;
  for (int64_t i = 0; i < a.rows * a.channels; i++) sums[i % a.channels] += a.a[i];
  for (int64_t c = 0; c < a.channels; c++) a.to[c] = static_cast<float>(sums[c]);
}

void softmax__scalar(const Softmax& s) {
  for (int64_t row = 0; row < s.rows; row++) {
    const float* a = s.a + row * s.classes;
    float* to = s.to + row * s.classes;
    float max = a[0];
    for (int64_t c = 1; c < s.classes; c++) max = a[c] > max ? a[c] : max;
    float sum = 0;
    for (int64_t c = 0; c < s.classes; c++) sum += to[c] = std::exp(a[c] - max);
    for (int64_t c = 0; c < s.classes; c++) to[c] /= sum;
  }
}

}  // namespace ctflow
