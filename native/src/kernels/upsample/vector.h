// The up-sampling and its gradient with vectors: first along z and y, whole rows at a time into a row of scratch, then
// along x, channels at a time. The gradient gathers, so that every result has one writer.
#pragma once

#include "kernels/upsample/upsample.h"
#include "kernels/upsample/weights.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

// to = sum of weights[i] * rows[i]
template <class A>
static inline void blend_rows(const float* const* rows, const float* weights, int count, int64_t floats, float* to) {
  int64_t i = 0;
  for (; i + A::V <= floats; i += A::V) {
    auto sum = A::mul(A::set(weights[0]), A::load(rows[0] + i));
    for (int r = 1; r < count; r++) sum = A::fma(A::set(weights[r]), A::load(rows[r] + i), sum);
    A::store(to + i, sum);
  }
  if (i == floats) return;
  const auto mask = A::first(static_cast<int>(floats - i));
  auto sum = A::mul(A::set(weights[0]), A::load(mask, rows[0] + i));
  for (int r = 1; r < count; r++) sum = A::fma(A::set(weights[r]), A::load(mask, rows[r] + i), sum);
  A::store(mask, to + i, sum);
}

template <class A>
static void upsample_forward_vector(const UpsampleForward& a) {
  const UpsampleShape& s = a.shape;
  const int d = s.size[0], h = s.size[1], w = s.size[2], channels = s.channels;
  const int64_t row_floats = static_cast<int64_t>(w) * channels;
  const int64_t padded = (row_floats + 15) / 16 * 16;
  Scratch<float> blended(thread_count() * padded);
  parallel(static_cast<int64_t>(s.batch) * 2 * d * 2 * h, [&](int64_t row, int thread) {
    AxisWeight zs[2], ys[2];
    sources_of(static_cast<int>(row / (2 * h) % (2 * d)), d, zs);
    sources_of(static_cast<int>(row % (2 * h)), h, ys);
    const float* x = a.x + row / (2 * h) / (2 * d) * d * h * row_floats;
    const float* rows[4];
    float weights[4];
    for (int i = 0; i < 4; i++) {
      rows[i] = x + (static_cast<int64_t>(zs[i / 2].index) * h + ys[i % 2].index) * row_floats;
      weights[i] = zs[i / 2].weight * ys[i % 2].weight;
    }
    float* line = blended.get() + thread * padded;
    blend_rows<A>(rows, weights, 4, row_floats, line);

    float* y = a.y + row * 2 * row_floats;
    const float* skip = a.skip == nullptr ? nullptr : a.skip + row * 2 * row_floats;
    const auto near = A::set(0.75f);
    const auto far = A::set(0.25f);
    for (int c = 0; c < channels; c += A::V) {
      const auto mask = A::first(channels - c < A::V ? channels - c : A::V);
      auto before = A::load(mask, line + c);
      auto here = before;
      for (int i = 0; i < w; i++) {
        const auto after = i + 1 < w ? A::load(mask, line + (i + 1) * static_cast<int64_t>(channels) + c) : here;
        auto even = A::fma(near, here, A::mul(far, before));
        auto odd = A::fma(near, here, A::mul(far, after));
        const int64_t at = static_cast<int64_t>(2) * i * channels + c;
        if (skip != nullptr) {
          even = A::add(even, A::load(mask, skip + at));
          odd = A::add(odd, A::load(mask, skip + at + channels));
        }
        A::store(mask, y + at, even);
        A::store(mask, y + at + channels, odd);
        before = here;
        here = after;
      }
    }
  });
}

template <class A>
static void upsample_gradient_vector(const UpsampleGradient& a) {
  const UpsampleShape& s = a.shape;
  const int d = s.size[0], h = s.size[1], w = s.size[2], channels = s.channels;
  const int64_t row_floats = static_cast<int64_t>(w) * channels * 2;
  const int64_t padded = (row_floats + 15) / 16 * 16;
  Scratch<float> gathered(thread_count() * padded);
  parallel(static_cast<int64_t>(s.batch) * d * h, [&](int64_t row, int thread) {
    AxisWeight zs[4], ys[4];
    const int nz = outputs_of(static_cast<int>(row / h % d), d, zs);
    const int ny = outputs_of(static_cast<int>(row % h), h, ys);
    const float* dy = a.dy + row / h / d * 2 * d * 2 * h * row_floats;
    const float* rows[16];
    float weights[16];
    int count = 0;
    for (int z = 0; z < nz; z++)
      for (int y = 0; y < ny; y++) {
        rows[count] = dy + (static_cast<int64_t>(zs[z].index) * 2 * h + ys[y].index) * row_floats;
        weights[count++] = zs[z].weight * ys[y].weight;
      }
    float* line = gathered.get() + thread * padded;
    blend_rows<A>(rows, weights, count, row_floats, line);

    float* dx = a.dx + row * (row_floats / 2);
    for (int i = 0; i < w; i++) {
      AxisWeight xs[4];
      const int nx = outputs_of(i, w, xs);
      for (int c = 0; c < channels; c += A::V) {
        const auto mask = A::first(channels - c < A::V ? channels - c : A::V);
        auto sum = A::zero();
        for (int x = 0; x < nx; x++)
          sum = A::fma(A::set(xs[x].weight), A::load(mask, line + static_cast<int64_t>(xs[x].index) * channels + c), sum);
        A::store(mask, dx + static_cast<int64_t>(i) * channels + c, sum);
      }
    }
  });
}

}  // namespace
}  // namespace ctflow
