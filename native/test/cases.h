// Cases of every kernel, drawn at random: awkward shapes, and small enough that a machine which pretends to be another
// gets through some hundred of them.
#pragma once

#include <string>

#include "check.h"
#include "kernels/table.h"

namespace ctflow_test {

struct Case {
  std::string what;
  // Runs one variant of the kernel on the case's own numbers.
  std::function<Outputs(const ctflow::Kernels&)> compute;
};

struct Family {
  const char* name;
  Case (*draw)(Random&);
};

// All kernels but the probe, which computes nothing.
const std::vector<Family>& families();

// A kernel with memory for each worker and some dozen tasks, none of them short.
Case long_case();

}  // namespace ctflow_test
