// Group normalisation for NEON.
#include "kernels/group-norm/vector.h"
#include "kernels/simd/neon.h"
#include "kernels/table.h"

namespace ctflow {

void group_norm_forward__neon(const GroupNormForward& a) { GroupNormVector<Neon>(a.shape).forward(a); }
void group_norm_gradient__neon(const GroupNormGradient& a) { GroupNormVector<Neon>(a.shape).gradient(a); }

}  // namespace ctflow
