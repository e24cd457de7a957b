// Inflating, piece by piece, on libuv's pool. Included by addon.cc alone.
#pragma once

#include <napi.h>

#include <memory>

#include "arguments.h"
#include "job.h"
#include "stored/gunzip.h"

namespace {

// A stream that JavaScript holds; the step that works on it holds it too.
struct GunzipStream {
  ctflow::Gunzip gunzip;
  // Read and written by the JavaScript thread.
  bool is_busy = false;
};
using HeldStream = std::shared_ptr<GunzipStream>;

// Tells our streams from any other object.
constexpr napi_type_tag kGunzipTag = {0x3f1c6a0e9b7d4c25, 0x8e52d1b4470a963f};

// () -> a stream at its beginning
Napi::Value open_gunzip(const Napi::CallbackInfo& info) {
  return guarded(info, "gunzip", [&](const Arguments& a) {
    auto held = std::make_unique<HeldStream>(std::make_shared<GunzipStream>());
    Napi::Object stream = Napi::Object::New(a.env());
    const auto release = [](napi_env env, void* data, void*) {
      int64_t held_bytes;
      napi_adjust_external_memory(env, -static_cast<int64_t>(sizeof(GunzipStream)), &held_bytes);
      delete static_cast<HeldStream*>(data);
    };
    if (napi_wrap(a.env(), stream, held.get(), release, nullptr, nullptr) != napi_ok) fail(a.env(), "gunzip: no stream can be made");
    held.release();
    int64_t held_bytes;
    napi_adjust_external_memory(a.env(), sizeof(GunzipStream), &held_bytes);
    stream.TypeTag(&kGunzipTag);
    return static_cast<Napi::Value>(stream);
  });
}

// Marks a stream for as long as there is a job with it.
class Busy {
 public:
  explicit Busy(HeldStream stream) : stream_(std::move(stream)) { stream_->is_busy = true; }
  ~Busy() { stream_->is_busy = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ctflow::Gunzip& gunzip() const { return stream_->gunzip; }

 private:
  HeldStream stream_;
};

// (stream, from, to) -> [bytes used, bytes made, state, damage or null]
Napi::Value gunzip(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "gunzip";
  return guarded(info, kOp, [&](const Arguments& a) {
    if (!info[0].IsObject() || !info[0].As<Napi::Object>().CheckTypeTag(&kGunzipTag)) fail(a.env(), "gunzip: the first argument is not a stream");
    void* held = nullptr;
    if (napi_unwrap(a.env(), info[0], &held) != napi_ok) fail(a.env(), "gunzip: the first argument is not a stream");
    const HeldStream stream = *static_cast<HeldStream*>(held);
    const int64_t from_count = a.length(1), to_count = a.length(2);
    const uint8_t* from = a.bytes(1, "from", from_count);
    uint8_t* to = a.bytes(2, "to", to_count);
    if (stream->is_busy) fail(a.env(), "gunzip: the stream is not free: its step before has not settled");
    const auto busy = std::make_shared<Busy>(stream);
    return queue<ctflow::Gunzip::Step>(
        a, kOp, {info[1], info[2]}, [=] { return busy->gunzip().step(from, from_count, to, to_count); },
        [](Napi::Env env, const ctflow::Gunzip::Step& step) {
          Napi::Array result = Napi::Array::New(env, 4);
          result[uint32_t{0}] = static_cast<double>(step.used);
          result[uint32_t{1}] = static_cast<double>(step.made);
          result[uint32_t{2}] = static_cast<double>(step.state);
          result[uint32_t{3}] = step.damage == nullptr ? env.Null() : static_cast<Napi::Value>(Napi::String::New(env, step.damage));
          return static_cast<Napi::Value>(result);
        });
  });
}

void add_gunzip_calls(Napi::Env env, Napi::Object exports) {
  exports.Set("openGunzip", Napi::Function::New(env, open_gunzip, "openGunzip"));
  exports.Set("gunzip", Napi::Function::New(env, gunzip, "gunzip"));
}

}  // namespace
