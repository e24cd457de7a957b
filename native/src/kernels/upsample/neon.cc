// Up-sampling for NEON.
#include "kernels/simd/neon.h"
#include "kernels/table.h"
#include "kernels/upsample/vector.h"

namespace ctflow {

void upsample_forward__neon(const UpsampleForward& a) { upsample_forward_vector<Neon>(a); }
void upsample_gradient__neon(const UpsampleGradient& a) { upsample_gradient_vector<Neon>(a); }

}  // namespace ctflow
