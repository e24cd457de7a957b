// The convolution with one tap and stride 1 and its gradients: nothing is packed, and memory limits all but the widest.
#pragma once

#include <type_traits>

#include "kernels/conv3d/pointwise-dots.h"
#include "kernels/conv3d/pointwise-filter-gradient.h"
#include "kernels/conv3d/pointwise-tiles.h"

namespace ctflow {
namespace {

// Calls run(out) with a number of outputs that is a constant.
template <class Run>
static inline void with_few_outputs(int64_t out, Run&& run) {
  static_assert(kFewOutputs == 4, "the cases below");
  switch (out) {
    case 1: return run(std::integral_constant<int, 1>());
    case 2: return run(std::integral_constant<int, 2>());
    case 3: return run(std::integral_constant<int, 3>());
    default: return run(std::integral_constant<int, 4>());
  }
}

template <class A>
static void pointwise_product(const PointwiseProduct& p) {
  using Eight = typename A::EightLanes;
  if (p.out > Eight::V) return PointwiseTiles<A>(p).run();
  if (p.out > kFewOutputs) return PointwiseTiles<Eight>(p).run();
  with_few_outputs(p.out, [&](auto out) {
    if (p.norm != nullptr)
      PointwiseDots<Eight, out(), true>(p).run();
    else
      PointwiseDots<Eight, out(), false>(p).run();
  });
}

template <class A>
static void pointwise_forward(const Conv3dForward& a) {
  const Conv3dShape& s = a.shape;
  pointwise_product<A>({s.batch, pointwise_voxels(s), s.ci, s.co, a.x, a.filter, s.co, 1, a.y, a.norm, a.residual});
}

template <class A>
static void pointwise_input_gradient(const Conv3dInputGradient& a) {
  const Conv3dShape& s = a.shape;
  pointwise_product<A>({s.batch, pointwise_voxels(s), s.co, s.ci, a.dy, a.filter, 1, s.co, a.dx, nullptr, nullptr});
}

template <class A>
static void pointwise_filter_gradient(const Conv3dFilterGradient& a) {
  using Eight = typename A::EightLanes;
  with_few_outputs(a.shape.co, [&](auto out) {
    if (a.norm != nullptr)
      PointwiseFilterGradient<Eight, out(), true>(a).run();
    else
      PointwiseFilterGradient<Eight, out(), false>(a).run();
  });
}

}  // namespace
}  // namespace ctflow
