// Voxels as a NIfTI file stores them become float32.
#pragma once

#include <cstdint>

namespace ctflow {

// In the order of `storedTypes` in native/voxels.ts.
enum class Stored { kUint8, kInt8, kInt16, kUint16, kInt32, kUint32, kInt64, kUint64, kFloat32, kFloat64 };
constexpr int kStoredTypes = 10;

int stored_bytes(Stored type);

struct Decoding {
  Stored type;
  // In the other byte order than this machine's.
  bool swapped;
  // value = raw * slope + intercept in float64, rounded once; 1 and 0 leave the values as they are.
  double slope, intercept;
  int64_t count;
  const uint8_t* raw;  // on any boundary
  float* to;
};

// Values that are NaN or infinite.
struct NotFinite {
  int64_t count = 0;
  int64_t first = -1;
};

NotFinite decode(const Decoding& call);

}  // namespace ctflow
