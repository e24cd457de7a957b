// Memory a kernel needs while it runs, aligned for any vector; given back when it goes out of scope.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <new>

namespace ctflow {

// Says how much was asked for in vain.
class ScratchFailure : public std::bad_alloc {
 public:
  explicit ScratchFailure(uint64_t bytes);
  const char* what() const noexcept override { return text_; }

 private:
  char text_[96];
};

// At least `bytes`, not cleared. Throws ScratchFailure.
void* take_scratch(uint64_t bytes);
void give_scratch(void* memory);

// The most bytes in scratch memory since the last `trim_scratch`, those kept for later calls included, of all threads together.
uint64_t scratch_peak();
// Gives back what is kept, and counts afresh.
void trim_scratch();

namespace {

// More than any machine has, and few enough that a size in bytes still is a number.
constexpr int64_t kMostScratchElements = int64_t{1} << 48;

// The product of numbers that are not negative, or ScratchFailure where no machine has so many elements.
static inline int64_t scratch_elements(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (const int64_t factor : factors) {
    if (factor != 0 && product > kMostScratchElements / factor) throw ScratchFailure(UINT64_MAX);
    product *= factor;
  }
  return product;
}

template <class T>
class Scratch {
 public:
  // Not initialised. Throws ScratchFailure.
  explicit Scratch(int64_t count) {
    if (count > kMostScratchElements) throw ScratchFailure(UINT64_MAX);
    data_ = static_cast<T*>(take_scratch(static_cast<uint64_t>(count < 1 ? 1 : count) * sizeof(T)));
  }
  ~Scratch() { give_scratch(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_;
};

}  // namespace
}  // namespace ctflow
