// Loops that look for voxels and leave them alone.
#pragma once

#include <cstdint>

namespace ctflow {

// The box around voxels (z, y, x) above a threshold, which is compared as float64.
struct BoxSearch {
  int nx, ny;
  int64_t planes;
  double threshold;
  const float* voxels;
  int64_t low[3], high[3];  // x, y, z, both inside; only where there is one
};
// False where no voxel is above.
bool search_box(BoxSearch& call);

// How many voxels of each x are foreground (label not 0), and background (not foreground, image above the threshold).
struct CandidateCount {
  int nx;
  int64_t rows;
  double threshold;
  const float* label;
  const float* image;  // null: every other voxel is background
  double* foreground;
  double* background;
};
// Throws ScratchFailure.
void count_candidates(const CandidateCount& call);

}  // namespace ctflow
