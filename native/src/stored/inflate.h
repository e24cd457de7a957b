// The inflater of a raw deflate stream (RFC 1951), in steps: it stops wherever the input ends or the output is full, and goes
// on from there. It refuses what zlib refuses, in zlib's words.
#pragma once

#include <cstdint>

#include "stored/bit-source.h"
#include "stored/huffman.h"
#include "stored/symbols.h"

namespace ctflow {

class Inflate {
 public:
  enum class Stop { kInput, kOutput, kEnd, kDamage };

  // For another stream.
  void reset();
  // Until the input is used up, the output full and wanted, the stream over, or found damaged: `damage` says how.
  Stop run(BitSource& source, Output& to);
  const char* damage() const { return damage_; }

 private:
  enum class Part { kBlock, kStoredLength, kStored, kCounts, kCodeLengths, kLengths, kSymbols, kMatch, kEnd };

  static constexpr int64_t kWindow = 32768;

  Stop step(BitSource& source, Output& to);
  Stop begin_block(BitSource& source);
  Stop read_code_lengths(BitSource& source);
  Stop read_lengths(BitSource& source);
  Stop begin_symbols();
  Stop copy_stored(BitSource& source, Output& to);
  Stop symbol(BitSource& source, Output& to);
  Stop copy_match(Output& to);
  Stop refuse(const char* damage);
  Stop refuse(SymbolsEnd why);
  void end_block() { part_ = is_last_ ? Part::kEnd : Part::kBlock; }
  void remember(const Output& to);
  History history() const { return {history_ + kWindow, remembered_}; }

  Part part_ = Part::kBlock;
  bool is_last_ = false;
  bool has_fixed_codes_ = false;
  const char* damage_ = nullptr;
  // Of a stored block, what is left to copy.
  uint32_t stored_ = 0;
  // Of a block's header.
  int literals_ = 0, distances_ = 0, code_lengths_ = 0;
  int read_ = 0;
  // Of the code lengths' codes, then of the literals' and lengths', and of the distances'.
  uint8_t lengths_[kLiterals + kDistances] = {};
  // Of a match that the output had no room for.
  int64_t match_ = 0, distance_ = 0;
  uint32_t code_length_table_[kCodeLengthEntries] = {};
  uint32_t literal_table_[kLiteralEntries] = {};
  uint32_t distance_table_[kDistanceEntries] = {};
  // What the stream gave before this run, up to the window; its last byte is the array's.
  int64_t remembered_ = 0;
  uint8_t history_[kWindow] = {};
};

}  // namespace ctflow
