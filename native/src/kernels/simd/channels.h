// Loops over (voxels, C) in full registers whatever C is: after a period of some registers the lanes meet the same
// channels again, so a value per channel becomes a table of one period.
#pragma once

#include <cstdint>

namespace ctflow {
namespace {

template <class A>
struct ChannelPeriod {
  int64_t registers;  // of a period
  int64_t floats;     // of a period, a multiple of both C and the lanes

  // At least four registers, so that sums over periods do not wait for each other.
  explicit ChannelPeriod(int64_t channels) {
    int64_t gcd = channels;
    for (int64_t other = A::V; other != 0;) {
      const int64_t rest = gcd % other;
      gcd = other;
      other = rest;
    }
    registers = channels / gcd;
    if (registers < 4) registers *= (4 + registers - 1) / registers;
    floats = registers * A::V;
  }

  // table[i] = value(i % channels)
  template <class Value>
  void fill(float* table, int64_t channels, Value&& value) const {
    for (int64_t i = 0; i < floats; i++) table[i] = value(i % channels);
  }
};

}  // namespace
}  // namespace ctflow
