// The weights of the up-sampling along one axis, seen from the large and from the small side.
#pragma once

namespace ctflow {
namespace {

struct AxisWeight {
  int index;
  float weight;
};

// The two positions of n that output o lies between: src = max((o + 0.5) / 2 - 0.5, 0).
static inline void sources_of(int o, int n, AxisWeight to[2]) {
  const int i0 = o == 0 ? 0 : (o - 1) / 2;
  const int i1 = i0 + 1 < n ? i0 + 1 : n - 1;
  const float w = o == 0 ? 0.0f : (o % 2 == 0 ? 0.75f : 0.25f);
  to[0] = AxisWeight{i0, 1 - w};
  to[1] = AxisWeight{i1, w};
}

// The outputs that position i of n takes part in, ascending; at most four. Returns how many.
static inline int outputs_of(int i, int n, AxisWeight to[4]) {
  int count = 0;
  for (int o = 2 * i - 1; o <= 2 * i + 2; o++) {
    if (o < 0 || o >= 2 * n) continue;
    AxisWeight from[2];
    sources_of(o, n, from);
    const float weight = (from[0].index == i ? from[0].weight : 0) + (from[1].index == i ? from[1].weight : 0);
    if (weight != 0) to[count++] = AxisWeight{o, weight};
  }
  return count;
}

}  // namespace
}  // namespace ctflow
