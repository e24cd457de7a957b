// Bits of a deflate stream, the lowest of each byte first, from input that arrives in parts.
#pragma once

#include <cstdint>
#include <cstring>

namespace ctflow {

inline uint64_t load_little_64(const uint8_t* from) {
  uint64_t bits;
  std::memcpy(&bits, from, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  bits = __builtin_bswap64(bits);
#endif
  return bits;
}

// The lowest `count` bits, count below 64.
inline uint64_t lowest(uint64_t bits, uint32_t count) { return bits & ((uint64_t{1} << count) - 1); }

// `bits` and `count` outlive the input that they came from: a stream may stop at any bit and go on with the next part.
struct BitSource {
  uint64_t bits = 0;
  // At most 63; what is above them in `bits` is 0.
  uint32_t count = 0;
  const uint8_t* in = nullptr;
  const uint8_t* end = nullptr;

  // Whether there are `wanted` bits, at most 56; where there are not, all that were left are in `bits`.
  bool need(uint32_t wanted) {
    if (count >= wanted) return true;
    if (end - in >= 8) {
      const uint32_t bytes = (63 - count) / 8;
      bits |= lowest(load_little_64(in), 8 * bytes) << count;
      in += bytes;
      count += 8 * bytes;
      return true;
    }
    for (; count < wanted; count += 8) {
      if (in == end) return false;
      bits |= static_cast<uint64_t>(*in++) << count;
    }
    return true;
  }
  void drop(uint32_t used) {
    bits >>= used;
    count -= used;
  }
  uint32_t take(uint32_t wanted) {
    const auto taken = static_cast<uint32_t>(lowest(bits, wanted));
    drop(wanted);
    return taken;
  }
};

}  // namespace ctflow
