// Distances between the surfaces of two masks, exact and Euclidean.
#pragma once

#include <cstdint>
#include <vector>

namespace ctflow {

// A mask of a box (z, y, x), a bit for each voxel: bit x % 32 of word x / 32 of its row. What is outside of the box is not
// in the mask; what a row's last word has beyond nx is not looked at.
struct BitMask {
  int nx, ny, nz;
  const uint32_t* words;
};

inline int64_t bit_mask_row_words(int nx) { return (static_cast<int64_t>(nx) + 31) / 32; }

// How many voxels have a face outside of the mask.
int64_t surface_voxels(const BitMask& mask);

// So that places and distances in voxels are int; nx * ny as well.
constexpr int kMostSurfaceExtent = 1 << 28;

// mm from each voxel on the surface of `from` to the nearest one on that of `to`, ascending; none where either mask is empty.
// A surface is the voxels with a face outside of their mask. Computed in float64 and rounded once; the bits are the same
// on every processor. Spacing, mm along x, y, z, is positive.
struct SurfaceSearch {
  BitMask from;
  BitMask to;  // of the same extents
  double spacing[3];
};
std::vector<float> surface_distances(const SurfaceSearch& call);

}  // namespace ctflow
