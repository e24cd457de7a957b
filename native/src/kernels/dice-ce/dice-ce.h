// Softmax over classes, Dice loss and cross-entropy, and the gradient of their weighted sum. Logits are
// (N, voxels, classes) float32, labels (N, voxels) int32.
#pragma once

#include <cstdint>

namespace ctflow {

struct DiceCrossEntropy {
  int64_t batch;
  int64_t voxels;
  int classes;  // 2..kMostClasses
  bool squared_pred;
  bool include_background;
  bool jaccard;
  bool sum_over_batch;
  double smooth_nr, smooth_dr;
  double lambda_dice, lambda_ce;
  // Where samples of a batch come one by one although the Dice sums run over all of them (sum_over_batch): those sums,
  // (3, classes), and the number of samples. The slopes of Dice are then weighted with that number, so that the mean of
  // the samples' gradients is the batch's. Null otherwise.
  const double* batch_sums;
  int64_t batch_samples;
  const float* logits;
  const int32_t* labels;
  // Null where only the sums are wanted.
  float* dlogits;
  // Results. Intersection, reference and prediction of each class over all that was given, (3, classes); may be null.
  double* sums;
  double* loss;
  double* dice;
  double* cross_entropy;
  // The number of voxels whose label is no class; the other results mean nothing unless it is 0.
  int64_t* bad_labels;
};

constexpr int kMostClasses = 32;

}  // namespace ctflow
