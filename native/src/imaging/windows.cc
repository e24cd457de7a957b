#include "imaging/windows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

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
// exponential series within half of ln 2, to the 13th power, beyond which terms are below 2^-53.
double exponential(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33;
  const double k = std::floor(x * kLog2E + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double sum = 1;
  for (int n = 13; n >= 1; n--) sum = 1 + r * sum / n;
  const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(k) + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return sum * power;
}

double limited(double x) { return std::max(-700.0, std::min(700.0, x)); }

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

// Two classes, the usual case, in a loop of its own that a compiler can vectorise.
void add_row_of_two(const float* logits, const float* importance, float* sums, float* weights, int wx, bool flipped) {
  for (int i = 0; i < wx; i++) {
    const float* const pair = logits + 2 * (flipped ? wx - 1 - i : i);
    sums[i] += importance[i] * (pair[1] - pair[0]);
    weights[i] += importance[i];
  }
}

}  // namespace

void add_window(const WindowAdding& c) {
  const WindowPlace& p = c.place;
  const int64_t channel = static_cast<int64_t>(p.depth) * p.ny * p.nx;
  const bool flipped = (p.flips & 1) != 0;
  const float* logits = c.logits;
  for (int k = 0; k < p.wz; k++)
    for (int j = 0; j < p.wy; j++, logits += static_cast<int64_t>(p.wx) * c.classes) {
      const int64_t at = plane_of(p, k) + row_of(p, j);
      const int mk = (p.flips & 4) != 0 ? p.wz - 1 - k : k, mj = (p.flips & 2) != 0 ? p.wy - 1 - j : j;
      const float* const importance = c.importance + (static_cast<int64_t>(mk) * p.wy + mj) * p.wx;
      float* const weights = c.weights + at;
      if (c.classes == 2) {
        if (flipped)
          add_row_of_two(logits, importance, c.sums + at, weights, p.wx, true);
        else
          add_row_of_two(logits, importance, c.sums + at, weights, p.wx, false);
        continue;
      }
      for (int i = 0; i < p.wx; i++) {
        const float* const voxel = logits + static_cast<int64_t>(flipped ? p.wx - 1 - i : i) * c.classes;
        for (int n = 0; n < c.classes; n++) c.sums[n * channel + at + i] += importance[i] * voxel[n];
        weights[i] += importance[i];
      }
    }
}

bool finish_planes(const PlanesFinishing& c) {
  const int64_t plane = static_cast<int64_t>(c.ny) * c.nx, channel = c.depth * plane, out = c.planes * plane;
  const int channels = sum_channels(c.classes);
  std::vector<float> means(static_cast<size_t>(channels));
  std::vector<double> powers(static_cast<size_t>(channels));
  bool finite = true;
  for (int k = 0; k < c.planes; k++) {
    const int64_t from = (c.z + k) % c.depth * plane;
    float* const weights = c.weights + from;
    for (int64_t i = 0; i < plane; i++) {
      float largest = -HUGE_VALF;
      for (int n = 0; n < channels; n++) {
        means[n] = c.sums[n * channel + from + i] / weights[i];
        largest = std::max(largest, means[n]);
        finite = finite && std::isfinite(means[n]);
      }
      float* const to = c.to + k * plane + i;
      if (!finite) return false;
      if (c.means == Means::kLogits) {
        for (int n = 0; n < channels; n++) to[n * out] = means[n];
      } else if (c.classes == 2) {
        const double odds = exponential(limited(-static_cast<double>(means[0])));
        if (c.means == Means::kMargin) {
          *to = static_cast<float>((1 - odds) / (1 + odds));
        } else {
          to[0] = static_cast<float>(odds / (1 + odds));
          to[out] = static_cast<float>(1 / (1 + odds));
        }
      } else {
        double sum = 0;
        for (int n = 0; n < channels; n++) sum += powers[n] = exponential(limited(static_cast<double>(means[n]) - largest));
        for (int n = 0; n < channels; n++) to[n * out] = static_cast<float>(powers[n] / sum);
      }
    }
    std::fill_n(weights, plane, 0.0f);
    for (int n = 0; n < channels; n++) std::fill_n(c.sums + n * channel + from, plane, 0.0f);
  }
  return true;
}

}  // namespace ctflow
