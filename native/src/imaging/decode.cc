#include "imaging/decode.h"

#include <algorithm>
#include <cstring>

namespace ctflow {
namespace {

// Stays in the first cache between decoding and checking.
constexpr int64_t kBlock = 2048;

inline uint8_t swap_bytes(uint8_t v) { return v; }
inline uint16_t swap_bytes(uint16_t v) { return static_cast<uint16_t>(v << 8 | v >> 8); }
inline uint32_t swap_bytes(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t swap_bytes(uint64_t v) { return __builtin_bswap64(v); }

template <int kBytes>
struct BitsOf;
template <>
struct BitsOf<1> { using Type = uint8_t; };
template <>
struct BitsOf<2> { using Type = uint16_t; };
template <>
struct BitsOf<4> { using Type = uint32_t; };
template <>
struct BitsOf<8> { using Type = uint64_t; };

template <class T, bool kSwap>
inline T load(const uint8_t* at) {
  typename BitsOf<sizeof(T)>::Type bits;
  std::memcpy(&bits, at, sizeof bits);
  if (kSwap) bits = swap_bytes(bits);
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Numbers of 64 bits are rounded to float64 on their way, as JavaScript has no wider ones.
template <class T>
inline float narrow(T value) { return static_cast<float>(value); }
inline float narrow(int64_t value) { return static_cast<float>(static_cast<double>(value)); }
inline float narrow(uint64_t value) { return static_cast<float>(static_cast<double>(value)); }

template <class T, bool kSwap>
void convert(const Decoding& c, int64_t from, int64_t count) {
  const uint8_t* const raw = c.raw + from * static_cast<int64_t>(sizeof(T));
  float* const to = c.to + from;
  if (c.slope == 1 && c.intercept == 0) {
    for (int64_t i = 0; i < count; i++) to[i] = narrow(load<T, kSwap>(raw + i * static_cast<int64_t>(sizeof(T))));
    return;
  }
  const double slope = c.slope, intercept = c.intercept;
  for (int64_t i = 0; i < count; i++) {
    const double value = static_cast<double>(load<T, kSwap>(raw + i * static_cast<int64_t>(sizeof(T))));
    to[i] = static_cast<float>(value * slope + intercept);
  }
}

template <class T>
NotFinite decode_as(const Decoding& c) {
  NotFinite found;
  for (int64_t from = 0; from < c.count; from += kBlock) {
    const int64_t count = std::min(kBlock, c.count - from);
    if (c.swapped)
      convert<T, true>(c, from, count);
    else
      convert<T, false>(c, from, count);
    const float* const values = c.to + from;
    int bad = 0;
    for (int64_t i = 0; i < count; i++) bad += !(values[i] - values[i] == 0);
    if (bad > 0 && found.count == 0)
      found.first = from + (std::find_if(values, values + count, [](float v) { return !(v - v == 0); }) - values);
    found.count += bad;
  }
  return found;
}

}  // namespace

int stored_bytes(Stored type) {
  static constexpr int kBytes[kStoredTypes] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
  return kBytes[static_cast<int>(type)];
}

NotFinite decode(const Decoding& call) {
  switch (call.type) {
    case Stored::kUint8: return decode_as<uint8_t>(call);
    case Stored::kInt8: return decode_as<int8_t>(call);
    case Stored::kInt16: return decode_as<int16_t>(call);
    case Stored::kUint16: return decode_as<uint16_t>(call);
    case Stored::kInt32: return decode_as<int32_t>(call);
    case Stored::kUint32: return decode_as<uint32_t>(call);
    case Stored::kInt64: return decode_as<int64_t>(call);
    case Stored::kUint64: return decode_as<uint64_t>(call);
    case Stored::kFloat32: return decode_as<float>(call);
    case Stored::kFloat64: return decode_as<double>(call);
  }
  return {};
}

}  // namespace ctflow
