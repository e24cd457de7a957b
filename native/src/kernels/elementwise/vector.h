// Element-wise operations and sums with vectors, in chunks cut by shape.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "kernels/simd/channels.h"
#include "kernels/simd/functions.h"
#include "kernels/table.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

constexpr int64_t kElementwiseChunk = 1 << 16;
constexpr int64_t kRegistersInFloat = 32;

template <class A, ElementwiseOp op>
static inline typename A::F apply(typename A::F a, typename A::F b) {
  if (op == ElementwiseOp::kAdd) return A::add(a, b);
  if (op == ElementwiseOp::kSubtract) return A::sub(a, b);
  if (op == ElementwiseOp::kMultiply) return A::mul(a, b);
  if (op == ElementwiseOp::kDivide) return A::div(a, b);
  if (op == ElementwiseOp::kRelu) return A::max(A::zero(), a);
  if (op == ElementwiseOp::kReluGradient) return A::where_positive(b, a);
  return b;
}

// `table` holds b where it repeats, for one period of registers; null where b is a tensor like a.
template <class A, ElementwiseOp op>
static void elementwise_chunks(const Elementwise& e, const float* table, int64_t table_floats) {
  const bool unary = e.a == nullptr;
  const int64_t chunk = table == nullptr ? kElementwiseChunk
                                         : (kElementwiseChunk + table_floats - 1) / table_floats * table_floats;
  parallel((e.size + chunk - 1) / chunk, [&](int64_t task, int) {
    const int64_t end = (task + 1) * chunk < e.size ? (task + 1) * chunk : e.size;
    int64_t place = 0;
    for (int64_t i = task * chunk; i < end; i += A::V) {
      const auto mask = A::first(static_cast<int>(end - i < A::V ? end - i : A::V));
      const auto a = unary ? A::zero() : A::load(mask, e.a + i);
      const auto b = table == nullptr ? A::load(mask, e.b + i) : A::load(table + place);
      A::store(mask, e.to + i, apply<A, op>(a, b));
      place += A::V;
      if (place == table_floats) place = 0;
    }
  });
}

template <class A>
static void elementwise_vector(const Elementwise& e) {
  if (e.b != nullptr && e.period < e.size && e.period > kElementwiseChunk) {
    // A table would be many times as large as b, and no faster.
    for (int64_t at = 0; at < e.size; at += e.period) {
      const int64_t size = e.size - at < e.period ? e.size - at : e.period;
      elementwise_vector<A>({e.op, size, size, e.a == nullptr ? nullptr : e.a + at, e.b, e.to + at});
    }
    return;
  }
  const bool repeats = e.b == nullptr || e.period < e.size;
  const ChannelPeriod<A> period(repeats && e.b != nullptr ? e.period : 1);
  Scratch<float> table(repeats ? period.floats : 1);
  if (repeats) period.fill(table.get(), e.b == nullptr ? 1 : e.period, [&](int64_t c) { return e.b == nullptr ? 0.0f : e.b[c]; });
  const float* b = repeats ? table.get() : nullptr;
  switch (e.op) {
    case ElementwiseOp::kAdd: return elementwise_chunks<A, ElementwiseOp::kAdd>(e, b, period.floats);
    case ElementwiseOp::kSubtract: return elementwise_chunks<A, ElementwiseOp::kSubtract>(e, b, period.floats);
    case ElementwiseOp::kMultiply: return elementwise_chunks<A, ElementwiseOp::kMultiply>(e, b, period.floats);
    case ElementwiseOp::kDivide: return elementwise_chunks<A, ElementwiseOp::kDivide>(e, b, period.floats);
    case ElementwiseOp::kRelu: return elementwise_chunks<A, ElementwiseOp::kRelu>(e, b, period.floats);
    case ElementwiseOp::kReluGradient: return elementwise_chunks<A, ElementwiseOp::kReluGradient>(e, b, period.floats);
    case ElementwiseOp::kFill: return elementwise_chunks<A, ElementwiseOp::kFill>(e, b, period.floats);
  }
}

template <class A>
static void channel_sum_vector(const ChannelSum& a) {
  // Rows this long need no period of registers, whose sums would take many times the memory of a row.
  if (a.channels > kElementwiseChunk) return channel_sum__scalar(a);
  const ChannelPeriod<A> period(a.channels);
  const int64_t p = period.floats;
  const int64_t size = a.rows * a.channels;
  const int64_t chunk = (kElementwiseChunk + p - 1) / p * p;
  const int64_t chunks = (size + chunk - 1) / chunk;
  Scratch<float> sums(thread_count() * p);
  Scratch<double> wide(chunks * p);
  parallel(chunks, [&](int64_t task, int thread) {
    const int64_t end = (task + 1) * chunk < size ? (task + 1) * chunk : size;
    float* sum = sums.get() + thread * p;
    double* total = wide.get() + task * p;
    for (int64_t i = 0; i < p; i++) total[i] = 0;
    for (int64_t at = task * chunk; at < end;) {
      const int64_t stop = at + kRegistersInFloat * p < end ? at + kRegistersInFloat * p : end;
      for (int64_t i = 0; i < p; i += A::V) A::store(sum + i, A::zero());
      for (int64_t i = 0; at < stop; at += A::V) {
        const auto mask = A::first(static_cast<int>(stop - at < A::V ? stop - at : A::V));
        A::store(sum + i, A::add(A::load(sum + i), A::load(mask, a.a + at)));
        i += A::V;
        if (i == p) i = 0;
      }
      at = stop;
      for (int64_t i = 0; i < p; i += A::V) A::add_to(total + i, A::load(sum + i));
    }
  });
  for (int64_t c = 0; c < a.channels; c++) {
    double sum = 0;
    for (int64_t k = 0; k < chunks; k++)
      for (int64_t i = c; i < p; i += a.channels) sum += wide[k * p + i];
    a.to[c] = static_cast<float>(sum);
  }
}

constexpr int64_t kSoftmaxBlockClasses = 32;

template <class A>
static void softmax_vector(const Softmax& s) {
  constexpr int V = A::V;
  constexpr int64_t kRows = 4096;
  if (s.classes > kSoftmaxBlockClasses) return softmax__scalar(s);
  parallel((s.rows + kRows - 1) / kRows, [&](int64_t task, int) {
    alignas(64) float block[kSoftmaxBlockClasses][V];
    const int64_t end = (task + 1) * kRows < s.rows ? (task + 1) * kRows : s.rows;
    for (int64_t row = task * kRows; row < end; row += V) {
      const int n = static_cast<int>(end - row < V ? end - row : V);
      for (int64_t c = 0; c < s.classes; c++)
        for (int l = 0; l < V; l++) block[c][l] = l < n ? s.a[(row + l) * s.classes + c] : 0;
      auto max = A::load(block[0]);
      for (int64_t c = 1; c < s.classes; c++) max = A::max(max, A::load(block[c]));
      auto sum = A::zero();
      for (int64_t c = 0; c < s.classes; c++) {
        const auto e = exponential<A>(A::sub(A::load(block[c]), max));
        A::store(block[c], e);
        sum = A::add(sum, e);
      }
      for (int64_t c = 0; c < s.classes; c++) A::store(block[c], A::div(A::load(block[c]), sum));
      for (int64_t c = 0; c < s.classes; c++)
        for (int l = 0; l < n; l++) s.to[(row + l) * s.classes + c] = block[c][l];
    }
  });
}

}  // namespace
}  // namespace ctflow
