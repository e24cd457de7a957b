// Eight float32 lanes in two registers of four. Only files compiled for 64-bit ARM include this.
//
// Eight lanes rather than four: the network has 8, 16, 32 ... channels, and two registers share each broadcast input, so
// that a tile loads half as much.
#pragma once

#include <arm_neon.h>

namespace ctflow {

struct Neon {
  using Float32 = Neon;  // whose products are of float32
  using EightLanes = Neon;
  static constexpr int V = 8;
  static constexpr bool kPairs = false;
  static constexpr bool kStreams = false;
  // Outputs of a convolution's tile, voxels of a row or (conv3d/winograd.h) pairs of them: with one and with
  // two times eight channels, of 32 registers. GCC
  // loads a step's inputs before it uses them: with 12 and 6 it moves sums to memory and back.
  static constexpr int kTile1 = 10;
  static constexpr int kTile2 = 5;
  // Rows of cells of a tile: see conv3d/input-gradient-stride-2.h.
  static constexpr int kTileCells = 2;
  // Input channels whose filter gradients are summed at once: three taps, or rows of taps, of each, in 24 registers.
  static constexpr int kGradientChannels = 4;
  // Rows summed by themselves: see conv3d/tiles.h.
  static constexpr int kRowsOfSum = 4;

  struct F {
    float32x4_t low, high;
  };
  // The number of lanes that count, the first ones, at least 1: NEON has no masked loads.
  using Mask = int;

  static inline F zero() { return {vdupq_n_f32(0), vdupq_n_f32(0)}; }
  static inline F set(float v) {
    const float32x4_t all = vdupq_n_f32(v);
    return {all, all};
  }
  static inline F load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
  [[gnu::always_inline]] static inline F load(Mask n, const float* p) {
    if (n >= V) return load(p);
    if (n > 4) return {vld1q_f32(p), load_some(n - 4, p + 4)};
    return {load_some(n, p), vdupq_n_f32(0)};
  }
  static inline void store(float* p, F v) {
    vst1q_f32(p, v.low);
    vst1q_f32(p + 4, v.high);
  }
  [[gnu::always_inline]] static inline void store(Mask n, float* p, F v) {
    if (n >= V) return store(p, v);
    store_part(n, p, v);
  }
  static inline Mask first(int n) { return n; }
  static inline F add(F a, F b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
  static inline F sub(F a, F b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
  static inline F mul(F a, F b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
  static inline F div(F a, F b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
  static inline F sqrt(F a) { return {vsqrtq_f32(a.low), vsqrtq_f32(a.high)}; }
  // b where either is NaN; vmaxq would give NaN
  static inline F max(F a, F b) {
    return {vbslq_f32(vcgtq_f32(a.low, b.low), a.low, b.low), vbslq_f32(vcgtq_f32(a.high, b.high), a.high, b.high)};
  }
  // b where either is NaN; vminq would give NaN
  static inline F min(F a, F b) {
    return {vbslq_f32(vcltq_f32(a.low, b.low), a.low, b.low), vbslq_f32(vcltq_f32(a.high, b.high), a.high, b.high)};
  }
  // a * b + c
  static inline F fma(F a, F b, F c) { return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)}; }
  // lane i is the sum of v[i]'s lanes
  static inline F sums_of_lanes(const F (&v)[8]) { return {sums_of_four(v), sums_of_four(v + 4)}; }
  // v where gate > 0 or NaN, else 0
  static inline F where_positive(F gate, F v) {
    const float32x4_t zeros = vdupq_n_f32(0);
    return {only(vmvnq_u32(vcleq_f32(gate.low, zeros)), v.low), only(vmvnq_u32(vcleq_f32(gate.high, zeros)), v.high)};
  }
  // v where label == wanted, else 0
  static inline F where_equal(const int* labels, int wanted, F v) {
    const int32x4_t all = vdupq_n_s32(wanted);
    return {only(vceqq_s32(vld1q_s32(labels), all), v.low), only(vceqq_s32(vld1q_s32(labels + 4), all), v.high)};
  }
  // to[0..8) += v
  static inline void add_to(double* to, F v) {
    vst1q_f64(to, vaddq_f64(vld1q_f64(to), vcvt_f64_f32(vget_low_f32(v.low))));
    vst1q_f64(to + 2, vaddq_f64(vld1q_f64(to + 2), vcvt_high_f64_f32(v.low)));
    vst1q_f64(to + 4, vaddq_f64(vld1q_f64(to + 4), vcvt_f64_f32(vget_low_f32(v.high))));
    vst1q_f64(to + 6, vaddq_f64(vld1q_f64(to + 6), vcvt_high_f64_f32(v.high)));
  }
  static inline F round(F v) { return {vrndnq_f32(v.low), vrndnq_f32(v.high)}; }
  // 2^n for integral n in [-126, 127]
  static inline F exp2i(F n) { return {exp2i(n.low), exp2i(n.high)}; }
  // v = m * 2^e with m in [0.5, 1), v positive and normal
  static inline F split(F v, F& e) { return {split(v.low, e.low), split(v.high, e.high)}; }
  // a where gate < limit, else b
  static inline F where_less(F gate, F limit, F a, F b) {
    return {vbslq_f32(vcltq_f32(gate.low, limit.low), a.low, b.low),
            vbslq_f32(vcltq_f32(gate.high, limit.high), a.high, b.high)};
  }

 private:
  static inline float32x4_t sums_of_four(const F* v) {
    const float32x4_t low = vpaddq_f32(vaddq_f32(v[0].low, v[0].high), vaddq_f32(v[1].low, v[1].high));
    const float32x4_t high = vpaddq_f32(vaddq_f32(v[2].low, v[2].high), vaddq_f32(v[3].low, v[3].high));
    return vpaddq_f32(low, high);
  }
  // The first n of four, n in [1, 4], zeros behind; nothing else is read.
  static inline float32x4_t load_some(int n, const float* p) {
    if (n == 4) return vld1q_f32(p);
    if (n == 1) return vld1q_lane_f32(p, vdupq_n_f32(0), 0);
    const float32x4_t two = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    return n == 2 ? two : vld1q_lane_f32(p + 2, two, 2);
  }
  // Apart, since it is rare: a tile has a dozen of these.
  [[gnu::noinline]] static void store_part(int n, float* p, F v) {
    if (n > 4) {
      vst1q_f32(p, v.low);
      return store_some(n - 4, p + 4, v.high);
    }
    store_some(n, p, v.low);
  }
  static inline void store_some(int n, float* p, float32x4_t v) {
    if (n == 4) return vst1q_f32(p, v);
    if (n == 1) return vst1q_lane_f32(p, v, 0);
    vst1_f32(p, vget_low_f32(v));
    if (n == 3) vst1q_lane_f32(p + 2, v, 2);
  }
  static inline float32x4_t only(uint32x4_t where, float32x4_t v) {
    return vreinterpretq_f32_u32(vandq_u32(where, vreinterpretq_u32_f32(v)));
  }
  static inline float32x4_t exp2i(float32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
  }
  static inline float32x4_t split(float32x4_t v, float32x4_t& e) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v);
    e = vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(bits, 23)), vdupq_n_s32(126)));
    return vreinterpretq_f32_u32(vorrq_u32(vandq_u32(bits, vdupq_n_u32(0x007fffff)), vdupq_n_u32(0x3f000000)));
  }
};

}  // namespace ctflow
