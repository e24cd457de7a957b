// Element-wise operations and sums for NEON.
#include "kernels/elementwise/vector.h"
#include "kernels/simd/neon.h"
#include "kernels/table.h"

namespace ctflow {

void elementwise__neon(const Elementwise& a) { elementwise_vector<Neon>(a); }
void channel_sum__neon(const ChannelSum& a) { channel_sum_vector<Neon>(a); }
void softmax__neon(const Softmax& a) { softmax_vector<Neon>(a); }

}  // namespace ctflow
