// Voxels as they are kept: float32 as they are, whole numbers as uint8, or 16 bits between a plane's least and greatest.
#pragma once

#include <cstdint>

namespace ctflow {

enum class StoredAs : int { kFloat32 = 0, kUint8 = 1, kUint16 = 2 };

static inline int64_t stored_bytes(StoredAs as) { return as == StoredAs::kFloat32 ? 4 : as == StoredAs::kUint16 ? 2 : 1; }

// What a plane's 16-bit codes mean: 65535 is `greatest`, any other code q is least + q * step. `step` has 24 significant
// bits, so that the product is exact in float64 and it does not matter whether a compiler fuses it with the sum.
struct PlaneScale {
  float least;
  float step;
  float greatest;
};

// False, and `to` unfinished, where a voxel is no whole number in 0..255 (-0 is none).
bool encode_uint8(const float* from, int64_t count, uint8_t* to);

// One plane. False where a voxel is not finite.
bool encode_uint16(const float* from, int64_t count, uint16_t* to, PlaneScale* scale);

// `scale` is read for 16 bits only. `from` is aligned to its element.
void decode(StoredAs as, const uint8_t* from, const PlaneScale& scale, int64_t count, float* to);

}  // namespace ctflow
