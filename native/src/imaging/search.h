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

// Marks candidates for crops in an index: foreground (label not 0) and background (not foreground, image above the
// threshold). For each x there is a plane of bits (y, z), z fastest, filled up to whole bytes; all foreground planes, then
// all background planes.
struct CandidateMarking {
  int nx, ny, planes;
  int z, nz;  // the first plane at hand, and how many the volume has
  int classes;
  double threshold;
  const float* label;
  const float* image;
  uint8_t* bits;
  double* counts;  // added to: foreground at each x, then background
};
inline int64_t candidate_plane_bytes(int ny, int nz) { return (static_cast<int64_t>(ny) * nz + 7) / 8; }
// -1, or the first voxel whose label is no class below `classes`; from there on nothing is marked.
int64_t mark_candidates(const CandidateMarking& call);

}  // namespace ctflow
