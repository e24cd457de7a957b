// Blocks of some megabytes would go back to the system after every call, and come back page by page. The last ones used
// are kept instead, up to a bound.
#include "scratch.h"

#include <cstdlib>
#include <mutex>
#include <new>

namespace ctflow {
namespace {

constexpr uint64_t kAlignment = 64;
// Smaller blocks the allocator keeps by itself.
constexpr uint64_t kLeastKept = 1 << 15;
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

}  // namespace

void* take_scratch(uint64_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes >= kLeastKept) {
    std::lock_guard<std::mutex> lock(mutex);
    if (Header* header = find_kept(bytes)) return memory_of(header);
  }
  void* block = std::aligned_alloc(kAlignment, bytes + kAlignment);
  if (block == nullptr) throw std::bad_alloc();
  Header* header = new (block) Header{bytes};
  return memory_of(header);
}

void give_scratch(void* memory) {
  Header* header = header_of(memory);
  if (header->bytes >= kLeastKept && header->bytes <= kMostKeptBytes) {
    std::lock_guard<std::mutex> lock(mutex);
    // The oldest make room.
    while (kept_count == kMostKept || kept_bytes + header->bytes > kMostKeptBytes) {
      kept_bytes -= kept[0]->bytes;
      std::free(kept[0]);
      for (int k = 0; k + 1 < kept_count; k++) kept[k] = kept[k + 1];
      kept_count--;
    }
    kept[kept_count++] = header;
    kept_bytes += header->bytes;
    return;
  }
  std::free(header);
}

}  // namespace ctflow
