// Adam for AVX-512.
#include "kernels/adam/vector.h"
#include "kernels/simd/avx512.h"
#include "kernels/table.h"

namespace ctflow {

void adam_update__avx512(const AdamUpdate& a) { adam_vector<Avx512>(a); }

}  // namespace ctflow
