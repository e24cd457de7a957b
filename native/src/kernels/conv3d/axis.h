// Which inputs an output of a convolution sees through which taps, along one axis.
#pragma once

namespace ctflow {
namespace {

// One axis of "outputs see inputs through taps". Forward: input = output * stride - pad + tap. Transposed (the input
// gradient, whose outputs are dx and whose inputs are dy): output = input * stride - pad + tap.
struct Axis {
  int outputs;
  int inputs;
  int kernel;
  int stride;
  int pad;
  bool transposed;

  // The input under a tap, or -1.
  int input(int output, int tap) const {
    if (!transposed) {
      const int i = output * stride - pad + tap;
      return i >= 0 && i < inputs ? i : -1;
    }
    const int scaled = output + pad - tap;
    if (scaled < 0 || scaled % stride != 0) return -1;
    return scaled / stride < inputs ? scaled / stride : -1;
  }

  // Inputs that so many neighbouring outputs see, at most.
  int seen_by(int neighbours) const {
    return transposed ? (neighbours - 1) / stride + 1 + kernel : (neighbours - 1) * stride + kernel;
  }
};

}  // namespace
}  // namespace ctflow
