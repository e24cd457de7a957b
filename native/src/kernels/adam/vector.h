// Adam with vectors, in float32 as torch does it.
#pragma once

#include "kernels/adam/adam.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

constexpr int64_t kAdamChunk = 1 << 15;

template <class A>
static void adam_vector(const AdamUpdate& a) {
  const auto beta1 = A::set(static_cast<float>(a.beta1));
  const auto beta2 = A::set(static_cast<float>(a.beta2));
  const auto rest1 = A::set(static_cast<float>(1 - a.beta1));
  const auto rest2 = A::set(static_cast<float>(1 - a.beta2));
  const auto decay = A::set(static_cast<float>(a.weight_decay));
  const auto epsilon = A::set(static_cast<float>(a.epsilon));
  const auto step = A::set(static_cast<float>(-a.step_size));
  const auto root = A::set(static_cast<float>(1 / a.root_correction));
  parallel((a.size + kAdamChunk - 1) / kAdamChunk, [&](int64_t chunk, int) {
    const int64_t end = (chunk + 1) * kAdamChunk < a.size ? (chunk + 1) * kAdamChunk : a.size;
    for (int64_t i = chunk * kAdamChunk; i < end; i += A::V) {
      const auto mask = A::first(static_cast<int>(end - i < A::V ? end - i : A::V));
      const auto param = A::load(mask, a.param + i);
      const auto g = A::fma(decay, param, A::load(mask, a.gradient + i));
      const auto m = A::fma(beta1, A::load(mask, a.m + i), A::mul(rest1, g));
      const auto v = A::fma(beta2, A::load(mask, a.v + i), A::mul(A::mul(rest2, g), g));
      const auto denominator = A::fma(A::sqrt(v), root, epsilon);
      A::store(mask, a.m + i, m);
      A::store(mask, a.v + i, v);
      A::store(mask, a.param + i, A::fma(step, A::div(m, denominator), param));
    }
  });
}

}  // namespace
}  // namespace ctflow
