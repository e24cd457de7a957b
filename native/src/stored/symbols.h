// Literals and matches of a block of deflate, decoded as fast as can be while input and output have room for any.
#pragma once

#include <cstdint>

#include "stored/bit-source.h"
#include "stored/huffman.h"

namespace ctflow {

// Where inflated bytes go: [at, end) is free, and [begin, at) holds what the stream gave since it was handed over.
struct Output {
  uint8_t* begin;
  uint8_t* at;
  uint8_t* end;
};

// What a match may refer to from before `Output::begin`: `count` bytes before `end`.
struct History {
  const uint8_t* end;
  int64_t count;
};

enum class SymbolsEnd { kMargin, kBlockEnd, kBadLiteral, kBadDistance, kTooFar };

// Stops where the end of input or output is so near that the next symbols need care, or for what else there is to tell.
SymbolsEnd decode_symbols(const uint32_t* literals, const uint32_t* distances, const History& history, BitSource& source, Output& to);

// Copies a match byte for byte, writes no byte more and gives where it ends.
inline uint8_t* copy_with_history(const History& history, const uint8_t* begin, uint8_t* to, int64_t distance, int64_t length) {
  for (; length > 0 && distance > to - begin; length--, to++) *to = history.end[to - begin - distance];
  for (; length > 0; length--, to++) *to = to[-distance];
  return to;
}

}  // namespace ctflow
