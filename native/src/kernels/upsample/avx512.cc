// Up-sampling for AVX-512.
#include "kernels/simd/avx512.h"
#include "kernels/table.h"
#include "kernels/upsample/vector.h"

namespace ctflow {

void upsample_forward__avx512(const UpsampleForward& a) { upsample_forward_vector<Avx512>(a); }
void upsample_gradient__avx512(const UpsampleGradient& a) { upsample_gradient_vector<Avx512>(a); }

}  // namespace ctflow
