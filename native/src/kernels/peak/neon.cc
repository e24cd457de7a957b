// The probe for NEON.
#include "kernels/peak/probe.h"
#include "kernels/simd/neon.h"
#include "kernels/table.h"

namespace ctflow {

void peak_probe__neon(const PeakProbe& probe) { best_probe<Neon>(probe); }

}  // namespace ctflow
