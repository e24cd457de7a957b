// Element-wise operations and sums for AVX-512.
#include "kernels/elementwise/vector.h"
#include "kernels/simd/avx512.h"
#include "kernels/table.h"

namespace ctflow {

void elementwise__avx512(const Elementwise& a) { elementwise_vector<Avx512>(a); }
void channel_sum__avx512(const ChannelSum& a) { channel_sum_vector<Avx512>(a); }
void softmax__avx512(const Softmax& a) { softmax_vector<Avx512>(a); }

}  // namespace ctflow
