// Blocks of some megabytes would go back to the system after every call, and come back page by page. The last ones used
// are kept instead, up to a bound.
#include "scratch.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

namespace ctflow {
namespace {

constexpr uint64_t kAlignment = 64;
#if defined(__SANITIZE_ADDRESS__)
// Exact and never used twice, so that AddressSanitizer sees a step too far.
constexpr uint64_t kRounding = 1;
constexpr uint64_t kLeastKept = UINT64_MAX;
#else
constexpr uint64_t kRounding = kAlignment;
// Smaller blocks the allocator keeps by itself.
constexpr uint64_t kLeastKept = 1 << 15;
#endif
constexpr uint64_t kMostKeptBytes = 64 << 20;
constexpr int kMostKept = 32;

// In front of every block, one alignment before what the caller gets.
struct Header {
  uint64_t bytes;
};

std::mutex mutex;
Header* kept[kMostKept];
int kept_count = 0;
uint64_t kept_bytes = 0;

// In blocks that are not the system's.
std::atomic<uint64_t> held{0};
std::atomic<uint64_t> most_held{0};

Header* header_of(void* memory) { return reinterpret_cast<Header*>(static_cast<char*>(memory) - kAlignment); }
void* memory_of(Header* header) { return reinterpret_cast<char*>(header) + kAlignment; }

// The most recently used block that fits without wasting as much again; null where there is none.
Header* find_kept(uint64_t bytes) {
  for (int i = kept_count - 1; i >= 0; i--) {
    Header* header = kept[i];
    if (header->bytes < bytes || header->bytes / 2 > bytes) continue;
    for (int k = i; k + 1 < kept_count; k++) kept[k] = kept[k + 1];
    kept_count--;
    kept_bytes -= header->bytes;
    return header;
  }
  return nullptr;
}

void free_block(Header* header) {
  held -= header->bytes;
  std::free(header);
}

void free_oldest() {
  kept_bytes -= kept[0]->bytes;
  free_block(kept[0]);
  for (int k = 0; k + 1 < kept_count; k++) kept[k] = kept[k + 1];
  kept_count--;
}

// Null where the system has none.
void* allocate(uint64_t bytes) {
  void* block = nullptr;
  return posix_memalign(&block, kAlignment, bytes) == 0 ? block : nullptr;
}

}  // namespace

ScratchFailure::ScratchFailure(uint64_t bytes) {
  if (bytes == UINT64_MAX)
    std::snprintf(text_, sizeof text_, "out of memory: the shape needs more than any machine has");
  else
    std::snprintf(text_, sizeof text_, "out of memory: no %.1f MB to work in", static_cast<double>(bytes) / 1e6);
}

void* take_scratch(uint64_t bytes) {
  bytes = (bytes + kRounding - 1) / kRounding * kRounding;
  if (bytes >= kLeastKept) {
    std::lock_guard<std::mutex> lock(mutex);
    if (Header* header = find_kept(bytes)) return memory_of(header);
  }
  void* block = allocate(bytes + kAlignment);
  if (block == nullptr) {
    // What waits for later calls may be what is missing now.
    std::lock_guard<std::mutex> lock(mutex);
    while (kept_count > 0) free_oldest();
    block = allocate(bytes + kAlignment);
  }
  if (block == nullptr) throw ScratchFailure(bytes);
  Header* header = new (block) Header{bytes};
  const uint64_t now = held += bytes;
  uint64_t most = most_held;
  while (now > most && !most_held.compare_exchange_weak(most, now)) {
  }
  return memory_of(header);
}

void give_scratch(void* memory) {
  Header* header = header_of(memory);
  if (header->bytes >= kLeastKept && header->bytes <= kMostKeptBytes) {
    std::lock_guard<std::mutex> lock(mutex);
    // The oldest make room.
    while (kept_count == kMostKept || kept_bytes + header->bytes > kMostKeptBytes) free_oldest();
    kept[kept_count++] = header;
    kept_bytes += header->bytes;
    return;
  }
  free_block(header);
}

uint64_t scratch_peak() { return most_held; }

void trim_scratch() {
  std::lock_guard<std::mutex> lock(mutex);
  while (kept_count > 0) free_oldest();
  most_held = held.load();
}

}  // namespace ctflow
