// Mixed precision on any processor: what is multiplied is rounded to bfloat16 first, then the float32 kernels do the rest,
// within their own rounding. As fast as float32 at best; what the variants with such instructions must equal within that.
#include <cmath>

#include "kernels/conv3d/bfloat16.h"
#include "kernels/table.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

int64_t voxels(const int size[3]) { return static_cast<int64_t>(size[0]) * size[1] * size[2]; }

int64_t input_size(const Conv3dShape& s) { return s.batch * voxels(s.in) * s.ci; }
int64_t output_size(const Conv3dShape& s) { return s.batch * voxels(s.out) * s.co; }
int64_t filter_size(const Conv3dShape& s) { return voxels(s.kernel) * s.ci * s.co; }

// A rounded copy.
class Rounded {
 public:
  Rounded(const float* from, int64_t count) : values_(count) {
    constexpr int64_t kSlice = 1 << 14;
    parallel((count + kSlice - 1) / kSlice, [&](int64_t slice, int) {
      const int64_t end = (slice + 1) * kSlice < count ? (slice + 1) * kSlice : count;
      for (int64_t i = slice * kSlice; i < end; i++) values_[i] = rounded_to_bfloat16(from[i]);
    });
  }
  // The same of what a convolution sees: max(0, (x - mean) * scale + shift) with a `norm`, one rounding each as in the
  // variants that have instructions for it.
  Rounded(const float* x, const float* norm, const Conv3dShape& s) : values_(input_size(s)) {
    const int64_t line = static_cast<int64_t>(s.in[2]) * s.ci;
    parallel(static_cast<int64_t>(s.batch) * s.in[0] * s.in[1], [&](int64_t row, int) {
      const float* from = x + row * line;
      float* to = values_.get() + row * line;
      const float* mean = norm == nullptr ? nullptr : norm + row / s.in[0] / s.in[1] * 3 * s.ci;
      for (int64_t i = 0; i < line; i++) {
        float value = from[i];
        if (mean != nullptr) {
          const float* of_channel = mean + i % s.ci;
          value = std::fma(value - of_channel[0], of_channel[s.ci], of_channel[2 * int64_t{s.ci}]);
          value = value < 0 ? 0 : value;
        }
        to[i] = rounded_to_bfloat16(value);
      }
    });
  }
  const float* get() const { return values_.get(); }

 private:
  Scratch<float> values_;
};

}  // namespace

void conv3d_forward__bfloat16(const Conv3dForward& a) {
  const Rounded x(a.x, a.norm, a.shape), filter(a.filter, filter_size(a.shape));
  kernels().conv3d_forward({a.shape, x.get(), filter.get(), a.y, nullptr, a.residual});
}
void conv3d_input_gradient__bfloat16(const Conv3dInputGradient& a) {
  const Rounded dy(a.dy, output_size(a.shape)), filter(a.filter, filter_size(a.shape));
  kernels().conv3d_input_gradient({a.shape, dy.get(), filter.get(), a.dx});
}
void conv3d_filter_gradient__bfloat16(const Conv3dFilterGradient& a) {
  const Rounded x(a.x, a.norm, a.shape), dy(a.dy, output_size(a.shape));
  kernels().conv3d_filter_gradient({a.shape, x.get(), dy.get(), a.dfilter});
}

}  // namespace ctflow
