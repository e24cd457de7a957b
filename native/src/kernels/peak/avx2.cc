// The probe for AVX2.
#include "kernels/peak/probe.h"
#include "kernels/simd/avx2.h"
#include "kernels/table.h"

namespace ctflow {

void peak_probe__avx2(const PeakProbe& probe) { best_probe<Avx2>(probe); }

}  // namespace ctflow
