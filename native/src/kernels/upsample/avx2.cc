// Up-sampling for AVX2 and FMA.
#include "kernels/simd/avx2.h"
#include "kernels/table.h"
#include "kernels/upsample/vector.h"

namespace ctflow {

void upsample_forward__avx2(const UpsampleForward& a) { upsample_forward_vector<Avx2>(a); }
void upsample_gradient__avx2(const UpsampleGradient& a) { upsample_gradient_vector<Avx2>(a); }

}  // namespace ctflow
