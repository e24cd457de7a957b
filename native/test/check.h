// What the cases share: numbers at random, arrays whose ends are guarded, and the comparison of a variant with scalar.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace ctflow_test {

// xorshift64*: the same numbers everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {
    for (int i = 0; i < 8; i++) next();
  }
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  // A whole number in [least, most].
  int between(int least, int most) { return least + static_cast<int>((next() >> 33) % static_cast<uint64_t>(most - least + 1)); }
  bool chance(int one_in) { return between(1, one_in) == 1; }
  // In [-1, 1).
  float uniform() { return static_cast<float>(next() >> 40) / 8388608.0f - 1; }

 private:
  uint64_t state_;
};

// An array that ends at a page nobody may touch, so that one element too far is seen on any machine; it is aligned for its
// elements only. With AddressSanitizer, which sees more, it is an exact block of the heap.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t count) : count_(count) {
#if defined(__SANITIZE_ADDRESS__)
    block_ = ::operator new(bytes());
    data_ = static_cast<T*>(block_);
#else
    const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes() + page - 1) / page * page + 2 * page;
    block_ = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block_ == MAP_FAILED) throw std::bad_alloc();
    char* const first = static_cast<char*>(block_) + page;
    mprotect(first, size_ - 2 * page, PROT_READ | PROT_WRITE);
    data_ = reinterpret_cast<T*>(first + (size_ - 2 * page - bytes()));
#endif
  }
  ~Guarded() {
#if defined(__SANITIZE_ADDRESS__)
    ::operator delete(block_);
#else
    munmap(block_, size_);
#endif
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* get() const { return data_; }
  int64_t size() const { return count_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  uint64_t bytes() const { return static_cast<uint64_t>(count_) * sizeof(T); }

  int64_t count_;
  void* block_ = nullptr;
  uint64_t size_ = 0;
  T* data_ = nullptr;
};

using Floats = Guarded<float>;

inline std::unique_ptr<Floats> floats(Random& random, int64_t count, float scale = 1) {
  auto array = std::make_unique<Floats>(count);
  for (int64_t i = 0; i < count; i++) (*array)[i] = random.uniform() * scale;
  return array;
}

// NaN, so that a value that nobody wrote shows.
inline std::unique_ptr<Floats> unwritten(int64_t count) {
  auto array = std::make_unique<Floats>(count);
  for (int64_t i = 0; i < count; i++) (*array)[i] = std::numeric_limits<float>::quiet_NaN();
  return array;
}

// One output of a kernel, and how far from scalar's it may be, relative to the largest value or to `scale`.
struct Output {
  const char* name;
  std::vector<float> values;
  double tolerance;
  double scale;
};
using Outputs = std::vector<Output>;

inline Output output(const char* name, const Floats& values, double tolerance, double scale = 0) {
  return Output{name, std::vector<float>(values.get(), values.get() + values.size()), tolerance, scale};
}

inline double distance(const Output& found, const Output& expected) {
  double largest = expected.scale > 1e-30 ? expected.scale : 1e-30;
  double away = 0;
  for (size_t i = 0; i < expected.values.size(); i++) {
    largest = std::fmax(largest, std::fabs(static_cast<double>(expected.values[i])));
    const double difference = std::fabs(static_cast<double>(found.values[i]) - expected.values[i]);
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    away = std::fmax(away, difference);
  }
  return away / largest;
}

inline bool same_bits(const Output& a, const Output& b) {
  return a.values.empty() || std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) == 0;
}

}  // namespace ctflow_test
