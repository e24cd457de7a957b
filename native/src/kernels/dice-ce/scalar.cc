// Dice and cross-entropy in plain loops, one task per sample.
#include <cmath>

#include "kernels/dice-ce/terms.h"
#include "kernels/table.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {

void dice_cross_entropy__scalar(const DiceCrossEntropy& a) {
  const int classes = a.classes;
  Scratch<DiceSums> sums(a.batch);
  Scratch<DiceSlopes> slopes(a.batch);
  parallel(a.batch, [&](int64_t n, int) {
    DiceSums& s = sums[n];
    clear(s);
    for (int64_t v = n * a.voxels; v < (n + 1) * a.voxels; v++) {
      const float* logits = a.logits + v * classes;
      float row[kMostClasses];
      float* p = a.dlogits == nullptr ? row : a.dlogits + v * classes;
      const int label = a.labels[v];
      if (label < 0 || label >= classes) {
        s.bad_labels++;
        continue;
      }
      float max = logits[0];
      for (int c = 1; c < classes; c++) max = logits[c] > max ? logits[c] : max;
      float sum = 0;
      for (int c = 0; c < classes; c++) sum += p[c] = std::exp(logits[c] - max);
      for (int c = 0; c < classes; c++) {
        p[c] /= sum;
        s.predicted[c] += a.squared_pred ? static_cast<double>(p[c]) * p[c] : p[c];
      }
      s.intersection[label] += p[label];
      s.reference[label] += 1;
      s.negative_log += static_cast<double>(std::log(sum)) + max - logits[label];
    }
  });
  finish(a, sums.get(), slopes.get());
  if (a.dlogits == nullptr) return;
  const float ce = static_cast<float>(a.lambda_ce / (static_cast<double>(a.batch) * static_cast<double>(a.voxels)));
  parallel(a.batch, [&](int64_t n, int) {
    const DiceSlopes& k = slopes[a.sum_over_batch ? 0 : n];
    for (int64_t v = n * a.voxels; v < (n + 1) * a.voxels; v++) {
      float* p = a.dlogits + v * classes;
      const int label = a.labels[v];
      float slope[kMostClasses];
      float projection = 0;
      for (int c = 0; c < classes; c++) {
        slope[c] = k.of_p[c] * p[c] + (c == label ? k.at_label[c] : k.elsewhere[c]);
        projection += slope[c] * p[c];
      }
      for (int c = 0; c < classes; c++) p[c] = p[c] * (slope[c] - projection) + ce * (p[c] - (c == label ? 1 : 0));
    }
  });
}

}  // namespace ctflow
