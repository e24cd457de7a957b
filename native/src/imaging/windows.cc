#include "imaging/windows.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "scratch.h"

namespace ctflow {
namespace {

int64_t plane_of(const WindowPlace& p, int k) {
  const int z = p.z + ((p.flips & 4) != 0 ? p.wz - 1 - k : k);
  return static_cast<int64_t>(z % p.depth) * p.ny * p.nx;
}

int64_t row_of(const WindowPlace& p, int j) {
  const int y = p.y + ((p.flips & 2) != 0 ? p.wy - 1 - j : j);
  return static_cast<int64_t>(y) * p.nx + p.x;
}

// e^x for |x| <= 700, the same bits wherever doubles are IEEE's: libraries differ in the last one. Powers of two times the
// exponential series within half of ln 2, to the 13th power, beyond which terms are below 2^-53. Without calls and branches,
// for compilers that vectorise.
inline double exponential(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33;
  // Added to a small number it leaves the nearest whole one in the last bits.
  constexpr double kRounding = 0x1.8p52;
  constexpr double kSeries[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
                                1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1,           1};
  const double rounded = x * kLog2E + kRounding, k = rounded - kRounding;
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double sum = kSeries[0];
  for (int n = 1; n < 14; n++) sum = sum * r + kSeries[n];
  uint64_t bits;
  std::memcpy(&bits, &rounded, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return sum * power;
}

inline double limited(double x) { return std::max(-700.0, std::min(700.0, x)); }

}  // namespace

bool take_window(const WindowPlace& p, const float* planes, float* to) {
  uint32_t first, differing = 0;
  std::memcpy(&first, planes + plane_of(p, 0) + row_of(p, 0) + ((p.flips & 1) != 0 ? p.wx - 1 : 0), sizeof first);
  for (int k = 0; k < p.wz; k++)
    for (int j = 0; j < p.wy; j++, to += p.wx) {
      const float* const row = planes + plane_of(p, k) + row_of(p, j);
      if ((p.flips & 1) != 0)
        std::reverse_copy(row, row + p.wx, to);
      else
        std::copy_n(row, p.wx, to);
      for (int i = 0; i < p.wx; i++) {
        uint32_t bits;
        std::memcpy(&bits, to + i, sizeof bits);
        differing |= bits ^ first;
      }
    }
  return differing == 0;
}

namespace {

struct RowAdding {
  const float* logits;
  const float* importance;  // null where all of it is 1
  float* sums;
  int64_t channel;  // from a channel's sums to the next one's
  int wx, classes;
};

// Two classes, the usual case, in loops of their own that a compiler can vectorise.
template <bool kFlipped>
void add_row_of_two(const RowAdding& c) {
  const float* const importance = c.importance;
  float* const sums = c.sums;
  for (int i = 0; i < c.wx; i++) {
    const float* const pair = c.logits + 2 * (kFlipped ? c.wx - 1 - i : i);
    const float difference = pair[1] - pair[0];
    sums[i] += importance != nullptr ? importance[i] * difference : difference;
  }
}

void add_row(const RowAdding& c, bool flipped) {
  for (int i = 0; i < c.wx; i++) {
    const float* const voxel = c.logits + static_cast<int64_t>(flipped ? c.wx - 1 - i : i) * c.classes;
    const float weight = c.importance != nullptr ? c.importance[i] : 1;
    for (int n = 0; n < c.classes; n++) c.sums[n * c.channel + i] += weight * voxel[n];
  }
}

}  // namespace

void add_window(const WindowAdding& c) {
  const WindowPlace& p = c.place;
  const bool flipped = (p.flips & 1) != 0;
  RowAdding row{c.logits, nullptr, nullptr, static_cast<int64_t>(p.depth) * p.ny * p.nx, p.wx, c.classes};
  for (int k = 0; k < p.wz; k++)
    for (int j = 0; j < p.wy; j++, row.logits += static_cast<int64_t>(p.wx) * c.classes) {
      const int64_t at = plane_of(p, k) + row_of(p, j);
      row.sums = c.sums + at;
      if (c.importance != nullptr) {
        const int mk = (p.flips & 4) != 0 ? p.wz - 1 - k : k, mj = (p.flips & 2) != 0 ? p.wy - 1 - j : j;
        row.importance = c.importance + (static_cast<int64_t>(mk) * p.wy + mj) * p.wx;
        float* const weights = c.weights + at;
        for (int i = 0; i < p.wx; i++) weights[i] += row.importance[i];
      }
      if (c.classes != 2)
        add_row(row, flipped);
      else if (flipped)
        add_row_of_two<true>(row);
      else
        add_row_of_two<false>(row);
    }
}

namespace {

// Weighted means in place of sums; false where one is not finite.
bool means_of(float* sums, const float* weights, int count) {
  // What is not finite stays so however often it is added.
  float doubts[8] = {};
  int i = 0;
  for (; i + 8 <= count; i += 8)
    for (int k = 0; k < 8; k++) doubts[k] += (sums[i + k] /= weights[i + k]) * 0;
  for (; i < count; i++) doubts[0] += (sums[i] /= weights[i]) * 0;
  return std::all_of(doubts, doubts + 8, [](float doubt) { return doubt == 0; });
}

constexpr int kOddsAtATime = 64;

// Of the first of two classes. The limits apart: with them in the loop GCC does not vectorise it.
void odds_of(const float* means, double* odds, int count) {
  for (int i = 0; i < count; i++) odds[i] = limited(-static_cast<double>(means[i]));
  for (int i = 0; i < count; i++) odds[i] = exponential(odds[i]);
}

void margins(const float* means, float* to, int count) {
  double odds[kOddsAtATime];
  for (int first = 0; first < count; first += kOddsAtATime) {
    const int n = std::min(kOddsAtATime, count - first);
    odds_of(means + first, odds, n);
    for (int i = 0; i < n; i++) to[first + i] = static_cast<float>((1 - odds[i]) / (1 + odds[i]));
  }
}

void probabilities_of_two(const float* means, float* one, float* two, int count) {
  double odds[kOddsAtATime];
  for (int first = 0; first < count; first += kOddsAtATime) {
    const int n = std::min(kOddsAtATime, count - first);
    odds_of(means + first, odds, n);
    for (int i = 0; i < n; i++) one[first + i] = static_cast<float>(odds[i] / (1 + odds[i]));
    for (int i = 0; i < n; i++) two[first + i] = static_cast<float>(1 / (1 + odds[i]));
  }
}

// Means and maps of the classes are `channel` and `out` apart.
void probabilities(const float* means, int64_t channel, int classes, float* to, int64_t out, int count) {
  std::vector<double> powers(static_cast<size_t>(classes));
  for (int i = 0; i < count; i++) {
    float largest = means[i];
    for (int n = 1; n < classes; n++) largest = std::max(largest, means[n * channel + i]);
    double sum = 0;
    for (int n = 0; n < classes; n++)
      sum += powers[n] = exponential(limited(static_cast<double>(means[n * channel + i]) - static_cast<double>(largest)));
    for (int n = 0; n < classes; n++) to[n * out + i] = static_cast<float>(powers[n] / sum);
  }
}

}  // namespace

bool finish_planes(const PlanesFinishing& c) {
  const int64_t plane = static_cast<int64_t>(c.ny) * c.nx, channel = c.depth * plane, out = c.planes * plane;
  const int channels = sum_channels(c.classes);
  const Scratch<float> counted(c.nx);
  for (int k = 0; k < c.planes; k++)
    // Row by row, so that what is read again is near.
    for (int y = 0; y < c.ny; y++) {
      const int64_t from = (c.z + k) % c.depth * plane + static_cast<int64_t>(y) * c.nx;
      float* const means = c.sums + from;
      float* const to = c.to + k * plane + static_cast<int64_t>(y) * c.nx;
      const float* weights = counted.get();
      if (c.weights != nullptr) {
        weights = c.weights + from;
      } else {
        const float rows = c.counts[1][y] * c.counts[2][k];
        for (int x = 0; x < c.nx; x++) counted[x] = c.counts[0][x] * rows;
      }
      for (int n = 0; n < channels; n++)
        if (!means_of(means + n * channel, weights, c.nx)) return false;
      if (c.means == Means::kMargin)
        margins(means, to, c.nx);
      else if (c.means == Means::kProbabilities && c.classes == 2)
        probabilities_of_two(means, to, to + out, c.nx);
      else if (c.means == Means::kProbabilities)
        probabilities(means, channel, c.classes, to, out, c.nx);
      else
        for (int n = 0; n < channels; n++) std::copy_n(means + n * channel, c.nx, to + n * out);
      if (c.weights != nullptr) std::fill_n(c.weights + from, c.nx, 0.0f);
      for (int n = 0; n < channels; n++) std::fill_n(means + n * channel, c.nx, 0.0f);
    }
  return true;
}

}  // namespace ctflow
