// The inflater of gzip files (RFC 1952): members one after the other, their headers, checksums and lengths.
#pragma once

#include <cstdint>

#include "stored/bit-source.h"
#include "stored/inflate.h"

namespace ctflow {

class Gunzip {
 public:
  enum class State {
    // The stream must go on.
    kInside,
    // A member has ended: the stream may go on with another one, or end.
    kBetween,
    // A zero follows a member: whatever comes is padding, and none of it is looked at.
    kOver,
    kDamaged,
  };
  struct Step {
    int64_t used;
    int64_t made;
    State state;
    // Of kDamaged, in zlib's words.
    const char* damage;
  };

  // Goes on where the step before stopped. All of `in` is used unless `to` is full, or the stream over or damaged. With `to` full,
  // or of no bytes, a member's end is still reached where nothing but checksums is left of it.
  Step step(const uint8_t* in, int64_t in_count, uint8_t* to, int64_t to_count);

 private:
  enum class Part {
    kMagic,
    kMethod,
    kTime,
    kSystem,
    kExtraLength,
    kExtra,
    kName,
    kComment,
    kHeaderCrc,
    kBody,
    kCrc,
    kLength,
    kBetween,
    kOver
  };

  const char* go_on(Output& to);
  bool header_bytes(uint32_t count, uint32_t* value);
  bool skip_text();

  Part part_ = Part::kMagic;
  BitSource source_;
  Inflate inflate_;
  const char* damage_ = nullptr;
  uint32_t flags_ = 0;
  uint32_t extra_ = 0;
  // Of the header, then of what was inflated.
  uint32_t crc_ = 0;
  // Modulo 2^32, as gzip keeps it.
  uint32_t length_ = 0;
};

}  // namespace ctflow
