// One plane of a volume sampled on another grid: see imaging/resample.ts for the rule. All in float64, rounded once.
#pragma once

#include <cstdint>

namespace ctflow {

struct PlaneSampling {
  // Rows x, y, z: output voxel (x, y, z, 1) to input index, which is clamped to the volume.
  double map[12];
  int source[3];  // the volume's extents x, y, z
  int target[2];  // the plane's extents x, y
  int z;
  bool nearest;
  // The axes of both grids run along each other: only the diagonal of the map and its shifts count.
  bool separable;
  // Input planes low, low + 1, ...
  int low, count;
  const float* const* planes;
  float* to;
};

// False, and the plane not filled, where an input plane is needed that is not there. Throws ScratchFailure.
bool sample_plane(const PlaneSampling& call);

}  // namespace ctflow
