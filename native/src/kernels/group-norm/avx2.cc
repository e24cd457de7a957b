// Group normalisation for AVX2 and FMA.
#include "kernels/group-norm/vector.h"
#include "kernels/simd/avx2.h"
#include "kernels/table.h"

namespace ctflow {

void group_norm_forward__avx2(const GroupNormForward& a) { GroupNormVector<Avx2>(a.shape).forward(a); }
void group_norm_gradient__avx2(const GroupNormGradient& a) { GroupNormVector<Avx2>(a.shape).gradient(a); }

}  // namespace ctflow
