// One step of Adam in place, torch's single-tensor formula; the bias corrections come in float64.
#pragma once

#include <cstdint>

namespace ctflow {

struct AdamUpdate {
  int64_t size;
  double beta1, beta2;
  double epsilon;
  double weight_decay;
  double step_size;           // learning rate / (1 - beta1^step)
  double root_correction;     // sqrt(1 - beta2^step)
  const float* gradient;
  float* param;
  float* m;
  float* v;
};

}  // namespace ctflow
