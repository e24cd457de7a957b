// Sliding windows over a volume of which some planes are at hand: taking windows out, adding up their logits, and making
// probabilities of the sums. Planes (y, x) lie in rings: plane z at z % depth.
#pragma once

#include <cstdint>

namespace ctflow {

// A window of wx x wy x wz voxels at (x, y, z); wz <= depth. Bits 0, 1, 2 of `flips` mirror it along x, y, z.
struct WindowPlace {
  int nx, ny, depth;
  int x, y, z;
  int wx, wy, wz;
  int flips;
};

// The window (z, y, x), mirrored. True where all its voxels have the same bits.
bool take_window(const WindowPlace& place, const float* planes, float* to);

// Channels of the sums: one for two classes, of which the difference second - first is kept, else one per class.
inline int sum_channels(int classes) { return classes == 2 ? 1 : classes; }

struct WindowAdding {
  WindowPlace place;
  int classes;
  const float* logits;      // (z, y, x, class) of the mirrored window
  const float* importance;  // (z, y, x) of the window as it lies in the volume; null where all of it is 1
  float* sums;              // (channel, depth, ny, nx): importance * logit is added
  float* weights;           // (depth, ny, nx): importance is added; null where that is
};
void add_window(const WindowAdding& call);

// What becomes of the weighted means of the logits. The margin of two classes is the probability of the second less that of
// the first: its sign survives where a map is filled up with zeros and interpolated, a probability's distance from a half does not.
enum class Means { kLogits, kProbabilities, kMargin };

// Maps that are made: one per channel of the sums, per class, or one.
inline int means_maps(Means means, int classes) {
  return means == Means::kLogits ? sum_channels(classes) : means == Means::kMargin ? 1 : classes;
}

struct PlanesFinishing {
  int nx, ny, depth;
  int z, planes;  // which; planes <= depth
  int classes;
  Means means;
  float* sums;     // cleared where they were read, as the weights are
  float* weights;  // null where windows were not weighted:
  const float* counts[3];  // then a voxel's weight is the product of how many windows cover its x, its y and its k-th plane
  float* to;  // (map, planes, ny, nx)
};
// False where a mean is not finite; all is unfinished then.
bool finish_planes(const PlanesFinishing& call);

}  // namespace ctflow
