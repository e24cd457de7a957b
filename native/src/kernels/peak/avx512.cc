// The probes for AVX-512: with whole registers, and with half ones, which some processors run at a higher clock.
#include "kernels/peak/probe.h"
#include "kernels/simd/avx2.h"
#include "kernels/simd/avx512.h"
#include "kernels/table.h"

namespace ctflow {

void peak_probe__avx512(const PeakProbe& probe) {
  Best best(probe);
  const double part = probe.seconds / 8;
  measure_chains<Avx512, 8>(best, "8 chains of 512 bits", part);
  measure_chains<Avx512, 10>(best, "10 chains of 512 bits", part);
  measure_chains<Avx512, 12>(best, "12 chains of 512 bits", part);
  measure_chains<Avx512, 16>(best, "16 chains of 512 bits", part);
  measure_chains<Avx512, 24>(best, "24 chains of 512 bits", part);
  measure_chains<Avx2, 10>(best, "10 chains of 256 bits", part);
  measure_chains<Avx2, 12>(best, "12 chains of 256 bits", part);
  measure_chains<Avx2, 14>(best, "14 chains of 256 bits", part);
}

}  // namespace ctflow
