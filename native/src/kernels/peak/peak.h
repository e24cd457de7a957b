// What the machine can do at most: what the figures of kernels are shares of.
#pragma once

namespace ctflow {

// Runs probes on all threads for about `seconds` together. Of several the best counts: a loop that leaves units idle says
// nothing about the machine.
struct PeakProbe {
  double seconds;
  double* rate;       // GFLOP/s, or GB/s, of all threads together
  const char** best;  // which probe that was
};

// Products of bfloat16 with sums in float32, two products per lane and instruction; false where the processor has none.
bool bfloat16_probe(const PeakProbe&);

// Bytes read and written by copies that are too large for the caches.
void copy_probe(const PeakProbe&);

}  // namespace ctflow
