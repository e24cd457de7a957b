#include "imaging/values.h"

#include <algorithm>

namespace ctflow {

void clip(const Clipping& c) {
  const float min = static_cast<float>(c.min);
  const float range = static_cast<float>(c.max - c.min);
  const float low = static_cast<float>(c.low), high = static_cast<float>(c.high);
  const float scale = static_cast<float>(c.high - c.low);
  for (int64_t i = 0; i < c.count; i++) {
    const float value = (c.from[i] - min) / range * scale + low;
    c.to[i] = value < low ? low : value > high ? high : value;
  }
}

namespace {

int class_of(const Mapping& m, float value) {
  if (value >= 0 && value < kDenseClasses) {
    const int whole = static_cast<int>(value);
    if (static_cast<float>(whole) == value) return m.dense[whole];
  }
  for (int i = 0; i < m.others; i++)
    if (m.values[i] == value) return m.classes[i];
  return -1;
}

}  // namespace

int64_t map_labels(const Mapping& m) {
  // Labels come in runs: most blocks hold one value.
  constexpr int64_t kBlock = 32;
  float value = 0;
  int index = class_of(m, value);
  for (int64_t from = 0; from < m.count; from += kBlock) {
    const int64_t count = std::min(kBlock, m.count - from);
    const float* const voxels = m.from + from;
    float* const to = m.to + from;
    int others = 0;
    for (int64_t i = 0; i < count; i++) others += !(voxels[i] == value);
    if (others == 0 && index >= 0) {
      std::fill_n(to, count, static_cast<float>(index));
      continue;
    }
    for (int64_t i = 0; i < count; i++) {
      // NaN is never what was there before.
      if (!(voxels[i] == value)) {
        value = voxels[i];
        index = class_of(m, value);
      }
      if (index < 0) return from + i;
      to[i] = static_cast<float>(index);
    }
  }
  return -1;
}

}  // namespace ctflow
