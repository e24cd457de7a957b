// The convolution and its gradients for AVX2 and FMA.
#include "kernels/conv3d/filter-gradient.h"
#include "kernels/conv3d/input-gradient-stride-2.h"
#include "kernels/conv3d/pointwise.h"
#include "kernels/conv3d/rows.h"
#include "kernels/conv3d/winograd-filter-gradient.h"
#include "kernels/conv3d/winograd.h"
#include "kernels/simd/avx2.h"
#include "kernels/table.h"

namespace ctflow {

void conv3d_forward__avx2(const Conv3dForward& a) {
  if (suits_winograd(a.shape)) return winograd_forward<Avx2>(a);
  if (suits_pointwise(a.shape)) return pointwise_forward<Avx2>(a);
  if (!forward_by_rows<Avx2>(a)) conv3d_forward__scalar(a);
}
void conv3d_input_gradient__avx2(const Conv3dInputGradient& a) {
  if (suits_winograd(a.shape)) return winograd_input_gradient<Avx2>(a);
  if (suits_pointwise(a.shape)) return pointwise_input_gradient<Avx2>(a);
  if (InputGradientStride2<Avx2>::suits(a.shape)) return InputGradientStride2<Avx2>(a).run();
  input_gradient_by_rows<Avx2>(a);
}
void conv3d_filter_gradient__avx2(const Conv3dFilterGradient& a) {
  if (suits_winograd(a.shape)) return WinogradFilterGradient<Avx2>(a).run();
  if (suits_pointwise(a.shape) && a.shape.co <= kFewOutputs) return pointwise_filter_gradient<Avx2>(a);
  FilterGradient<Avx2>(a).run();
}

}  // namespace ctflow
