// A filter gradient's partial sums, one set for each chunk of the work, become one.
#pragma once

#include <cstdint>

#include "thread-pool.h"

namespace ctflow {
namespace {

// Into how many chunks a gradient's work is cut, by shape alone: enough voxels each to pay for a set of sums, sets that
// memory can hold, and never more chunks than `units` of work.
inline int64_t chunks_of(int64_t voxels, int64_t size, int64_t units) {
  constexpr int64_t kVoxelsOfChunk = 4096;
  constexpr int64_t kMostChunks = 32;
  constexpr int64_t kMostPartialFloats = int64_t{1} << 24;
  int64_t chunks = voxels / kVoxelsOfChunk;
  if (chunks > kMostChunks) chunks = kMostChunks;
  if (chunks > kMostPartialFloats / size) chunks = kMostPartialFloats / size;
  if (chunks > units) chunks = units;
  return chunks < 1 ? 1 : chunks;
}

// to[i] = sum over chunks of partial[chunk * size + i], in the chunks' order whatever thread made them, in double.
template <class To>
static inline void sum_chunks(const float* partial, int64_t chunks, int64_t size, To* to) {
  constexpr int64_t kSlice = 4096;
  parallel((size + kSlice - 1) / kSlice, [&](int64_t slice, int) {
    const int64_t end = (slice + 1) * kSlice < size ? (slice + 1) * kSlice : size;
    for (int64_t i = slice * kSlice; i < end; i++) {
      double sum = 0;
      for (int64_t chunk = 0; chunk < chunks; chunk++) sum += partial[chunk * size + i];
      to[i] = static_cast<To>(sum);
    }
  });
}

}  // namespace
}  // namespace ctflow
