// Dice and cross-entropy for AVX2.
#include "kernels/simd/avx2.h"

#include "kernels/dice-ce/vector.h"
#include "kernels/table.h"

namespace ctflow {

void dice_cross_entropy__avx2(const DiceCrossEntropy& a) { dice_cross_entropy_vector<Avx2>(a); }

}  // namespace ctflow
