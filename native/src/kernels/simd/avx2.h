// Eight float32 lanes. Only files compiled for AVX2 and FMA include this.
#pragma once

#include <immintrin.h>

namespace ctflow {

struct Avx2 {
  using Float32 = Avx2;  // whose products are of float32
  using EightLanes = Avx2;
  static constexpr int V = 8;
  static constexpr bool kPairs = false;
  static constexpr bool kStreams = true;
  // Outputs of a convolution's tile, voxels of a row or (conv3d/winograd.h) pairs of them: with one and with
  // two registers of channels, of 16 registers.
  static constexpr int kTile1 = 12;
  static constexpr int kTile2 = 6;
  // Rows of cells of a tile: see conv3d/input-gradient-stride-2.h.
  static constexpr int kTileCells = 2;
  // Input channels whose filter gradients are summed at once: three taps, or rows of taps, of each, in 12 registers.
  static constexpr int kGradientChannels = 4;
  // Rows summed by themselves: see conv3d/tiles.h. Totals are in memory anyway, and shorter sums are nearer to float64's.
  static constexpr int kRowsOfSum = 2;
  using F = __m256;
  using Mask = __m256i;

  static inline F zero() { return _mm256_setzero_ps(); }
  static inline F set(float v) { return _mm256_set1_ps(v); }
  static inline F load(const float* p) { return _mm256_loadu_ps(p); }
  static inline F load(Mask m, const float* p) { return _mm256_maskload_ps(p, m); }
  static inline void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static inline void store(Mask m, float* p, F v) { _mm256_maskstore_ps(p, m, v); }
  // Past the caches, to an aligned p; others see it after finish_stream.
  static inline void stream(float* p, F v) { _mm256_stream_ps(p, v); }
  static inline void finish_stream() { _mm_sfence(); }
  static inline Mask first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static inline F add(F a, F b) { return _mm256_add_ps(a, b); }
  static inline F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static inline F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static inline F div(F a, F b) { return _mm256_div_ps(a, b); }
  static inline F sqrt(F a) { return _mm256_sqrt_ps(a); }
  // b where either is NaN
  static inline F max(F a, F b) { return _mm256_max_ps(a, b); }
  // b where either is NaN
  static inline F min(F a, F b) { return _mm256_min_ps(a, b); }
  // a * b + c
  static inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  // lane i is the sum of v[i]'s lanes
  static inline F sums_of_lanes(const F (&v)[8]) {
    const F low = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    const F high = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  }
  // v where gate > 0 or NaN, else 0
  static inline F where_positive(F gate, F v) {
    return _mm256_and_ps(_mm256_cmp_ps(gate, _mm256_setzero_ps(), _CMP_NLE_UQ), v);
  }
  // v where label == wanted, else 0
  static inline F where_equal(const int* labels, int wanted, F v) {
    const __m256i l = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(labels));
    return _mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(l, _mm256_set1_epi32(wanted))), v);
  }
  // to[0..8) += v
  static inline void add_to(double* to, F v) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), low));
    _mm256_storeu_pd(to + 4, _mm256_add_pd(_mm256_loadu_pd(to + 4), high));
  }
  static inline F round(F v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // 2^n for integral n in [-126, 127]
  static inline F exp2i(F n) {
    const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_castsi256_ps(bits);
  }
  // v = m * 2^e with m in [0.5, 1), v positive and normal
  static inline F split(F v, F& e) {
    const __m256i bits = _mm256_castps_si256(v);
    e = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(126)));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)), _mm256_set1_epi32(0x3f000000)));
  }
  // a where gate < limit, else b
  static inline F where_less(F gate, F limit, F a, F b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(gate, limit, _CMP_LT_OQ));
  }
};

}  // namespace ctflow
