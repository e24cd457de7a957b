// Dice and cross-entropy for AVX-512.
#include "kernels/simd/avx512.h"

#include "kernels/dice-ce/vector.h"
#include "kernels/table.h"

namespace ctflow {

void dice_cross_entropy__avx512(const DiceCrossEntropy& a) { dice_cross_entropy_vector<Avx512>(a); }

}  // namespace ctflow
