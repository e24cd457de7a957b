// Memory a kernel needs while it runs, aligned for any vector; freed when it goes out of scope.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace ctflow {
namespace {

template <class T>
class Scratch {
 public:
  // Not initialised. Throws std::bad_alloc.
  explicit Scratch(int64_t count) {
    const uint64_t bytes = (static_cast<uint64_t>(count < 1 ? 1 : count) * sizeof(T) + 63) / 64 * 64;
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_;
};

}  // namespace
}  // namespace ctflow
