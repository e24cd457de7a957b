// The up-sampling and its gradient in plain loops, one task per row of the result.
#include "kernels/table.h"
#include "kernels/upsample/weights.h"
#include "thread-pool.h"

namespace ctflow {

void upsample_forward__scalar(const UpsampleForward& a) {
  const UpsampleShape& s = a.shape;
  const int d = s.size[0], h = s.size[1], w = s.size[2], channels = s.channels;
  parallel(static_cast<int64_t>(s.batch) * 2 * d * 2 * h, [&](int64_t row, int) {
    AxisWeight zs[2], ys[2], xs[2];
    sources_of(static_cast<int>(row / (2 * h) % (2 * d)), d, zs);
    sources_of(static_cast<int>(row % (2 * h)), h, ys);
    const float* x = a.x + row / (2 * h) / (2 * d) * d * h * w * channels;
    for (int o = 0; o < 2 * w; o++) {
      sources_of(o, w, xs);
      for (int c = 0; c < channels; c++) {
        const int64_t to = (row * 2 * w + o) * channels + c;
        float sum = 0;
        for (const AxisWeight& z : zs)
          for (const AxisWeight& y : ys)
            for (const AxisWeight& v : xs)
              sum += z.weight * y.weight * v.weight *
                     x[((static_cast<int64_t>(z.index) * h + y.index) * w + v.index) * channels + c];
        a.y[to] = sum + (a.skip == nullptr ? 0 : a.skip[to]);
      }
    }
  });
}

void upsample_gradient__scalar(const UpsampleGradient& a) {
  const UpsampleShape& s = a.shape;
  const int d = s.size[0], h = s.size[1], w = s.size[2], channels = s.channels;
  parallel(static_cast<int64_t>(s.batch) * d * h, [&](int64_t row, int) {
    AxisWeight zs[4], ys[4], xs[4];
    const int nz = outputs_of(static_cast<int>(row / h % d), d, zs);
    const int ny = outputs_of(static_cast<int>(row % h), h, ys);
    const float* dy = a.dy + row / h / d * 8 * d * h * w * channels;
    for (int i = 0; i < w; i++) {
      const int nx = outputs_of(i, w, xs);
      for (int c = 0; c < channels; c++) {
        float sum = 0;
        for (int z = 0; z < nz; z++)
          for (int y = 0; y < ny; y++)
            for (int x = 0; x < nx; x++)
              sum += zs[z].weight * ys[y].weight * xs[x].weight *
                     dy[((static_cast<int64_t>(zs[z].index) * 2 * h + ys[y].index) * 2 * w + xs[x].index) * channels + c];
        a.dx[(row * w + i) * channels + c] = sum;
      }
    }
  });
}

}  // namespace ctflow
