// Memory a kernel needs while it runs, aligned for any vector; given back when it goes out of scope.
#pragma once

#include <cstdint>
#include <cstring>

namespace ctflow {

// At least `bytes`, not cleared. Throws std::bad_alloc.
void* take_scratch(uint64_t bytes);
void give_scratch(void* memory);

namespace {

template <class T>
class Scratch {
 public:
  // Not initialised. Throws std::bad_alloc.
  explicit Scratch(int64_t count) {
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
