#include "stored/encoding.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

namespace ctflow {
namespace {

// Voxels between two looks whether it is still worth going on.
constexpr int64_t kBlock = 4096;
// Independent extremes, so that a compiler may keep them in vectors.
constexpr int kLanes = 16;

bool is_finite(const float* from, int64_t count) {
  uint32_t worst = 0;
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    std::memcpy(&bits, from + i, 4);
    worst = std::max(worst, bits & 0x7FFFFFFF);
  }
  return worst < 0x7F800000;
}

void extremes(const float* from, int64_t count, float* least, float* greatest) {
  float low[kLanes], high[kLanes];
  std::fill_n(low, kLanes, from[0]);
  std::fill_n(high, kLanes, from[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int k = 0; k < kLanes; k++) {
      const float v = from[i + k];
      low[k] = v < low[k] ? v : low[k];
      high[k] = v > high[k] ? v : high[k];
    }
  }
  for (; i < count; i++) {
    low[0] = std::min(low[0], from[i]);
    high[0] = std::max(high[0], from[i]);
  }
  *least = *std::min_element(low, low + kLanes);
  *greatest = *std::max_element(high, high + kLanes);
}

// The smallest step that is not below a 65535th of the range, and no denormal number.
float step_of(double range) {
  float step = static_cast<float>(range / 65535);
  if (static_cast<double>(step) * 65535 < range) step = std::nextafterf(step, INFINITY);
  return std::max(step, FLT_MIN);
}

}  // namespace

bool encode_uint8(const float* from, int64_t count, uint8_t* to) {
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t end = std::min(count, start + kBlock);
    uint32_t differs = 0;
    for (int64_t i = start; i < end; i++) {
      float bounded = from[i] >= 0 ? from[i] : 0;
      bounded = bounded <= 255 ? bounded : 255;
      const int32_t whole = static_cast<int32_t>(bounded);
      const float back = static_cast<float>(whole);
      uint32_t wanted, found;
      std::memcpy(&wanted, from + i, 4);
      std::memcpy(&found, &back, 4);
      differs |= wanted ^ found;
      to[i] = static_cast<uint8_t>(whole);
    }
    if (differs != 0) return false;
  }
  return true;
}

bool encode_uint16(const float* from, int64_t count, uint16_t* to, PlaneScale* scale) {
  *scale = {0, 0, 0};
  if (count == 0) return true;
  if (!is_finite(from, count)) return false;
  float least, greatest;
  extremes(from, count, &least, &greatest);
  const double origin = least;
  const float step = greatest > least ? step_of(static_cast<double>(greatest) - origin) : 0;
  const double per_step = greatest > least ? 1 / static_cast<double>(step) : 0;
  *scale = {least, step, greatest};
  const float top = greatest > least ? greatest : INFINITY;
  for (int64_t i = 0; i < count; i++) {
    const int32_t code = static_cast<int32_t>((from[i] - origin) * per_step + 0.5);
    to[i] = static_cast<uint16_t>(from[i] == top ? 65535 : code);
  }
  return true;
}

void decode(StoredAs as, const uint8_t* from, const PlaneScale& scale, int64_t count, float* to) {
  if (as == StoredAs::kFloat32) {
    std::memcpy(to, from, static_cast<size_t>(count) * 4);
  } else if (as == StoredAs::kUint8) {
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
  } else {
    const uint16_t* codes = reinterpret_cast<const uint16_t*>(from);
    const double least = scale.least;
    const double step = scale.step;
    const float greatest = scale.greatest;
    for (int64_t i = 0; i < count; i++) {
      const float value = static_cast<float>(least + static_cast<double>(static_cast<int32_t>(codes[i])) * step);
      to[i] = codes[i] == 65535 ? greatest : value;
    }
  }
}

}  // namespace ctflow
