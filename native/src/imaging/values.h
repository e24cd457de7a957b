// Loops that change voxels one by one.
#pragma once

#include <cstdint>

namespace ctflow {

// [min, max] becomes [low, high], values outside are limited, every operation rounded to float32: see imaging/intensity.ts.
struct Clipping {
  double min, max, low, high;
  int64_t count;
  const float* from;
  float* to;  // may be `from`
};
void clip(const Clipping& call);

// Classes of label values. `dense` has one entry for every whole number from 0 to 65535, the others are listed; a class
// below 0 is none.
struct Mapping {
  const int16_t* dense;
  int others;
  const double* values;
  const int16_t* classes;
  int64_t count;
  const float* from;
  float* to;  // may be `from`
};
constexpr int kDenseClasses = 65536;

// The index of the first value without a class, where it stops, or -1.
int64_t map_labels(const Mapping& call);

}  // namespace ctflow
