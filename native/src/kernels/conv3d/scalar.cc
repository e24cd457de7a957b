// The convolution and its gradients in plain loops: any kernel, stride and padding. What the vector versions must equal.
#include "kernels/table.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow {
namespace {

inline int64_t voxels(const int size[3]) { return static_cast<int64_t>(size[0]) * size[1] * size[2]; }

// The input as the convolution sees it.
inline float seen(const float* norm, int ci, int64_t sample, int channel, float value) {
  if (norm == nullptr) return value;
  const float* mean = norm + sample * 3 * ci + channel;
  const float y = (value - mean[0]) * mean[ci] + mean[2 * ci];
  return y < 0 ? 0 : y;
}

// Calls visit(input voxel, tap) for each input voxel that output voxel (z, y, x) of a sample sees.
template <class Visit>
inline void for_each_tap(const Conv3dShape& s, int z, int y, int x, Visit&& visit) {
  for (int kd = 0; kd < s.kernel[0]; kd++) {
    const int iz = z * s.stride[0] - s.pad[0] + kd;
    if (iz < 0 || iz >= s.in[0]) continue;
    for (int kh = 0; kh < s.kernel[1]; kh++) {
      const int iy = y * s.stride[1] - s.pad[1] + kh;
      if (iy < 0 || iy >= s.in[1]) continue;
      for (int kw = 0; kw < s.kernel[2]; kw++) {
        const int ix = x * s.stride[2] - s.pad[2] + kw;
        if (ix < 0 || ix >= s.in[2]) continue;
        visit((static_cast<int64_t>(iz) * s.in[1] + iy) * s.in[2] + ix, (kd * s.kernel[1] + kh) * s.kernel[2] + kw);
      }
    }
  }
}

}  // namespace

void conv3d_forward__scalar(const Conv3dForward& a) {
  const Conv3dShape& s = a.shape;
  parallel(static_cast<int64_t>(s.batch) * s.out[0] * s.out[1], [&](int64_t row, int) {
    const int y = static_cast<int>(row % s.out[1]);
    const int z = static_cast<int>(row / s.out[1] % s.out[0]);
    const int64_t sample = row / s.out[1] / s.out[0];
    const float* x_sample = a.x + sample * voxels(s.in) * s.ci;
    for (int x = 0; x < s.out[2]; x++) {
      float* to = a.y + (row * s.out[2] + x) * s.co;
      for (int o = 0; o < s.co; o++) to[o] = 0;
      for_each_tap(s, z, y, x, [&](int64_t voxel, int tap) {
        for (int i = 0; i < s.ci; i++) {
          const float value = seen(a.norm, s.ci, sample, i, x_sample[voxel * s.ci + i]);
          const float* w = a.filter + (static_cast<int64_t>(tap) * s.ci + i) * s.co;
          for (int o = 0; o < s.co; o++) to[o] += value * w[o];
        }
      });
      for (int o = 0; a.residual != nullptr && o < s.co; o++) to[o] += a.residual[(row * s.out[2] + x) * s.co + o];
    }
  });
}

void conv3d_input_gradient__scalar(const Conv3dInputGradient& a) {
  const Conv3dShape& s = a.shape;
  // One task per sample: neighbouring outputs add to the same inputs.
  parallel(s.batch, [&](int64_t sample, int) {
    float* dx_sample = a.dx + sample * voxels(s.in) * s.ci;
    const float* dy = a.dy + sample * voxels(s.out) * s.co;
    for (int64_t i = 0; i < voxels(s.in) * s.ci; i++) dx_sample[i] = 0;
    for (int z = 0; z < s.out[0]; z++)
      for (int y = 0; y < s.out[1]; y++)
        for (int x = 0; x < s.out[2]; x++, dy += s.co)
          for_each_tap(s, z, y, x, [&](int64_t voxel, int tap) {
            for (int i = 0; i < s.ci; i++) {
              const float* w = a.filter + (static_cast<int64_t>(tap) * s.ci + i) * s.co;
              float sum = 0;
              for (int o = 0; o < s.co; o++) sum += dy[o] * w[o];
              dx_sample[voxel * s.ci + i] += sum;
            }
          });
  });
}

void conv3d_filter_gradient__scalar(const Conv3dFilterGradient& a) {
  const Conv3dShape& s = a.shape;
  const int64_t size = static_cast<int64_t>(s.kernel[0]) * s.kernel[1] * s.kernel[2] * s.ci * s.co;
  // Sums over all voxels: float32 would lose digits, so the running sums are float64.
  Scratch<double> sums(size);
  for (int64_t i = 0; i < size; i++) sums[i] = 0;
  parallel(s.ci, [&](int64_t i, int) {
    const float* dy = a.dy;
    for (int sample = 0; sample < s.batch; sample++) {
      const float* x_sample = a.x + sample * voxels(s.in) * s.ci;
      for (int z = 0; z < s.out[0]; z++)
        for (int y = 0; y < s.out[1]; y++)
          for (int x = 0; x < s.out[2]; x++, dy += s.co)
            for_each_tap(s, z, y, x, [&](int64_t voxel, int tap) {
              const double value = seen(a.norm, s.ci, sample, static_cast<int>(i), x_sample[voxel * s.ci + i]);
              double* to = sums.get() + (static_cast<int64_t>(tap) * s.ci + i) * s.co;
              for (int o = 0; o < s.co; o++) to[o] += value * dy[o];
            });
    }
  });
  for (int64_t i = 0; i < size; i++) a.dfilter[i] = static_cast<float>(sums[i]);
}

}  // namespace ctflow
