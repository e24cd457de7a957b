// Adam in a plain loop.
#include <cmath>

#include "kernels/table.h"

namespace ctflow {

void adam_update__scalar(const AdamUpdate& a) {
  for (int64_t i = 0; i < a.size; i++) {
    const double g = a.gradient[i] + a.weight_decay * a.param[i];
    a.m[i] = static_cast<float>(a.beta1 * a.m[i] + (1 - a.beta1) * g);
    a.v[i] = static_cast<float>(a.beta2 * a.v[i] + (1 - a.beta2) * g * g);
    const double denominator = std::sqrt(a.v[i]) / a.root_correction + a.epsilon;
    a.param[i] = static_cast<float>(a.param[i] - a.step_size * a.m[i] / denominator);
  }
}

}  // namespace ctflow
