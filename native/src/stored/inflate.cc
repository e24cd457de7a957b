#include "stored/inflate.h"

#include <algorithm>
#include <cstring>

namespace ctflow {
namespace {

// The longest symbol: a length of 15 bits and 5 extra ones, a distance of 15 and 13.
constexpr uint32_t kSymbolBits = 48;

// The entry that comes next, and the bits of its codes with those that led to its subtable. Where there are fewer bits than
// that, the missing ones are taken for 0.
struct Next {
  uint32_t entry;
  uint32_t bits;
  uint32_t extra() const { return bits_to_drop(entry) - code_bits(entry); }
};

Next next_of(const uint32_t* table, uint32_t table_bits, uint64_t bits) {
  const uint32_t entry = table[lowest(bits, table_bits)];
  if (!is_subtable(entry)) return {entry, code_bits(entry)};
  const uint32_t longer = table[(entry >> 16) + lowest(bits >> table_bits, code_bits(entry))];
  return {longer, table_bits + code_bits(longer)};
}

}  // namespace

void Inflate::reset() {
  part_ = Part::kBlock;
  is_last_ = false;
  damage_ = nullptr;
  remembered_ = 0;
}

Inflate::Stop Inflate::run(BitSource& source, Output& to) {
  to.begin = to.at;
  const Stop stop = step(source, to);
  if (stop != Stop::kEnd) remember(to);
  return stop;
}

// A part that is finished and leads to the next gives kEnd.
Inflate::Stop Inflate::step(BitSource& source, Output& to) {
  for (;;) {
    Stop stop = Stop::kEnd;
    switch (part_) {
      case Part::kBlock:
        stop = begin_block(source);
        break;
      case Part::kStoredLength:
        if (!source.need(32)) return Stop::kInput;
        stored_ = source.take(16);
        if (source.take(16) != (stored_ ^ 0xFFFF)) return refuse("invalid stored block lengths");
        part_ = Part::kStored;
        break;
      case Part::kStored:
        stop = copy_stored(source, to);
        break;
      case Part::kCounts:
        if (!source.need(14)) return Stop::kInput;
        literals_ = 257 + static_cast<int>(source.take(5));
        distances_ = 1 + static_cast<int>(source.take(5));
        code_lengths_ = 4 + static_cast<int>(source.take(4));
        if (literals_ > 286 || distances_ > 30) return refuse("too many length or distance symbols");
        read_ = 0;
        has_fixed_codes_ = false;
        std::fill_n(lengths_, kCodeLengths, uint8_t{0});
        part_ = Part::kCodeLengths;
        break;
      case Part::kCodeLengths:
        stop = read_code_lengths(source);
        break;
      case Part::kLengths:
        stop = read_lengths(source);
        break;
      case Part::kSymbols:
        stop = symbol(source, to);
        break;
      case Part::kMatch:
        stop = copy_match(to);
        break;
      case Part::kEnd:
        return Stop::kEnd;
    }
    if (stop != Stop::kEnd) return stop;
  }
}

Inflate::Stop Inflate::begin_block(BitSource& source) {
  if (!source.need(3)) return Stop::kInput;
  is_last_ = source.take(1) != 0;
  switch (source.take(2)) {
    case 0:
      source.drop(source.count % 8);
      part_ = Part::kStoredLength;
      return Stop::kEnd;
    case 1:
      if (!has_fixed_codes_) {
        std::fill_n(lengths_, 144, uint8_t{8});
        std::fill_n(lengths_ + 144, 112, uint8_t{9});
        std::fill_n(lengths_ + 256, 24, uint8_t{7});
        std::fill_n(lengths_ + 280, 8, uint8_t{8});
        std::fill_n(lengths_ + kLiterals, kDistances, uint8_t{5});
        build_literals(lengths_, kLiterals, literal_table_);
        build_distances(lengths_ + kLiterals, kDistances, distance_table_);
        has_fixed_codes_ = true;
      }
      part_ = Part::kSymbols;
      return Stop::kEnd;
    case 2:
      part_ = Part::kCounts;
      return Stop::kEnd;
    default:
      return refuse("invalid block type");
  }
}

Inflate::Stop Inflate::read_code_lengths(BitSource& source) {
  static constexpr uint8_t kOrder[kCodeLengths] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  for (; read_ < code_lengths_; read_++) {
    if (!source.need(3)) return Stop::kInput;
    lengths_[kOrder[read_]] = static_cast<uint8_t>(source.take(3));
  }
  if (!build_code_lengths(lengths_, code_length_table_)) return refuse("invalid code lengths set");
  read_ = 0;
  part_ = Part::kLengths;
  return Stop::kEnd;
}

Inflate::Stop Inflate::read_lengths(BitSource& source) {
  static constexpr uint8_t kRepeatBits[3] = {2, 3, 7};
  static constexpr uint8_t kLeastRepeat[3] = {3, 3, 11};
  const int all = literals_ + distances_;
  while (read_ < all) {
    source.need(kCodeLengthBits + 7);
    const uint32_t entry = code_length_table_[lowest(source.bits, kCodeLengthBits)];
    const uint32_t bits = bits_to_drop(entry), symbol = entry >> 16;
    if (symbol < 16) {
      if (bits > source.count) return Stop::kInput;
      source.drop(bits);
      lengths_[read_++] = static_cast<uint8_t>(symbol);
      continue;
    }
    const uint32_t extra = kRepeatBits[symbol - 16];
    if (bits + extra > source.count) return Stop::kInput;
    source.drop(bits);
    if (symbol == 16 && read_ == 0) return refuse("invalid bit length repeat");
    const uint8_t length = symbol == 16 ? lengths_[read_ - 1] : uint8_t{0};
    const int repeat = kLeastRepeat[symbol - 16] + static_cast<int>(source.take(extra));
    if (repeat > all - read_) return refuse("invalid bit length repeat");
    std::fill_n(lengths_ + read_, repeat, length);
    read_ += repeat;
  }
  return begin_symbols();
}

Inflate::Stop Inflate::begin_symbols() {
  if (lengths_[256] == 0) return refuse("invalid code -- missing end-of-block");
  if (!build_literals(lengths_, literals_, literal_table_)) return refuse("invalid literal/lengths set");
  if (!build_distances(lengths_ + literals_, distances_, distance_table_)) return refuse("invalid distances set");
  part_ = Part::kSymbols;
  return Stop::kEnd;
}

Inflate::Stop Inflate::copy_stored(BitSource& source, Output& to) {
  while (stored_ > 0) {
    if (to.at == to.end) return Stop::kOutput;
    if (source.count > 0) {
      *to.at++ = static_cast<uint8_t>(source.take(8));
      stored_--;
      continue;
    }
    const int64_t count = std::min({static_cast<int64_t>(stored_), source.end - source.in, to.end - to.at});
    if (count == 0) return Stop::kInput;
    std::memcpy(to.at, source.in, static_cast<size_t>(count));
    to.at += count;
    source.in += count;
    stored_ -= static_cast<uint32_t>(count);
  }
  end_block();
  return Stop::kEnd;
}

// As many as can be had without care, then one with care.
Inflate::Stop Inflate::symbol(BitSource& source, Output& to) {
  const SymbolsEnd fast = decode_symbols(literal_table_, distance_table_, history(), source, to);
  if (fast == SymbolsEnd::kBlockEnd) {
    end_block();
    return Stop::kEnd;
  }
  if (fast != SymbolsEnd::kMargin) return refuse(fast);
  source.need(kSymbolBits);
  const Next next = next_of(literal_table_, kLiteralBits, source.bits);
  if ((next.entry & kExceptional) == 0 && literals_of(next.entry) > 0) {
    // The first one alone, whatever else its entry holds.
    const uint32_t literal = (next.entry >> 16) & 255;
    if (lengths_[literal] > source.count) return Stop::kInput;
    if (to.at == to.end) return Stop::kOutput;
    *to.at++ = static_cast<uint8_t>(literal);
    source.drop(lengths_[literal]);
    return Stop::kEnd;
  }
  if (next.bits > source.count) return Stop::kInput;
  if ((next.entry & kExceptional) != 0) {
    if (!is_end(next.entry)) return refuse(SymbolsEnd::kBadLiteral);
    source.drop(next.bits);
    end_block();
    return Stop::kEnd;
  }
  const uint32_t length_bits = next.bits + next.extra();
  if (length_bits > source.count) return Stop::kInput;
  const Next far = next_of(distance_table_, kDistanceBits, source.bits >> length_bits);
  if (length_bits + far.bits > source.count) return Stop::kInput;
  if ((far.entry & kExceptional) != 0) return refuse(SymbolsEnd::kBadDistance);
  if (length_bits + far.bits + far.extra() > source.count) return Stop::kInput;
  source.drop(next.bits);
  match_ = 3 + (next.entry >> 24) + source.take(next.extra());
  source.drop(far.bits);
  distance_ = (far.entry >> 16) + source.take(far.extra());
  if (distance_ > to.at - to.begin + remembered_) return refuse(SymbolsEnd::kTooFar);
  part_ = Part::kMatch;
  return Stop::kEnd;
}

Inflate::Stop Inflate::copy_match(Output& to) {
  const int64_t length = std::min(match_, to.end - to.at);
  to.at = copy_with_history(history(), to.begin, to.at, distance_, length);
  match_ -= length;
  if (match_ > 0) return Stop::kOutput;
  part_ = Part::kSymbols;
  return Stop::kEnd;
}

void Inflate::remember(const Output& to) {
  const int64_t made = std::min(to.at - to.begin, kWindow);
  const int64_t kept = std::min(remembered_, kWindow - made);
  std::memmove(history_ + kWindow - made - kept, history_ + kWindow - kept, static_cast<size_t>(kept));
  if (made > 0) std::memcpy(history_ + kWindow - made, to.at - made, static_cast<size_t>(made));
  remembered_ = kept + made;
}

Inflate::Stop Inflate::refuse(const char* damage) {
  damage_ = damage;
  return Stop::kDamage;
}

Inflate::Stop Inflate::refuse(SymbolsEnd why) {
  return refuse(why == SymbolsEnd::kBadLiteral    ? "invalid literal/length code"
                : why == SymbolsEnd::kBadDistance ? "invalid distance code"
                                            : "invalid distance too far back");
}

}  // namespace ctflow
