// The convolution and its gradients for AVX2 and FMA.
#include "kernels/conv3d/filter-gradient.h"
#include "kernels/conv3d/rows.h"
#include "kernels/simd/avx2.h"
#include "kernels/table.h"

namespace ctflow {

void conv3d_forward__avx2(const Conv3dForward& a) {
  if (!forward_by_rows<Avx2>(a)) conv3d_forward__scalar(a);
}
void conv3d_input_gradient__avx2(const Conv3dInputGradient& a) { input_gradient_by_rows<Avx2>(a); }
void conv3d_filter_gradient__avx2(const Conv3dFilterGradient& a) { FilterGradient<Avx2>(a).run(); }

}  // namespace ctflow
