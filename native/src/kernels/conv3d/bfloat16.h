// bfloat16, the upper half of a float32: how the mixed-precision convolutions round what they multiply. Denormal numbers
// become zeros, as in the processors' own instructions.
#pragma once

#include <cstdint>
#include <cstring>

namespace ctflow {
namespace {

// To the nearest, ties to even; NaN stays NaN.
inline uint32_t bfloat16_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (bits >> 16) | 0x40;
  if (magnitude < 0x00800000) return bits >> 16 & 0x8000;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The nearest float32 that is a bfloat16.
inline float rounded_to_bfloat16(float value) { return float_of_bits(bfloat16_bits(value) << 16); }

// Two in 32 bits.
inline float bfloat16_pair(float low, float high) {
  return float_of_bits(bfloat16_bits(low) | bfloat16_bits(high) << 16);
}

}  // namespace
}  // namespace ctflow
