// Tables that decode the Huffman codes of deflate (RFC 1951), and what their symbols mean.
//
// A table is looked up with the next kLiteralBits or kDistanceBits bits. An entry of literals and lengths:
//   bits 0-7    bits to drop: of its codes, and of the extra bits behind that of a length
//   bits 8-11   bits of its codes alone; of a subtable the bits that it is looked up with
//   bits 12-13  how many literals it begins with
//   bit  14     kMatch: it ends with a length
//   bit  15     kExceptional: neither. Bits 12-13 say whether the code is longer and its subtable begins at bits 16-31, the block
//               ends, or these bits are no code
//   bits 16-23  the first literal
//   bits 24-31  the second literal, or the least length less 3
// Noise in a scan's lowest bits makes literals and short matches take turns at random, which no processor foresees; with a
// literal and the length behind it in one entry there is less to foresee. An entry of distances has the least one in bits 16-31.
#pragma once

#include <cstdint>

namespace ctflow {

constexpr uint32_t kOneLiteral = 1 << 12;
constexpr uint32_t kMatch = 1 << 14;
constexpr uint32_t kExceptional = 1 << 15;
constexpr uint32_t kNoCode = kExceptional;
constexpr uint32_t kEnd = kExceptional | 1 << 12;
constexpr uint32_t kSubtable = kExceptional | 1 << 13;
constexpr uint32_t kKind = kExceptional | 3 << 12;

inline uint32_t bits_to_drop(uint32_t entry) { return entry & 255; }
inline uint32_t code_bits(uint32_t entry) { return (entry >> 8) & 15; }
inline uint32_t literals_of(uint32_t entry) { return (entry >> 12) & 3; }
inline bool is_subtable(uint32_t entry) { return (entry & kKind) == kSubtable; }
inline bool is_end(uint32_t entry) { return (entry & kKind) == kEnd; }

constexpr int kLongestCode = 15;
constexpr int kLiterals = 288;
constexpr int kDistances = 32;
constexpr int kCodeLengths = 19;

// With 11 bits a sixth more look-ups are needed for a noisy scan, and with 13 the table is as large as a processor's nearest cache.
constexpr uint32_t kLiteralBits = 12;
constexpr uint32_t kDistanceBits = 8;
constexpr uint32_t kCodeLengthBits = 7;

// A subtable that is looked up with n bits holds a code of that length, hence at least n + 1 codes, for 2^n entries. With n at
// most 15 - 12, 288 literals need 72 * 8 entries behind the first table's; with 15 - 8, 32 distances need 4 * 128.
constexpr int kLiteralEntries = (1 << kLiteralBits) + 72 * 8;
constexpr int kDistanceEntries = (1 << kDistanceBits) + 4 * 128;
constexpr int kCodeLengthEntries = 1 << kCodeLengthBits;

// Tables from the lengths of codes, 0 for symbols without one. False where the lengths are no prefix code that zlib takes: too
// many codes, or too few unless one is all there is. A code that nothing was given gives exceptional entries.
bool build_literals(const uint8_t* lengths, int count, uint32_t* table);
bool build_distances(const uint8_t* lengths, int count, uint32_t* table);
// For the code of code lengths: bits 16-31 are the symbol.
bool build_code_lengths(const uint8_t* lengths, uint32_t* table);

}  // namespace ctflow
