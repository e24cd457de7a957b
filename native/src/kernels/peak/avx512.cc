// The probe for AVX-512.
#include "kernels/peak/probe.h"
#include "kernels/simd/avx512.h"
#include "kernels/table.h"

namespace ctflow {

void peak_probe__avx512(const PeakProbe& probe) { best_probe<Avx512>(probe); }

}  // namespace ctflow
