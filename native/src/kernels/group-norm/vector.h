// Group normalisation with vectors: a pass for the sums, a pass for the result. Sums run over some registers in float32
// and then in float64; chunks are cut by shape and added in their order.
#pragma once

#include "kernels/group-norm/statistics.h"
#include "kernels/simd/channels.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

constexpr int64_t kChunkFloats = 1 << 16;
// Periods summed in float32 before they are added to float64.
constexpr int64_t kPeriodsInFloat = 32;

template <class A>
struct GroupNormVector {
  using F = typename A::F;

  const GroupNormShape s;
  const ChannelPeriod<A> period;
  const int64_t sample;  // floats
  const int64_t chunk;   // floats
  const int64_t chunks;  // of a sample

  explicit GroupNormVector(const GroupNormShape& shape)
      : s(shape), period(shape.channels), sample(shape.voxels * shape.channels),
        chunk((kChunkFloats + period.floats - 1) / period.floats * period.floats), chunks((sample + chunk - 1) / chunk) {}

  int64_t group(int64_t channel) const { return channel / (s.channels / s.groups); }

  // Two sums per channel over a chunk. `full` gives a register's two terms, given its place in the chunk and the
  // period; what is left after the last whole period comes with zeroed lanes.
  template <class Terms>
  void sum_chunk(int64_t begin, int64_t end, float* sums, double* wide, double* to, Terms&& terms) const {
    const int64_t p = period.floats;
    for (int64_t i = 0; i < 2 * p; i++) wide[i] = 0;
    for (int64_t at = begin; at < end;) {
      for (int64_t i = 0; i < 2 * p; i += A::V) A::store(sums + i, A::zero());
      const int64_t stop = at + kPeriodsInFloat * p < end ? at + kPeriodsInFloat * p : end;
      for (; at + p <= stop; at += p)
        for (int64_t i = 0; i < p; i += A::V) add_terms(terms, at + i, i, A::V, sums, p);
      for (int64_t i = 0; at < stop; i += A::V) {
        const int n = static_cast<int>(stop - at < A::V ? stop - at : A::V);
        add_terms(terms, at, i, n, sums, p);
        at += n;
      }
      for (int64_t i = 0; i < 2 * p; i += A::V) A::add_to(wide + i, A::load(sums + i));
    }
    for (int64_t c = 0; c < 2 * s.channels; c++) to[c] = 0;
    for (int64_t i = 0; i < p; i++) {
      to[i % s.channels] += wide[i];
      to[s.channels + i % s.channels] += wide[p + i];
    }
  }

  template <class Terms>
  static inline void add_terms(Terms&& terms, int64_t at, int64_t i, int n, float* sums, int64_t p) {
    F first, second;
    terms(at, i, n, &first, &second);
    A::store(sums + i, A::add(A::load(sums + i), first));
    A::store(sums + p + i, A::add(A::load(sums + p + i), second));
  }

  // Calls each(place, place in the period, lanes) over a chunk.
  template <class Each>
  void for_each(int64_t begin, int64_t end, Each&& each) const {
    const int64_t p = period.floats;
    int64_t at = begin;
    for (; at + p <= end; at += p)
      for (int64_t i = 0; i < p; i += A::V) each(at + i, i, A::V);
    for (int64_t i = 0; at < end; i += A::V, at += A::V) each(at, i, static_cast<int>(end - at < A::V ? end - at : A::V));
  }

  // Adds the chunks of each sample, in order: (N, 2, C).
  void add_chunks(const double* partial, double* to) const {
    for (int64_t n = 0; n < s.batch; n++)
      for (int64_t c = 0; c < 2 * s.channels; c++) {
        double sum = 0;
        for (int64_t k = 0; k < chunks; k++) sum += partial[(n * chunks + k) * 2 * s.channels + c];
        to[n * 2 * s.channels + c] = sum;
      }
  }

  static inline F load(const float* p, int n) { return n == A::V ? A::load(p) : A::load(A::first(n), p); }
  static inline void store(float* p, F v, int n) {
    if (n == A::V)
      A::store(p, v);
    else
      A::store(A::first(n), p, v);
  }
  // v in the first n lanes, zero behind
  static inline F only(F v, int n) {
    if (n == A::V) return v;
    alignas(64) float lanes[A::V];
    A::store(lanes, v);
    return A::load(A::first(n), lanes);
  }

  void forward(const GroupNormForward& a) const {
    const int threads = thread_count();
    const int64_t p = period.floats;
    Scratch<float> sums(threads * 2 * p);
    Scratch<double> wide(threads * 2 * p);
    Scratch<double> partial(s.batch * chunks * 2 * s.channels);
    Scratch<double> totals(s.batch * 2 * s.channels);
    Scratch<float> tables(s.batch * 3 * p);

    for (int64_t n = 0; n < s.batch; n++)
      period.fill(tables.get() + n * 3 * p, s.channels, [&](int64_t c) { return a.x[n * sample + c]; });
    parallel(s.batch * chunks, [&](int64_t task, int thread) {
      const int64_t n = task / chunks;
      const int64_t begin = task % chunks * chunk;
      const float* x = a.x + n * sample;
      const float* shift = tables.get() + n * 3 * p;
      sum_chunk(begin, begin + chunk < sample ? begin + chunk : sample, sums.get() + thread * 2 * p,
                wide.get() + thread * 2 * p, partial.get() + task * 2 * s.channels,
                [&](int64_t at, int64_t i, int lanes, F* first, F* second) {
                  const F away = only(A::sub(load(x + at, lanes), A::load(shift + i)), lanes);
                  *first = away;
                  *second = A::mul(away, away);
                });
    });
    add_chunks(partial.get(), totals.get());
    for (int64_t n = 0; n < s.batch; n++) {
      const double* sum = totals.get() + n * 2 * s.channels;
      float* mean = a.mean + n * s.groups;
      float* rstd = a.rstd + n * s.groups;
      group_statistics(s, sum, sum + s.channels, a.x + n * sample, mean, rstd);
      if (a.y == nullptr) continue;
      float* table = tables.get() + n * 3 * p;
      period.fill(table, s.channels, [&](int64_t c) { return mean[group(c)]; });
      period.fill(table + p, s.channels, [&](int64_t c) { return a.gamma[c] * rstd[group(c)]; });
      period.fill(table + 2 * p, s.channels, [&](int64_t c) { return a.beta[c]; });
    }
    if (a.y == nullptr) return;
    parallel(s.batch * chunks, [&](int64_t task, int) {
      const int64_t n = task / chunks;
      const int64_t begin = task % chunks * chunk;
      const float* x = a.x + n * sample;
      float* y = a.y + n * sample;
      const float* mean = tables.get() + n * 3 * p;
      for_each(begin, begin + chunk < sample ? begin + chunk : sample, [&](int64_t at, int64_t i, int lanes) {
        const F value = A::fma(A::sub(load(x + at, lanes), A::load(mean + i)), A::load(mean + p + i), A::load(mean + 2 * p + i));
        store(y + at, s.relu ? A::max(A::zero(), value) : value, lanes);
      });
    });
  }

  void gradient(const GroupNormGradient& a) const {
    const int threads = thread_count();
    const int64_t p = period.floats;
    Scratch<float> sums(threads * 2 * p);
    Scratch<double> wide(threads * 2 * p);
    Scratch<double> partial(s.batch * chunks * 2 * s.channels);
    Scratch<double> totals(s.batch * 2 * s.channels);
    // mean, gamma rstd, beta, rstd, rstd m1, rstd^2 m2
    Scratch<float> tables(s.batch * 6 * p);

    for (int64_t n = 0; n < s.batch; n++) {
      const float* mean = a.mean + n * s.groups;
      const float* rstd = a.rstd + n * s.groups;
      float* table = tables.get() + n * 6 * p;
      period.fill(table, s.channels, [&](int64_t c) { return mean[group(c)]; });
      period.fill(table + p, s.channels, [&](int64_t c) { return a.gamma[c] * rstd[group(c)]; });
      period.fill(table + 2 * p, s.channels, [&](int64_t c) { return a.beta[c]; });
      period.fill(table + 3 * p, s.channels, [&](int64_t c) { return rstd[group(c)]; });
    }
    // The gradient that passed the ReLU, and the centred input.
    const auto passed = [&](const float* dy, const float* x, const float* table, int64_t at, int64_t i, int lanes, F* centred) {
      *centred = A::sub(load(x + at, lanes), A::load(table + i));
      const F u = load(dy + at, lanes);
      if (!s.relu) return u;
      return A::where_positive(A::fma(*centred, A::load(table + p + i), A::load(table + 2 * p + i)), u);
    };
    parallel(s.batch * chunks, [&](int64_t task, int thread) {
      const int64_t n = task / chunks;
      const int64_t begin = task % chunks * chunk;
      const float* x = a.x + n * sample;
      const float* dy = a.dy + n * sample;
      const float* table = tables.get() + n * 6 * p;
      sum_chunk(begin, begin + chunk < sample ? begin + chunk : sample, sums.get() + thread * 2 * p,
                wide.get() + thread * 2 * p, partial.get() + task * 2 * s.channels,
                [&](int64_t at, int64_t i, int lanes, F* first, F* second) {
                  F centred;
                  const F u = passed(dy, x, table, at, i, lanes, &centred);
                  *first = u;
                  *second = A::mul(u, A::mul(centred, A::load(table + 3 * p + i)));
                });
    });
    add_chunks(partial.get(), totals.get());
    for (int64_t c = 0; c < s.channels; c++) {
      double gamma = 0;
      double beta = 0;
      for (int64_t n = 0; n < s.batch; n++) {
        beta += totals[n * 2 * s.channels + c];
        gamma += totals[n * 2 * s.channels + s.channels + c];
      }
      a.dgamma[c] = static_cast<float>(gamma);
      a.dbeta[c] = static_cast<float>(beta);
    }
    for (int64_t n = 0; n < s.batch; n++) {
      const double* sum = totals.get() + n * 2 * s.channels;
      float* table = tables.get() + n * 6 * p;
      float m1 = 0, m2 = 0;
      for (int64_t g = 0; g < s.groups; g++) {
        group_means(s, a.gamma, sum, sum + s.channels, g, &m1, &m2);
        const float rstd = a.rstd[n * s.groups + g];
        for (int64_t i = 0; i < p; i++)
          if (group(i % s.channels) == g) {
            table[4 * p + i] = rstd * m1;
            table[5 * p + i] = rstd * rstd * m2;
          }
      }
    }
    parallel(s.batch * chunks, [&](int64_t task, int) {
      const int64_t n = task / chunks;
      const int64_t begin = task % chunks * chunk;
      const float* x = a.x + n * sample;
      const float* dy = a.dy + n * sample;
      float* dx = a.dx + n * sample;
      const float* residual = a.residual == nullptr ? nullptr : a.residual + n * sample;
      const float* table = tables.get() + n * 6 * p;
      for_each(begin, begin + chunk < sample ? begin + chunk : sample, [&](int64_t at, int64_t i, int lanes) {
        F centred;
        const F u = passed(dy, x, table, at, i, lanes, &centred);
        const F scaled = A::mul(u, A::load(table + p + i));
        const F drift = A::fma(centred, A::load(table + 5 * p + i), A::load(table + 4 * p + i));
        const F result = A::sub(scaled, drift);
        store(dx + at, residual == nullptr ? result : A::add(result, load(residual + at, lanes)), lanes);
      });
    });
  }
};

}  // namespace
}  // namespace ctflow
