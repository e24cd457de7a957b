// What the processor can do at most: fused multiply-adds in registers alone.
#pragma once

namespace ctflow {

// Runs the probe on all threads for about `seconds`; GFLOP/s of all together.
struct PeakProbe {
  double seconds;
  double* gflops;
};

}  // namespace ctflow
