// Dice and cross-entropy for NEON.
#include "kernels/simd/neon.h"

#include "kernels/dice-ce/vector.h"
#include "kernels/table.h"

namespace ctflow {

void dice_cross_entropy__neon(const DiceCrossEntropy& a) { dice_cross_entropy_vector<Neon>(a); }

}  // namespace ctflow
