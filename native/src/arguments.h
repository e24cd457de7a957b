// What JavaScript hands over, checked: typed arrays of a size, whole numbers in a range. Included by addon.cc and imaging-addon.cc alone.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <new>
#include <string>
#include <vector>

#include "scratch.h"
#include "thread-pool.h"

namespace {

constexpr int64_t kMostElements = int64_t{1} << 40;

// Nearly as JavaScript writes it.
std::string written(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}

[[noreturn]] void fail(Napi::Env env, const std::string& message) { throw Napi::RangeError::New(env, message); }

// The arguments of one call, read in order; `op` names it in errors.
class Arguments {
 public:
  Arguments(const Napi::CallbackInfo& info, const char* op) : info_(info), op_(op) {}

  float* floats(int i, const char* name, int64_t size) const { return floats(info_[i], name, size); }
  float* floats(Napi::Value value, const char* name, int64_t size) const {
    return static_cast<float*>(array(value, name, size, napi_float32_array, "Float32Array"));
  }
  int16_t* shorts(int i, const char* name, int64_t size) const {
    return static_cast<int16_t*>(array(info_[i], name, size, napi_int16_array, "Int16Array"));
  }
  int32_t* integers(int i, const char* name, int64_t size) const {
    return static_cast<int32_t*>(array(info_[i], name, size, napi_int32_array, "Int32Array"));
  }
  double* doubles(int i, const char* name, int64_t size) const {
    return static_cast<double*>(array(info_[i], name, size, napi_float64_array, "Float64Array"));
  }
  // Of a typed array, whatever it holds; 0 for anything else.
  int64_t length(int i) const {
    size_t length = 0;
    if (!info_[i].IsTypedArray() || napi_get_typedarray_info(info_.Env(), info_[i], nullptr, &length, nullptr, nullptr, nullptr) != napi_ok)
      return 0;
    return static_cast<int64_t>(length);
  }
  // Any numbers as their bytes, on a boundary of `alignment`.
  uint8_t* bytes(int i, const char* name, int64_t size, int64_t alignment = 1) const {
    auto* data = static_cast<uint8_t*>(array(info_[i], name, size, napi_uint8_array, "Uint8Array"));
    if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(alignment) != 0)
      fail(info_.Env(), std::string(op_) + ": " + name + " must begin at a multiple of its element's bytes");
    return data;
  }
  bool is_null(int i) const { return info_[i].IsNull() || info_[i].IsUndefined(); }

  double number(int i, const char* name) const {
    if (!info_[i].IsNumber()) fail(info_.Env(), std::string(op_) + ": " + name + " is not a number");
    return info_[i].As<Napi::Number>().DoubleValue();
  }
  std::string text(int i, const char* name) const {
    if (!info_[i].IsString()) fail(info_.Env(), std::string(op_) + ": " + name + " is not a string");
    return info_[i].As<Napi::String>().Utf8Value();
  }
  bool flag(int i) const { return info_[i].ToBoolean().Value(); }
  // A whole number in [least, 2^31).
  int count(int i, const char* name, int least) const {
    return check(number(i, name), name, least);
  }
  // `n` whole numbers from an array.
  void counts(int i, const char* name, int n, const int* least, int* to) const {
    if (!info_[i].IsArray() || info_[i].As<Napi::Array>().Length() != static_cast<uint32_t>(n))
      fail(info_.Env(), std::string(op_) + ": " + name + " is not an array of " + std::to_string(n) + " numbers");
    const Napi::Array array = info_[i].As<Napi::Array>();
    for (int k = 0; k < n; k++) {
      const Napi::Value value = array[static_cast<uint32_t>(k)];
      if (!value.IsNumber()) fail(info_.Env(), std::string(op_) + ": " + name + " holds something that is not a number");
      to[k] = check(value.As<Napi::Number>().DoubleValue(), name, least[k]);
    }
  }
  // The product, refused where it leaves what an address can hold.
  int64_t product(std::initializer_list<int64_t> factors) const {
    int64_t result = 1;
    for (const int64_t factor : factors) {
      if (factor != 0 && result > kMostElements / factor) fail(info_.Env(), std::string(op_) + ": the tensor is too large");
      result *= factor;
    }
    return result;
  }
  // The elements of an array, each read once.
  std::vector<Napi::Value> list(int i, const char* name, uint32_t most) const {
    if (!info_[i].IsArray()) fail(info_.Env(), std::string(op_) + ": " + name + " is not an array");
    const Napi::Array array = info_[i].As<Napi::Array>();
    const uint32_t length = array.Length();
    if (length > most) fail(info_.Env(), std::string(op_) + ": " + name + " has too many elements");
    std::vector<Napi::Value> values;
    for (uint32_t k = 0; k < length; k++) values.push_back(array[k]);
    return values;
  }
  Napi::Env env() const { return info_.Env(); }

 private:
  int check(double value, const char* name, int least) const {
    if (!(value >= least && value < 2147483648.0) || std::floor(value) != value)
      fail(info_.Env(), std::string(op_) + ": " + name + " must be a whole number of at least " + std::to_string(least) +
                            " and less than 2^31, found " + written(value));
    return static_cast<int>(value);
  }

  void* array(Napi::Value value, const char* name, int64_t size, napi_typedarray_type type, const char* type_name) const {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
      fail(info_.Env(), std::string(op_) + ": " + name + " is not a " + type_name);
    size_t length = 0;
    void* data = nullptr;
    // Asked of the array itself: memory shared between threads is not an ArrayBuffer, and only that fact is in the way.
    if (napi_get_typedarray_info(info_.Env(), value, nullptr, &length, &data, nullptr, nullptr) != napi_ok)
      fail(info_.Env(), std::string(op_) + ": " + name + " cannot be read");
    if (static_cast<int64_t>(length) != size)
      fail(info_.Env(), std::string(op_) + ": " + name + " has " + std::to_string(length) + " elements, its shape says " +
                            std::to_string(size));
    return data;
  }

  const Napi::CallbackInfo& info_;
  const char* op_;
};

// Runs a binding; whatever C++ throws leaves as a JavaScript error.
template <class Body>
Napi::Value guarded(const Napi::CallbackInfo& info, const char* op, Body&& body) {
  try {
    // Kernels that do not ask work with as many threads as are set now.
    ctflow::thread_count();
    return body(Arguments(info, op));
  } catch (const Napi::Error&) {
    throw;
  } catch (const ctflow::ScratchFailure& error) {
    throw Napi::Error::New(info.Env(), std::string(op) + ": " + error.what());
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(info.Env(), std::string(op) + ": out of memory");
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), std::string(op) + ": " + error.what());
  }
}

}  // namespace
