// All kernels, op by instruction set. A new op is one row here, and a file per variant; a new variant one column.
#pragma once

#include "kernels/adam/adam.h"
#include "kernels/conv3d/conv3d.h"
#include "kernels/dice-ce/dice-ce.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/group-norm/group-norm.h"
#include "kernels/peak/peak.h"
#include "kernels/upsample/upsample.h"

//  op, its arguments
#define CTFLOW_KERNELS(ROW)                            \
  ROW(conv3d_forward, Conv3dForward)                   \
  ROW(conv3d_input_gradient, Conv3dInputGradient)      \
  ROW(conv3d_filter_gradient, Conv3dFilterGradient)    \
  ROW(group_norm_forward, GroupNormForward)            \
  ROW(group_norm_gradient, GroupNormGradient)          \
  ROW(upsample_forward, UpsampleForward)               \
  ROW(upsample_gradient, UpsampleGradient)             \
  ROW(dice_cross_entropy, DiceCrossEntropy)            \
  ROW(adam_update, AdamUpdate)                         \
  ROW(elementwise, Elementwise)                        \
  ROW(channel_sum, ChannelSum)                         \
  ROW(softmax, Softmax)                                \
  ROW(peak_probe, PeakProbe)

// Those that exist with bfloat16 products too: emulated on any processor, and for avx512_bf16.
#define CTFLOW_BFLOAT16_KERNELS(ROW)                   \
  ROW(conv3d_forward, Conv3dForward)                   \
  ROW(conv3d_input_gradient, Conv3dInputGradient)      \
  ROW(conv3d_filter_gradient, Conv3dFilterGradient)

namespace ctflow {

#define CTFLOW_DECLARE(op, Arguments)   \
  void op##__scalar(const Arguments&);  \
  void op##__avx2(const Arguments&);    \
  void op##__avx512(const Arguments&);  \
  void op##__neon(const Arguments&);
CTFLOW_KERNELS(CTFLOW_DECLARE)
#undef CTFLOW_DECLARE

struct Kernels {
  const char* isa;
#define CTFLOW_FIELD(op, Arguments) void (*op)(const Arguments&);
  CTFLOW_KERNELS(CTFLOW_FIELD)
#undef CTFLOW_FIELD
};

#define CTFLOW_DECLARE_BFLOAT16(op, Arguments) \
  void op##__bfloat16(const Arguments&);       \
  void op##__avx512bf16(const Arguments&);
CTFLOW_BFLOAT16_KERNELS(CTFLOW_DECLARE_BFLOAT16)
#undef CTFLOW_DECLARE_BFLOAT16

struct Bfloat16Kernels {
#define CTFLOW_FIELD(op, Arguments) void (*op)(const Arguments&);
  CTFLOW_BFLOAT16_KERNELS(CTFLOW_FIELD)
#undef CTFLOW_FIELD
};

// The variants that this processor can run, slowest first.
int variant_count();
const Kernels& variant(int i);

// What is called now: at first the fastest. Process-wide.
const Kernels& kernels();
// False if this processor has no such variant.
bool select_isa(const char* isa);

// Round, then call what kernels() has.
const Bfloat16Kernels& emulated_bfloat16_kernels();
// Null where the processor has no such instructions. Not affected by select_isa.
const Bfloat16Kernels* bfloat16_kernels();

}  // namespace ctflow
