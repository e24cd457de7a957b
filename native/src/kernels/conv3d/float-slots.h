// How values lie in the slots of packed rows and filters, 32 bits each: here one float32. Pairs of bfloat16 are in
// bfloat16-rows.h.
#pragma once

namespace ctflow {
namespace {

struct FloatSlots {
  static constexpr int kValues = 1;
  static int slots_of_block(int channels_in) { return channels_in == 1 ? 1 : 8; }
  static float slot(float value, float) { return value; }
};

}  // namespace
}  // namespace ctflow
