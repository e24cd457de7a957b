#include "stored/symbols.h"

#include <cstring>

#define CTFLOW_INLINE inline __attribute__((always_inline))

namespace ctflow {
namespace {

// A round takes the bits of at most two loads of 8 bytes, each moving on by at most 7.
constexpr int64_t kInputMargin = 16;
// Entries of two literals and of one, and a match of 258 bytes, which may write 15 bytes more than it has.
constexpr int64_t kOutputMargin = 288;

template <size_t n>
CTFLOW_INLINE void copy(uint8_t* to, const uint8_t* from) {
  uint8_t bytes[n];
  std::memcpy(bytes, from, n);
  std::memcpy(to, bytes, n);
}

// May write up to 15 bytes beyond.
CTFLOW_INLINE void copy_within(uint8_t* to, int64_t distance, int64_t length) {
  const uint8_t* from = to - distance;
  uint8_t* const end = to + length;
  if (distance >= 16) {
    do {
      copy<16>(to, from);
      to += 16;
      from += 16;
    } while (to < end);
  } else if (distance == 1) {
    const uint8_t byte = *from;
    do {
      std::memset(to, byte, 16);
      to += 16;
    } while (to < end);
  } else {
    // Of each 8 bytes the first `step` are right; the next round writes over the others.
    const int64_t step = distance < 8 ? distance : 8;
    do {
      copy<8>(to, from);
      to += step;
      from += step;
    } while (to < end);
  }
}

// BitSource in registers, with rubbish above `count`, and above the lowest 8 bits of it.
struct Bits {
  uint64_t bits;
  uint32_t count;
  const uint8_t* in;

  // At least 56 bits.
  CTFLOW_INLINE void refill() {
    bits |= load_little_64(in) << (count & 63);
    in += 7 - ((count >> 3) & 7);
    count |= 56;
  }
  CTFLOW_INLINE void drop(uint32_t entry) {
    bits >>= entry & 63;
    count -= entry;
  }
  CTFLOW_INLINE uint32_t look_up(const uint32_t* table, uint32_t table_bits) const { return table[lowest(bits, table_bits)]; }
  // In the entry's subtable.
  CTFLOW_INLINE uint32_t look_further(const uint32_t* table, uint32_t entry) {
    drop(entry);
    return table[(entry >> 16) + lowest(bits, code_bits(entry))];
  }
  // The bits behind the entry's codes.
  CTFLOW_INLINE int64_t extra(uint32_t entry) const { return static_cast<int64_t>(lowest(bits, entry & 63) >> code_bits(entry)); }
};

CTFLOW_INLINE uint8_t* put_literals(uint8_t* to, uint32_t entry) {
  to[0] = static_cast<uint8_t>(entry >> 16);
  to[1] = static_cast<uint8_t>(entry >> 24);
  return to + literals_of(entry);
}

CTFLOW_INLINE SymbolsEnd decode(const uint32_t* literals, const uint32_t* distances, const History& history, BitSource& source, Output& output) {
  Bits b{source.bits, source.count, source.in};
  uint8_t* to = output.at;
  SymbolsEnd why = SymbolsEnd::kMargin;
  while (source.end - b.in >= kInputMargin && output.end - to >= kOutputMargin) {
    b.refill();
    uint32_t entry = b.look_up(literals, kLiteralBits);
    if ((entry & (kMatch | kExceptional)) == 0) {
      to = put_literals(to, entry);
      b.drop(entry);
      entry = b.look_up(literals, kLiteralBits);
      if ((entry & (kMatch | kExceptional)) == 0) {
        to = put_literals(to, entry);
        b.drop(entry);
        continue;
      }
    }
    if ((entry & kExceptional) != 0) {
      if (is_subtable(entry)) entry = b.look_further(literals, entry);
      if ((entry & kExceptional) != 0) {
        b.drop(entry);
        why = is_end(entry) ? SymbolsEnd::kBlockEnd : SymbolsEnd::kBadLiteral;
        break;
      }
      if ((entry & kMatch) == 0) {
        to = put_literals(to, entry);
        b.drop(entry);
        continue;
      }
    }
    to = put_literals(to, entry);
    const int64_t length = 3 + (entry >> 24) + b.extra(entry);
    b.drop(entry);
    // A distance has at most 28 bits.
    if ((b.count & 63) < 28) b.refill();
    entry = b.look_up(distances, kDistanceBits);
    if ((entry & kExceptional) != 0) {
      if (is_subtable(entry)) entry = b.look_further(distances, entry);
      if ((entry & kExceptional) != 0) {
        why = SymbolsEnd::kBadDistance;
        break;
      }
    }
    const int64_t distance = (entry >> 16) + b.extra(entry);
    b.drop(entry);
    if (distance > to - output.begin) {
      if (distance > to - output.begin + history.count) {
        why = SymbolsEnd::kTooFar;
        break;
      }
      to = copy_with_history(history, output.begin, to, distance, length);
      continue;
    }
    copy_within(to, distance, length);
    to += length;
  }
  source.count = b.count & 63;
  source.bits = lowest(b.bits, source.count);
  source.in = b.in;
  output.at = to;
  return why;
}

#if defined(__x86_64__)
// With shifts and masks by any register.
__attribute__((target("bmi,bmi2"))) SymbolsEnd decode_bmi2(const uint32_t* literals, const uint32_t* distances, const History& history,
                                                           BitSource& source, Output& to) {
  return decode(literals, distances, history, source, to);
}
#endif

}  // namespace

SymbolsEnd decode_symbols(const uint32_t* literals, const uint32_t* distances, const History& history, BitSource& source, Output& to) {
#if defined(__x86_64__)
  static const bool has_bmi2 = __builtin_cpu_supports("bmi") != 0 && __builtin_cpu_supports("bmi2") != 0;
  if (has_bmi2) return decode_bmi2(literals, distances, history, source, to);
#endif
  return decode(literals, distances, history, source, to);
}

}  // namespace ctflow
