// Element-wise operations and sums for AVX2.
#include "kernels/elementwise/vector.h"
#include "kernels/simd/avx2.h"
#include "kernels/table.h"

namespace ctflow {

void elementwise__avx2(const Elementwise& a) { elementwise_vector<Avx2>(a); }
void channel_sum__avx2(const ChannelSum& a) { channel_sum_vector<Avx2>(a); }
void softmax__avx2(const Softmax& a) { softmax_vector<Avx2>(a); }

}  // namespace ctflow
