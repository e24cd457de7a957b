// The probe in plain C++: what the compiler makes of a loop for the baseline instruction set.
#include "kernels/peak/probe.h"
#include "kernels/table.h"

namespace ctflow {

void peak_probe__scalar(const PeakProbe& probe) {
  constexpr int kChains = 32;
  Scratch<float> kept(thread_count());
  Best(probe).measure("32 chains", probe.seconds, 2.0 * kChains, kFirstIterations, [&](int task, long iterations) {
    float sum[kChains];
    for (int i = 0; i < kChains; i++) sum[i] = static_cast<float>(i);
    for (long k = 0; k < iterations; k++)
      for (int i = 0; i < kChains; i++) sum[i] = sum[i] * 0.999f + 0.001f;
    float total = 0;
    for (int i = 0; i < kChains; i++) total += sum[i];
    kept[task] = total;
  });
}

}  // namespace ctflow
