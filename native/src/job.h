// Work for libuv's pool that settles a promise on the thread that asked, for the calls of imaging and of the cache.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"

namespace {

// `Result` is what the work gives, `settle` makes of it what JavaScript gets, or throws.
template <class Result>
class Job : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using Settle = std::function<Napi::Value(Napi::Env, const Result&)>;

  Job(Napi::Env env, const char* op, Work work, Settle settle)
      : AsyncWorker(env, op), op_(op), work_(std::move(work)), settle_(std::move(settle)), deferred_(env) {}

  void hold(Napi::Value array) { held_.push_back(Napi::Persistent(array.As<Napi::Object>())); }
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { result_ = work_(); }
  void OnOK() override {
    unless_ending([&] {
      try {
        deferred_.Resolve(settle_(Env(), result_));
      } catch (const Napi::Error& error) {
        deferred_.Reject(error.Value());
      }
    });
  }
  void OnError(const Napi::Error& error) override {
    unless_ending([&] { deferred_.Reject(Napi::Error::New(Env(), std::string(op_) + ": " + error.Message()).Value()); });
  }

 private:
  // A JavaScript thread that is being ended can neither settle a promise nor hear why not.
  template <class Body>
  static void unless_ending(Body&& body) {
    try {
      body();
    } catch (const Napi::Error&) {
    }
  }

  const char* op_;
  Work work_;
  Settle settle_;
  Result result_{};
  Napi::Promise::Deferred deferred_;
  std::vector<Napi::ObjectReference> held_;
};

template <class Result>
Napi::Value queue(const Arguments& a, const char* op, const std::vector<Napi::Value>& arrays, typename Job<Result>::Work work,
                  typename Job<Result>::Settle settle) {
  auto job = std::make_unique<Job<Result>>(a.env(), op, std::move(work), std::move(settle));
  for (const Napi::Value array : arrays)
    if (array.IsTypedArray()) job->hold(array);
  const Napi::Promise promise = job->promise();
  job->Queue();
  job.release();  // it deletes itself when it is done
  return promise;
}

}  // namespace
