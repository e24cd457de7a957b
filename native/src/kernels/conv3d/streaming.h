// Which outputs are written past the caches.
#pragma once

#include <cstdint>

namespace ctflow {
namespace {

// Those that do not stay in a cache until they are read; A::stream wants whole lines of memory. The caller sees to it that
// what it stores fills them.
static inline bool streams_past_caches(const float* y, int64_t floats) {
  constexpr int64_t kLeastFloats = int64_t{1} << 23;
  return floats >= kLeastFloats && reinterpret_cast<uintptr_t>(y) % 64 == 0;
}

}  // namespace
}  // namespace ctflow
