// Which probe of bfloat16 products this processor can run.
#include "kernels/peak/peak.h"

namespace ctflow {

#if defined(__x86_64__)

void bfloat16_probe__avx512bf16(const PeakProbe&);

bool bfloat16_probe(const PeakProbe& probe) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512dq")) return false;
  bfloat16_probe__avx512bf16(probe);
  return true;
}

#else

bool bfloat16_probe(const PeakProbe&) { return false; }

#endif

}  // namespace ctflow
