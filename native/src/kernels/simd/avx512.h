// Sixteen float32 lanes. Only files compiled for AVX-512 include this.
#pragma once

#include <immintrin.h>

namespace ctflow {

// Half a register, where sixteen lanes would be too many.
struct Avx512Half {
  using Float32 = Avx512Half;
  using EightLanes = Avx512Half;
  static constexpr int V = 8;
  static constexpr bool kStreams = true;
  static constexpr int kTile1 = 12;
  static constexpr int kTile2 = 6;
  static constexpr int kRowsOfSum = 4;
  using F = __m256;
  using Mask = __mmask8;

  static inline F zero() { return _mm256_setzero_ps(); }
  static inline F set(float v) { return _mm256_set1_ps(v); }
  static inline F load(const float* p) { return _mm256_loadu_ps(p); }
  static inline F load(Mask m, const float* p) { return _mm256_maskz_loadu_ps(m, p); }
  static inline void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static inline void store(Mask m, float* p, F v) { _mm256_mask_storeu_ps(p, m, v); }
  // Past the caches, to an aligned p; others see it after finish_stream.
  static inline void stream(float* p, F v) { _mm256_stream_ps(p, v); }
  static inline void finish_stream() { _mm_sfence(); }
  static inline Mask first(int n) { return static_cast<Mask>(n >= 8 ? 0xff : (1u << n) - 1); }
  static inline F add(F a, F b) { return _mm256_add_ps(a, b); }
  static inline F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  // b where either is NaN
  static inline F max(F a, F b) { return _mm256_max_ps(a, b); }
  // a * b + c
  static inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  // lane i is the sum of v[i]'s lanes
  static inline F sums_of_lanes(const F (&v)[8]) {
    const F low = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    const F high = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  }
};

struct Avx512 {
  using Float32 = Avx512;  // whose products are of float32
  using EightLanes = Avx512Half;
  static constexpr int V = 16;
  static constexpr bool kStreams = true;
  // Two voxels of eight channels share a register: see Pairs in conv3d/tiles.h and conv3d/winograd-planes.h.
  static constexpr bool kPairs = true;
  // Outputs of a convolution's tile, voxels of a row or (conv3d/winograd.h) pairs of them: with one and with
  // two registers of channels, of 32 registers.
  static constexpr int kTile1 = 28;
  static constexpr int kTile2 = 14;
  // Rows of cells of a tile: see conv3d/input-gradient-stride-2.h.
  static constexpr int kTileCells = 4;
  static constexpr int kTileFused = 14;
  static constexpr int kTilePairs = 14;
  static constexpr int kTilePairsOfRows = 6;
  // Input channels whose filter gradients are summed at once: three taps, or rows of taps, of each, in 24 registers.
  static constexpr int kGradientChannels = 8;
  // Rows summed by themselves: see conv3d/tiles.h.
  static constexpr int kRowsOfSum = 4;
  using F = __m512;
  using Mask = __mmask16;

  static inline F zero() { return _mm512_setzero_ps(); }
  static inline F set(float v) { return _mm512_set1_ps(v); }
  static inline F load(const float* p) { return _mm512_loadu_ps(p); }
  static inline F load(Mask m, const float* p) { return _mm512_maskz_loadu_ps(m, p); }
  static inline void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static inline void store(Mask m, float* p, F v) { _mm512_mask_storeu_ps(p, m, v); }
  // Past the caches, to an aligned p; others see it after finish_stream.
  static inline void stream(float* p, F v) { _mm512_stream_ps(p, v); }
  static inline void finish_stream() { _mm_sfence(); }
  static inline Mask first(int n) { return static_cast<Mask>(n >= 16 ? 0xffff : (1u << n) - 1); }
  static inline F add(F a, F b) { return _mm512_add_ps(a, b); }
  static inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static inline F div(F a, F b) { return _mm512_div_ps(a, b); }
  static inline F sqrt(F a) { return _mm512_sqrt_ps(a); }
  // b where either is NaN
  static inline F max(F a, F b) { return _mm512_max_ps(a, b); }
  // b where either is NaN
  static inline F min(F a, F b) { return _mm512_min_ps(a, b); }
  // a * b + c
  static inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // v where gate > 0 or NaN, else 0
  static inline F where_positive(F gate, F v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(gate, _mm512_setzero_ps(), _CMP_NLE_UQ), v);
  }
  // v where label == wanted, else 0
  static inline F where_equal(const int* labels, int wanted, F v) {
    const __m512i l = _mm512_loadu_si512(labels);
    return _mm512_maskz_mov_ps(_mm512_cmpeq_epi32_mask(l, _mm512_set1_epi32(wanted)), v);
  }
  // to[0..16) += v
  static inline void add_to(double* to, F v) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), low));
    _mm512_storeu_pd(to + 8, _mm512_add_pd(_mm512_loadu_pd(to + 8), high));
  }
  // {p[0], p[1]} in all pairs of lanes
  static inline F set_pair(const float* p) {
    double both;
    __builtin_memcpy(&both, p, sizeof both);
    return _mm512_castpd_ps(_mm512_set1_pd(both));
  }
  // to[2 i] = a[i], to[2 i + 1] = b[i], i in [0, 8)
  static inline void interleave(const float* a, const float* b, float* to) {
    interleave(_mm256_loadu_ps(a), _mm256_loadu_ps(b), to);
  }
  static inline void interleave(__m256 a, __m256 b, float* to) {
    const __m512i order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    _mm512_storeu_ps(to, _mm512_permutex2var_ps(_mm512_castps256_ps512(a), order, _mm512_castps256_ps512(b)));
  }
  // lane 2 i + k is lane i of half k
  static inline F interleave_halves(F v) {
    const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    return _mm512_permutexvar_ps(order, v);
  }
  // {a + b, a - b} of each pair of lanes {a, b}
  static inline F sums_and_differences(F v) {
    return _mm512_fmsubadd_ps(_mm512_permute_ps(v, 0xb1), _mm512_set1_ps(1), v);
  }
  // even lanes, then odd lanes
  static inline F deinterleave(F v) {
    const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    return _mm512_permutexvar_ps(order, v);
  }
  // even lanes of a, then those of b
  static inline F even_lanes(F a, F b) {
    const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, order, b);
  }
  // odd lanes of a, then those of b
  static inline F odd_lanes(F a, F b) {
    const __m512i order = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, order, b);
  }
  // the high half in the low lanes
  static inline F high_half(F v) { return _mm512_shuffle_f32x4(v, v, 0x4e); }
  static inline F round(F v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // 2^n for integral n in [-126, 127]
  static inline F exp2i(F n) {
    const __m512i bits = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
    return _mm512_castsi512_ps(bits);
  }
  // v = m * 2^e with m in [0.5, 1), v positive and normal
  static inline F split(F v, F& e) {
    const __m512i bits = _mm512_castps_si512(v);
    e = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(bits, 23), _mm512_set1_epi32(126)));
    return _mm512_castsi512_ps(_mm512_or_epi32(_mm512_and_epi32(bits, _mm512_set1_epi32(0x007fffff)), _mm512_set1_epi32(0x3f000000)));
  }
  // a where gate < limit, else b
  static inline F where_less(F gate, F limit, F a, F b) {
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(gate, limit, _CMP_LT_OQ), a);
  }
};

}  // namespace ctflow
