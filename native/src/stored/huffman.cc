#include "stored/huffman.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ctflow {
namespace {

// Of each symbol its entry without the bits of its code.
template <size_t n>
using Meanings = std::array<uint32_t, n>;

constexpr Meanings<kLiterals> literal_meanings() {
  Meanings<kLiterals> meanings{};
  for (uint32_t symbol = 0; symbol < 256; symbol++) meanings[symbol] = kOneLiteral | symbol << 16;
  meanings[256] = kEnd;
  uint32_t least = 0;
  for (uint32_t i = 0; i < 28; i++) {
    const uint32_t extra = i < 8 ? 0 : i / 4 - 1;
    meanings[257 + i] = kMatch | least << 24 | extra;
    least += 1u << extra;
  }
  meanings[285] = kMatch | 255u << 24;
  meanings[286] = meanings[287] = kNoCode;
  return meanings;
}

constexpr Meanings<kDistances> distance_meanings() {
  Meanings<kDistances> meanings{};
  uint32_t least = 1;
  for (uint32_t i = 0; i < 30; i++) {
    const uint32_t extra = i < 4 ? 0 : i / 2 - 1;
    meanings[i] = least << 16 | extra;
    least += 1u << extra;
  }
  meanings[30] = meanings[31] = kNoCode;
  return meanings;
}

constexpr Meanings<kCodeLengths> code_length_meanings() {
  Meanings<kCodeLengths> meanings{};
  for (uint32_t symbol = 0; symbol < kCodeLengths; symbol++) meanings[symbol] = symbol << 16;
  return meanings;
}

constexpr auto kLiteralMeanings = literal_meanings();
constexpr auto kDistanceMeanings = distance_meanings();
constexpr auto kCodeLengthMeanings = code_length_meanings();

constexpr uint32_t with_code(uint32_t meaning, uint32_t bits) { return meaning + (bits << 8) + bits; }

// The code after `code`, of the same length, read from its lowest bit on; `last` is all ones.
uint32_t next_code(uint32_t code, uint32_t last) {
  const uint32_t bit = 1u << (31 - __builtin_clz(code ^ last));
  return (code & (bit - 1)) | bit;
}

struct Code {
  int of_length[kLongestCode + 1] = {};
  // By length, then by symbol.
  uint16_t symbols[kLiterals];
  int count = 0;
  // Codes of the greatest length that are still free: 0 of a complete code, negative of an impossible one.
  int free = 1;
  bool has_short_ones_only = false;
};

Code sorted_code(const uint8_t* lengths, int count) {
  Code code;
  for (int symbol = 0; symbol < count; symbol++) code.of_length[lengths[symbol]]++;
  code.count = count - code.of_length[0];
  code.has_short_ones_only = code.of_length[1] == code.count;
  code.of_length[0] = 0;
  int at[kLongestCode + 1];
  for (int length = 1, first = 0; length <= kLongestCode; length++) {
    at[length] = first;
    first += code.of_length[length];
    // An impossible code stays one.
    code.free = code.free < 0 ? code.free : 2 * code.free - code.of_length[length];
  }
  for (int symbol = 0; symbol < count; symbol++)
    if (lengths[symbol] != 0) code.symbols[at[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
  return code;
}

// A complete code. Codes grow with their place in `symbols`; entries of shorter codes are doubled as the length grows.
void fill(const Code& code, const uint32_t* meanings, uint32_t table_bits, uint32_t* table) {
  const uint16_t* symbol = code.symbols;
  uint32_t bits = 0;
  uint32_t length = 1, filled = 2;
  for (; length <= table_bits; length++, filled *= 2) {
    if (length > 1) std::memcpy(table + filled / 2, table, filled / 2 * sizeof *table);
    for (int left = code.of_length[length]; left > 0; left--) {
      table[bits] = with_code(meanings[*symbol++], length);
      if (bits == filled - 1) {
        for (; filled < 1u << table_bits; filled *= 2) std::memcpy(table + filled, table, filled * sizeof *table);
        return;
      }
      bits = next_code(bits, filled - 1);
    }
  }
  uint32_t prefix = UINT32_MAX, begin = 0, end = 1u << table_bits;
  for (;; length++)
    for (int left = code.of_length[length]; left > 0; left--) {
      const uint32_t low = bits & ((1u << table_bits) - 1);
      if (low != prefix) {
        prefix = low;
        begin = end;
        // As many bits as the codes fill that are left, the shortest first.
        uint32_t subtable_bits = length - table_bits;
        for (int codes = left; codes < 1 << subtable_bits;) {
          subtable_bits++;
          codes = 2 * codes + code.of_length[table_bits + subtable_bits];
        }
        end += 1u << subtable_bits;
        table[prefix] = kSubtable | begin << 16 | subtable_bits << 8 | table_bits;
      }
      const uint32_t entry = with_code(meanings[*symbol++], length - table_bits);
      for (uint32_t i = bits >> table_bits; i < end - begin; i += 1u << (length - table_bits)) table[begin + i] = entry;
      if (bits == (1u << length) - 1) return;
      bits = next_code(bits, (1u << length) - 1);
    }
}

// Of a code that is all there is, or of none: entries that are no code have one bit, as in zlib.
void fill_incomplete(const Code& code, const uint32_t* meanings, uint32_t table_bits, uint32_t* table) {
  const uint32_t none = with_code(kNoCode, 1);
  std::fill_n(table, 1u << table_bits, none);
  if (code.count == 0) return;
  const uint32_t entry = with_code(meanings[code.symbols[0]], 1);
  for (uint32_t i = 0; i < 1u << table_bits; i += 2) table[i] = entry;
}

bool build(const uint8_t* lengths, int count, const uint32_t* meanings, uint32_t table_bits, uint32_t* table) {
  const Code code = sorted_code(lengths, count);
  if (code.free < 0 || (code.free > 0 && !code.has_short_ones_only)) return false;
  (code.free > 0 ? fill_incomplete : fill)(code, meanings, table_bits, table);
  return true;
}

}  // namespace

bool build_literals(const uint8_t* lengths, int count, uint32_t* table) {
  if (!build(lengths, count, kLiteralMeanings.data(), kLiteralBits, table)) return false;
  // A literal and what follows at once, where the bits of an entry hold both codes. From the last one on: what follows has a
  // lower index, and is still single. No branches: which entries are joined is as good as random.
  for (uint32_t i = 1u << kLiteralBits; i-- > 0;) {
    const uint32_t first = table[i];
    const uint32_t second = table[i >> code_bits(first)];
    const uint32_t last = (second & kMatch) != 0 ? second & 0xFF000000 : (second & 0xFF0000) << 8;
    // Bits and literals of both add up.
    const uint32_t joined = first + (second & 0xFFFF) + last;
    const bool fits = ((first & kKind) == kOneLiteral) & ((second & kExceptional) == 0) & (code_bits(first) + code_bits(second) <= kLiteralBits);
    table[i] = fits ? joined : first;
  }
  return true;
}

bool build_distances(const uint8_t* lengths, int count, uint32_t* table) {
  return build(lengths, count, kDistanceMeanings.data(), kDistanceBits, table);
}

bool build_code_lengths(const uint8_t* lengths, uint32_t* table) {
  const Code code = sorted_code(lengths, kCodeLengths);
  if (code.count == 0) {
    // zlib reads a zero from each bit, and finds the end of the block missing.
    std::fill_n(table, 1u << kCodeLengthBits, with_code(0, 1));
    return true;
  }
  if (code.free != 0) return false;
  fill(code, kCodeLengthMeanings.data(), kCodeLengthBits, table);
  return true;
}

}  // namespace ctflow
