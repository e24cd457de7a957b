// Dice and cross-entropy with vectors: a register holds one class of neighbouring voxels, which is one transposition of a
// small block away from the tensor. Probabilities wait in dlogits between the two passes.
#pragma once

#include "kernels/dice-ce/terms.h"
#include "kernels/simd/functions.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

constexpr int64_t kVoxelsOfDiceChunk = 16384;

// Lanes of double sums: V per quantity.
template <class A>
struct DiceLanes {
  double intersection[kMostClasses][A::V];
  double predicted[kMostClasses][A::V];
  double negative_log[A::V];
};

template <class A>
static void dice_chunk(const DiceCrossEntropy& a, int64_t begin, int64_t end, DiceLanes<A>& lanes, DiceSums& to) {
  using F = typename A::F;
  constexpr int V = A::V;
  const int classes = a.classes;
  alignas(64) float block[kMostClasses][V];
  alignas(64) int labels[V];
  lanes = DiceLanes<A>{};
  clear(to);
  for (int64_t v = begin; v < end; v += V) {
    const int n = static_cast<int>(end - v < V ? end - v : V);
    for (int c = 0; c < classes; c++)
      for (int l = 0; l < V; l++) block[c][l] = l < n ? a.logits[(v + l) * classes + c] : 0;
    for (int l = 0; l < V; l++) {
      labels[l] = l < n ? a.labels[v + l] : -1;
      if (l >= n) continue;
      if (labels[l] < 0 || labels[l] >= classes)
        to.bad_labels++;
      else
        to.reference[labels[l]] += 1;
    }
    const auto inside = A::first(n);
    F max = A::load(block[0]);
    for (int c = 1; c < classes; c++) max = A::max(max, A::load(block[c]));
    F sum = A::zero();
    F of_label = A::zero();
    for (int c = 0; c < classes; c++) {
      const F logit = A::load(block[c]);
      of_label = A::add(of_label, A::where_equal(labels, c, A::sub(logit, max)));
      const F e = exponential<A>(A::sub(logit, max));
      A::store(block[c], e);
      sum = A::add(sum, e);
    }
    alignas(64) float line[V];
    A::store(line, A::sub(logarithm<A>(sum), of_label));
    A::add_to(lanes.negative_log, A::load(inside, line));
    for (int c = 0; c < classes; c++) {
      const F p = A::div(A::load(block[c]), sum);
      A::store(block[c], p);
      const F counted = A::load(inside, block[c]);
      A::add_to(lanes.predicted[c], a.squared_pred ? A::mul(counted, counted) : counted);
      A::add_to(lanes.intersection[c], A::where_equal(labels, c, p));
    }
    for (int c = 0; a.dlogits != nullptr && c < classes; c++)
      for (int l = 0; l < n; l++) a.dlogits[(v + l) * classes + c] = block[c][l];
  }
  for (int l = 0; l < V; l++) to.negative_log += lanes.negative_log[l];
  for (int c = 0; c < classes; c++)
    for (int l = 0; l < V; l++) {
      to.intersection[c] += lanes.intersection[c][l];
      to.predicted[c] += lanes.predicted[c][l];
    }
}

template <class A>
static void dice_gradient_chunk(const DiceCrossEntropy& a, int64_t begin, int64_t end, const DiceSlopes& k, float ce) {
  using F = typename A::F;
  constexpr int V = A::V;
  const int classes = a.classes;
  alignas(64) float block[kMostClasses][V];
  alignas(64) float slopes[kMostClasses][V];
  alignas(64) int labels[V];
  for (int64_t v = begin; v < end; v += V) {
    const int n = static_cast<int>(end - v < V ? end - v : V);
    for (int c = 0; c < classes; c++)
      for (int l = 0; l < V; l++) block[c][l] = l < n ? a.dlogits[(v + l) * classes + c] : 0;
    for (int l = 0; l < V; l++) labels[l] = l < n ? a.labels[v + l] : -1;
    F projection = A::zero();
    for (int c = 0; c < classes; c++) {
      const F p = A::load(block[c]);
      const F step = A::where_equal(labels, c, A::set(k.at_label[c] - k.elsewhere[c]));
      const F slope = A::add(A::fma(A::set(k.of_p[c]), p, A::set(k.elsewhere[c])), step);
      A::store(slopes[c], slope);
      projection = A::fma(slope, p, projection);
    }
    for (int c = 0; c < classes; c++) {
      const F p = A::load(block[c]);
      const F dice = A::mul(p, A::sub(A::load(slopes[c]), projection));
      const F away = A::sub(p, A::where_equal(labels, c, A::set(1.0f)));
      A::store(block[c], A::fma(A::set(ce), away, dice));
    }
    for (int c = 0; c < classes; c++)
      for (int l = 0; l < n; l++) a.dlogits[(v + l) * classes + c] = block[c][l];
  }
}

template <class A>
static void dice_cross_entropy_vector(const DiceCrossEntropy& a) {
  const int64_t chunks = (a.voxels + kVoxelsOfDiceChunk - 1) / kVoxelsOfDiceChunk;
  Scratch<DiceLanes<A>> lanes(thread_count());
  Scratch<DiceSums> partial(a.batch * chunks);
  Scratch<DiceSums> samples(a.batch);
  Scratch<DiceSlopes> slopes(a.batch);
  const auto range = [&](int64_t task, int64_t* begin, int64_t* end) {
    const int64_t first = task / chunks * a.voxels;
    *begin = first + task % chunks * kVoxelsOfDiceChunk;
    *end = *begin + kVoxelsOfDiceChunk < first + a.voxels ? *begin + kVoxelsOfDiceChunk : first + a.voxels;
  };
  parallel(a.batch * chunks, [&](int64_t task, int thread) {
    int64_t begin, end;
    range(task, &begin, &end);
    dice_chunk<A>(a, begin, end, lanes[thread], partial[task]);
  });
  for (int64_t n = 0; n < a.batch; n++) {
    clear(samples[n]);
    for (int64_t k = 0; k < chunks; k++) add(samples[n], partial[n * chunks + k], a.classes);
  }
  finish(a, samples.get(), slopes.get());
  if (a.dlogits == nullptr) return;
  const float ce = static_cast<float>(a.lambda_ce / (static_cast<double>(a.batch) * static_cast<double>(a.voxels)));
  parallel(a.batch * chunks, [&](int64_t task, int) {
    int64_t begin, end;
    range(task, &begin, &end);
    dice_gradient_chunk<A>(a, begin, end, slopes[a.sum_over_batch ? 0 : task / chunks], ce);
  });
}

}  // namespace
}  // namespace ctflow
