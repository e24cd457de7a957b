// Memory that fails when a test says so. Linked with --wrap=posix_memalign, which turns the calls of scratch.cc to here.
#include <atomic>
#include <cerrno>
#include <cstddef>

namespace ctflow_test {
namespace {

std::atomic<int> left{-1};

}  // namespace

void fail_allocation(int n) { left = n; }

}  // namespace ctflow_test

extern "C" int __real_posix_memalign(void** to, size_t alignment, size_t bytes);

extern "C" int __wrap_posix_memalign(void** to, size_t alignment, size_t bytes) {
  // Scratch memory asks twice, the second time with nothing kept: 0 stays 0 until it is told otherwise.
  if (ctflow_test::left == 0) return ENOMEM;
  if (ctflow_test::left > 0) ctflow_test::left--;
  return __real_posix_memalign(to, alignment, bytes);
}
