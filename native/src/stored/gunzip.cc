#include "stored/gunzip.h"

#include "stored/crc32.h"

namespace ctflow {
namespace {

// Of the header's flags.
constexpr uint32_t kHasCrc = 2;
constexpr uint32_t kHasExtra = 4;
constexpr uint32_t kHasName = 8;
constexpr uint32_t kHasComment = 16;
constexpr uint32_t kReserved = 0xE0;

}  // namespace

Gunzip::Step Gunzip::step(const uint8_t* in, int64_t in_count, uint8_t* to, int64_t to_count) {
  source_.in = in;
  source_.end = in + in_count;
  Output output{to, to, to + to_count};
  if (damage_ == nullptr) damage_ = go_on(output);
  const State state = damage_ != nullptr        ? State::kDamaged
                      : part_ == Part::kOver    ? State::kOver
                      : part_ == Part::kBetween ? State::kBetween
                                                : State::kInside;
  return {source_.in - in, output.at - to, state, damage_};
}

// What is wrong, or null where the step ends: for want of input or room, or since the stream is over.
const char* Gunzip::go_on(Output& to) {
  for (uint32_t value;;) switch (part_) {
      case Part::kBetween:
        if (!source_.need(8)) return nullptr;
        part_ = (source_.bits & 255) == 0 ? Part::kOver : Part::kMagic;
        break;
      case Part::kOver:
        return nullptr;
      case Part::kMagic:
        crc_ = 0;
        if (!header_bytes(2, &value)) return nullptr;
        if (value != 0x8B1F) return "incorrect header check";
        part_ = Part::kMethod;
        break;
      case Part::kMethod:
        if (!header_bytes(2, &value)) return nullptr;
        if ((value & 255) != 8) return "unknown compression method";
        flags_ = value >> 8;
        if ((flags_ & kReserved) != 0) return "unknown header flags set";
        part_ = Part::kTime;
        break;
      case Part::kTime:
        if (!header_bytes(4, &value)) return nullptr;
        part_ = Part::kSystem;
        break;
      case Part::kSystem:
        if (!header_bytes(2, &value)) return nullptr;
        part_ = Part::kExtraLength;
        break;
      case Part::kExtraLength:
        extra_ = 0;
        if ((flags_ & kHasExtra) != 0 && !header_bytes(2, &extra_)) return nullptr;
        part_ = Part::kExtra;
        break;
      case Part::kExtra:
        for (; extra_ > 0; extra_--)
          if (!header_bytes(1, &value)) return nullptr;
        part_ = Part::kName;
        break;
      case Part::kName:
        if ((flags_ & kHasName) != 0 && !skip_text()) return nullptr;
        part_ = Part::kComment;
        break;
      case Part::kComment:
        if ((flags_ & kHasComment) != 0 && !skip_text()) return nullptr;
        part_ = Part::kHeaderCrc;
        break;
      case Part::kHeaderCrc:
        if ((flags_ & kHasCrc) != 0) {
          const uint32_t expected = crc_ & 0xFFFF;
          if (!header_bytes(2, &value)) return nullptr;
          if (value != expected) return "header crc mismatch";
        }
        inflate_.reset();
        crc_ = 0;
        length_ = 0;
        part_ = Part::kBody;
        break;
      case Part::kBody: {
        const Inflate::Stop stop = inflate_.run(source_, to);
        crc_ = crc32(to.begin, to.at - to.begin, crc_);
        length_ += static_cast<uint32_t>(to.at - to.begin);
        if (stop == Inflate::Stop::kDamage) return inflate_.damage();
        if (stop != Inflate::Stop::kEnd) return nullptr;
        source_.drop(source_.count % 8);
        part_ = Part::kCrc;
        break;
      }
      case Part::kCrc:
        if (!source_.need(32)) return nullptr;
        if (source_.take(32) != crc_) return "incorrect data check";
        part_ = Part::kLength;
        break;
      case Part::kLength:
        if (!source_.need(32)) return nullptr;
        if (source_.take(32) != length_) return "incorrect length check";
        part_ = Part::kBetween;
        break;
    }
}

// `count` bytes as a number, the first one lowest, once all are there.
bool Gunzip::header_bytes(uint32_t count, uint32_t* value) {
  if (!source_.need(8 * count)) return false;
  *value = source_.take(8 * count);
  for (uint32_t i = 0; i < count; i++) {
    const auto byte = static_cast<uint8_t>(*value >> (8 * i));
    crc_ = crc32(&byte, 1, crc_);
  }
  return true;
}

// Up to its zero.
bool Gunzip::skip_text() {
  for (uint32_t byte = 1; byte != 0;)
    if (!header_bytes(1, &byte)) return false;
  return true;
}

}  // namespace ctflow
