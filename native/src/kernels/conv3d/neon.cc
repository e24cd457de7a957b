// The convolution and its gradients for NEON.
#include "kernels/conv3d/filter-gradient.h"
#include "kernels/conv3d/input-gradient-stride-2.h"
#include "kernels/conv3d/pointwise.h"
#include "kernels/conv3d/rows.h"
#include "kernels/conv3d/winograd-filter-gradient.h"
#include "kernels/conv3d/winograd.h"
#include "kernels/simd/neon.h"
#include "kernels/table.h"

namespace ctflow {

void conv3d_forward__neon(const Conv3dForward& a) {
  if (suits_winograd(a.shape)) return winograd_forward<Neon>(a);
  if (suits_pointwise(a.shape)) return pointwise_forward<Neon>(a);
  if (!forward_by_rows<Neon>(a)) conv3d_forward__scalar(a);
}
void conv3d_input_gradient__neon(const Conv3dInputGradient& a) {
  if (suits_winograd(a.shape)) return winograd_input_gradient<Neon>(a);
  if (suits_pointwise(a.shape)) return pointwise_input_gradient<Neon>(a);
  if (InputGradientStride2<Neon>::suits(a.shape)) return InputGradientStride2<Neon>(a).run();
  input_gradient_by_rows<Neon>(a);
}
void conv3d_filter_gradient__neon(const Conv3dFilterGradient& a) {
  if (suits_winograd(a.shape)) return WinogradFilterGradient<Neon>(a).run();
  if (suits_pointwise(a.shape) && a.shape.co <= kFewOutputs) return pointwise_filter_gradient<Neon>(a);
  FilterGradient<Neon>(a).run();
}

}  // namespace ctflow
