// Packed rows whose slots are pairs of bfloat16: two neighbouring input channels, {x[2 s], x[2 s + 1]}, meet the filter's
// {w[2 s], w[2 s + 1]} in one dot product. Rows, tiles and their order are those of float32. Each number is rounded once
// per packed row, and a packed row serves all its taps and outputs, 9 to 27 x channels products per number.
#pragma once

#include <immintrin.h>

#include "kernels/conv3d/bfloat16.h"

namespace ctflow {
namespace {

struct Bfloat16Slots {
  static constexpr int kValues = 2;
  static int slots_of_block(int channels_in) { return channels_in <= 2 ? 1 : (channels_in <= 8 ? 4 : 8); }
  static float slot(float low, float high) { return bfloat16_pair(low, high); }

  // Slots of neighbouring values, `count` of them.
  static void pack(const float* from, int64_t count, float* to) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      const __m512 low = _mm512_loadu_ps(from + 2 * i), high = _mm512_loadu_ps(from + 2 * i + 16);
      _mm512_storeu_si512(to + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
    for (; i < count; i++) to[i] = slot(from[2 * i], from[2 * i + 1]);
  }

  // A block of channels of an input row and how it is wanted: `width` voxels from `first` on, zeros outside the row,
  // `slots` each; with `apart` > 0 each slot beside the one of the voxel that far on.
  struct Part {
    const float* from;  // the row's first voxel
    int step;           // from one voxel to the next
    int channels;       // at most 2 * slots
    int inputs;         // voxels of the row
    int first;
    int width;
    int slots;
    int apart;
  };

  static void pack_block(const Part& p, float* to) {
    // Voxels of the row itself; with pairs, those whose partner lies in it too.
    int begin = -p.first < 0 ? 0 : -p.first;
    int end = p.inputs - p.apart - p.first;
    begin = begin > p.width ? p.width : begin;
    end = end > p.width ? p.width : (end < begin ? begin : end);
    int j = 0;
    for (; j < begin; j++) pack_voxel(p, j, to);
    if (p.channels == 8 && p.step == 8 && p.slots == 4) {
      if (p.apart == 0)
        for (; j + 4 <= end; j += 4) _mm512_storeu_si512(to + j * 4, four_voxels(p.from + (p.first + j) * 8));
      else if (p.apart == 1)
        j = pack_pairs(p, j, end, to);
    }
    for (; j < p.width; j++) pack_voxel(p, j, to);
  }

 private:
  // Voxels [at, at + 4) of eight channels, 16 bytes each.
  static __m512i four_voxels(const float* from) {
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from)));
  }

  // Four voxels at a time with the next one of each; gives the first voxel not done.
  static int pack_pairs(const Part& p, int j, int end, float* to) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    if (j + 7 > end) return j;
    const float* from = p.from + (p.first + j) * 8;
    __m512i here = four_voxels(from);
    for (; j + 7 <= end; j += 4) {
      from += 32;
      const __m512i next = four_voxels(from);
      const __m512i shifted = _mm512_alignr_epi64(next, here, 2);
      _mm512_storeu_si512(to + j * 8, _mm512_permutex2var_epi32(here, low, shifted));
      _mm512_storeu_si512(to + j * 8 + 16, _mm512_permutex2var_epi32(here, high, shifted));
      here = next;
    }
    return j;
  }

  // The channels of one voxel, zeros outside the row and above the last channel: 8 slots.
  static __m256i voxel(const Part& p, int x) {
    if (x < 0 || x >= p.inputs) return _mm256_setzero_si256();
    const __mmask16 mask = static_cast<__mmask16>((1u << p.channels) - 1);
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, p.from + static_cast<int64_t>(x) * p.step)));
  }

  static void pack_voxel(const Part& p, int j, float* to) {
    const __m256i here = voxel(p, p.first + j);
    const __mmask8 kept = static_cast<__mmask8>((1u << p.slots) - 1);
    if (p.apart == 0) {
      _mm256_mask_storeu_epi32(to + static_cast<int64_t>(j) * p.slots, kept, here);
      return;
    }
    const __m512i order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i both = _mm512_permutex2var_epi32(_mm512_castsi256_si512(here), order,
                                                   _mm512_castsi256_si512(voxel(p, p.first + j + p.apart)));
    _mm512_mask_storeu_epi32(to + static_cast<int64_t>(j) * p.slots * 2, static_cast<__mmask16>((1u << 2 * p.slots) - 1), both);
  }
};

}  // namespace
}  // namespace ctflow
