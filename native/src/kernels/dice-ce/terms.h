// From the sums per sample and class to the loss, and to what a voxel needs for its gradient.
#pragma once

#include "kernels/dice-ce/dice-ce.h"

namespace ctflow {
namespace {

// Sums over the voxels of one sample (or of the batch): I, G, P of each class, then -log p of the label.
struct DiceSums {
  double intersection[kMostClasses];
  double reference[kMostClasses];
  double predicted[kMostClasses];
  double negative_log;
  int64_t bad_labels;
};

static inline void clear(DiceSums& s) { s = DiceSums{}; }

static inline void add(DiceSums& to, const DiceSums& s, int classes) {
  for (int c = 0; c < classes; c++) {
    to.intersection[c] += s.intersection[c];
    to.reference[c] += s.reference[c];
    to.predicted[c] += s.predicted[c];
  }
  to.negative_log += s.negative_log;
  to.bad_labels += s.bad_labels;
}

// d loss / d p = g ? at_label[c] : elsewhere[c], plus of_p[c] * p; then the softmax's Jacobian.
struct DiceSlopes {
  float at_label[kMostClasses];
  float elsewhere[kMostClasses];
  float of_p[kMostClasses];
};

// Adds a row's Dice terms to `dice`, divided by `terms`; fills its slopes, weighted with lambda_dice.
static inline double dice_of_row(const DiceCrossEntropy& a, const DiceSums& s, int64_t terms, DiceSlopes& slopes) {
  double dice = 0;
  for (int c = 0; c < a.classes; c++) {
    slopes.at_label[c] = slopes.elsewhere[c] = slopes.of_p[c] = 0;
    if (c == 0 && !a.include_background) continue;
    const double sum = s.reference[c] + s.predicted[c];
    const double denominator = (a.jaccard ? 2 * (sum - s.intersection[c]) : sum) + a.smooth_dr;
    const double numerator = 2 * s.intersection[c] + a.smooth_nr;
    dice += (1 - numerator / denominator) / static_cast<double>(terms);
    const double samples = a.batch_sums == nullptr ? 1 : static_cast<double>(a.batch_samples);
    const double weight = a.lambda_dice * samples / static_cast<double>(terms);
    // d(1 - num / den) = -(2 g) / den + num / den^2 * dden, dden = dP, or 2 (dP - g) with jaccard; dP = 2 p or 1.
    const double per_den = numerator / (denominator * denominator) * (a.jaccard ? 2 : 1);
    const double flat = a.squared_pred ? 0 : per_den;
    slopes.of_p[c] = static_cast<float>(weight * (a.squared_pred ? 2 * per_den : 0));
    slopes.elsewhere[c] = static_cast<float>(weight * flat);
    slopes.at_label[c] = static_cast<float>(weight * (flat - 2 / denominator - (a.jaccard ? per_den : 0)));
  }
  return dice;
}

static inline int64_t dice_terms(const DiceCrossEntropy& a) {
  return (a.sum_over_batch ? 1 : a.batch) * (a.classes - (a.include_background ? 0 : 1));
}

// Fills the results and the slopes of each row (sample, or the one row of the batch) from each sample's sums.
static inline void finish(const DiceCrossEntropy& a, const DiceSums* samples, DiceSlopes* slopes) {
  const int64_t terms = dice_terms(a);
  DiceSums all;
  clear(all);
  for (int64_t n = 0; n < a.batch; n++) add(all, samples[n], a.classes);
  for (int c = 0; a.sums != nullptr && c < a.classes; c++) {
    a.sums[c] = all.intersection[c];
    a.sums[a.classes + c] = all.reference[c];
    a.sums[2 * a.classes + c] = all.predicted[c];
  }
  DiceSums whole = all;
  for (int c = 0; a.batch_sums != nullptr && c < a.classes; c++) {
    whole.intersection[c] = a.batch_sums[c];
    whole.reference[c] = a.batch_sums[a.classes + c];
    whole.predicted[c] = a.batch_sums[2 * a.classes + c];
  }
  double dice = 0;
  if (a.sum_over_batch)
    dice = dice_of_row(a, whole, terms, slopes[0]);
  else
    for (int64_t n = 0; n < a.batch; n++) dice += dice_of_row(a, samples[n], terms, slopes[n]);
  *a.dice = dice;
  *a.cross_entropy = all.negative_log / (static_cast<double>(a.batch) * static_cast<double>(a.voxels));
  *a.loss = a.lambda_dice * dice + a.lambda_ce * *a.cross_entropy;
  *a.bad_labels = all.bad_labels;
}

}  // namespace
}  // namespace ctflow
