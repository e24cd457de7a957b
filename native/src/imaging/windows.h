// Sliding windows over a volume of which some planes are at hand: taking windows out, adding up their logits, and making
// probabilities of the sums. Planes (y, x) lie in rings: plane z at z % depth.
#pragma once

#include <cstdint>
#include <vector>

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
  const float* importance;  // (z, y, x) of the window as it lies in the volume
  float* sums;              // (channel, depth, ny, nx): importance * logit is added
  float* weights;           // (depth, ny, nx): importance is added
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
  float* weights;
  float* to;  // (map, planes, ny, nx)
};
// False where a mean is not finite; all is unfinished then.
bool finish_planes(const PlanesFinishing& call);

// The class of the highest value at each place, of several the first; of one map, a margin, whether it is above 0.
struct PlaneMasking {
  std::vector<const float*> maps;
  int64_t count;
  uint8_t* to;
};
void mask_plane(const PlaneMasking& call);

}  // namespace ctflow
