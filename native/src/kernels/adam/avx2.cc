// Adam for AVX2.
#include "kernels/adam/vector.h"
#include "kernels/simd/avx2.h"
#include "kernels/table.h"

namespace ctflow {

void adam_update__avx2(const AdamUpdate& a) { adam_vector<Avx2>(a); }

}  // namespace ctflow
