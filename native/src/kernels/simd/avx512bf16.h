// AVX-512 whose multiply-adds are dot products of pairs: a lane of an operand is two bfloat16 in 32 bits, a lane of the
// sum is a float32. Only files compiled for avx512_bf16 include this.
//
// vdpbf16ps adds both products of a lane with roundings of its own and takes denormal numbers for zeros.
#pragma once

#include "kernels/simd/avx512.h"

namespace ctflow {

struct Avx512Bf16 : Avx512 {
  // c + a.low * b.low + a.high * b.high
  static inline F fma(F a, F b, F c) {
    return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  // {low half of v, p[0..8)}
  static inline F join_low(F v, const float* p) { return _mm512_insertf32x8(v, _mm256_loadu_ps(p), 1); }
  // low[0..8) += low half of v, high[0..8) += high half
  static inline void add_halves(float* low, float* high, F v) {
    _mm256_storeu_ps(low, _mm256_add_ps(_mm256_loadu_ps(low), _mm512_castps512_ps256(v)));
    _mm256_storeu_ps(high, _mm256_add_ps(_mm256_loadu_ps(high), _mm512_extractf32x8_ps(v, 1)));
  }
  // Sixteen pairs {low[i], high[i]}, rounded to the nearest, ties to even.
  static inline F pair_up(F low, F high) {
    const __m512i bits = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                           20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, bits));
  }
  // Four voxels of eight channels as two sets of pairs, {v0, v1} and {v2, v3}.
  static inline F pair_up_8(const float* from) {
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order_8(), four_voxels_8(from)));
  }
  // Four voxels of eight channels, each paired with the one `Apart` voxels on: four sets of pairs. Reads eight voxels.
  template <int Apart>
  static inline void pair_up_neighbours_8(const float* from, float* to) {
    const __m512i here = four_voxels_8(from);
    const __m512i shifted = _mm512_alignr_epi64(four_voxels_8(from + 32), here, 2 * Apart);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(here, order_2(0), shifted));
    _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi16(here, order_2(16), shifted));
  }
  // {high half of a, high half of b}
  static inline F join_high(F a, F b) { return _mm512_shuffle_f32x4(a, b, 0xee); }
  static inline __m512i four_voxels_8(const float* from) {
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from)));
  }

 private:
  // Pairs of numbers eight apart, within each half.
  static inline __m512i order_8() {
    return _mm512_set_epi16(31, 23, 30, 22, 29, 21, 28, 20, 27, 19, 26, 18, 25, 17, 24, 16, 15, 7, 14, 6, 13, 5, 12, 4, 11, 3,
                            10, 2, 9, 1, 8, 0);
  }
  // Sixteen numbers from `first` on, each with its partner of the second operand.
  static inline __m512i order_2(short first) {
    const __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36,
                                           4, 35, 3, 34, 2, 33, 1, 32, 0);
    return _mm512_add_epi16(order, _mm512_set1_epi16(first));
  }
};

}  // namespace ctflow
