// Masks: which class a place has, and a margin's mask sampled on another grid, as it is kept.
#pragma once

#include <cstdint>
#include <vector>

namespace ctflow {

// The class of the highest value at each place, of several the first; of one map, a margin, whether it is above 0.
struct PlaneMasking {
  std::vector<const float*> maps;
  int64_t count;
  uint8_t* to;
};
void mask_plane(const PlaneMasking& call);

// Of a run: two uint32 and its value.
constexpr int kRunBytes = 9;

struct MaskSampling {
  // As of PlaneSampling, separable and linear.
  double map[12];
  int source[3];  // the margin's extents x, y, z
  int target[2];  // a plane's extents x, y
  int z, planes;  // output planes
  // Input planes low, low + 1, ...
  int low;
  std::vector<const float*> margin;
  // (planes, y * x): each plane's runs, see imaging/mask.ts, the rest of it unspecified; or, where those take more bytes, its voxels.
  uint8_t* to;
};

// Where the sampled margin, in float32, is above 0. Gives each plane's runs, or -1 for voxels; nothing where an input plane
// is needed that is not there. Throws ScratchFailure.
std::vector<int> sample_mask(const MaskSampling& call);

}  // namespace ctflow
