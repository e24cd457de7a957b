// The convolution and its gradients with bfloat16 products, for avx512_bf16.
#include "kernels/conv3d/bfloat16-filter-gradient.h"
#include "kernels/conv3d/bfloat16-rows.h"
#include "kernels/conv3d/input-gradient-stride-2.h"
#include "kernels/conv3d/rows.h"
#include "kernels/simd/avx512bf16.h"
#include "kernels/table.h"

namespace ctflow {

void conv3d_forward__avx512bf16(const Conv3dForward& a) {
  if (!forward_by_rows<Avx512Bf16, Bfloat16Slots>(a)) conv3d_forward__bfloat16(a);
}
void conv3d_input_gradient__avx512bf16(const Conv3dInputGradient& a) {
  using Stride2 = InputGradientStride2<Avx512Bf16, Bfloat16Slots>;
  if (Stride2::suits(a.shape)) return Stride2(a).run();
  input_gradient_by_rows<Avx512Bf16, Bfloat16Slots>(a);
}
void conv3d_filter_gradient__avx512bf16(const Conv3dFilterGradient& a) {
  Bfloat16FilterGradient<Avx512Bf16>(a).run();
}

}  // namespace ctflow
