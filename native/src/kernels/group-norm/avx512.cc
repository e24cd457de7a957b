// Group normalisation for AVX-512.
#include "kernels/group-norm/vector.h"
#include "kernels/simd/avx512.h"
#include "kernels/table.h"

namespace ctflow {

void group_norm_forward__avx512(const GroupNormForward& a) { GroupNormVector<Avx512>(a.shape).forward(a); }
void group_norm_gradient__avx512(const GroupNormGradient& a) { GroupNormVector<Avx512>(a.shape).gradient(a); }

}  // namespace ctflow
