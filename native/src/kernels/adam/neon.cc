// Adam for NEON.
#include "kernels/adam/vector.h"
#include "kernels/simd/neon.h"
#include "kernels/table.h"

namespace ctflow {

void adam_update__neon(const AdamUpdate& a) { adam_vector<Neon>(a); }

}  // namespace ctflow
