// Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions" (2012), axis by axis: planes to the nearest
// surface voxel of each column along z, then lower envelopes of parabolas along x, then along y. Only voxels on the other
// surface are asked for. So a plane first finds a distance that none of its own exceeds, and what is farther than that
// takes no part: between masks that resemble each other little is left.
#include "imaging/surface.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "scratch.h"

namespace ctflow {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Calls body(x, y) for every voxel of plane z on the mask's surface, x fastest.
template <class Body>
void each_edge(const BitMask& mask, int z, Body&& body) {
  const int64_t width = bit_mask_row_words(mask.nx), plane = width * mask.ny;
  const uint32_t last = mask.nx % 32 == 0 ? ~0u : (1u << (mask.nx % 32)) - 1;
  const uint32_t* row = mask.words + z * plane;
  for (int y = 0; y < mask.ny; y++, row += width) {
    const bool inside = y > 0 && y + 1 < mask.ny && z > 0 && z + 1 < mask.nz;
    for (int64_t i = 0; i < width; i++) {
      const uint32_t own = row[i] & (i + 1 == width ? last : ~0u);
      if (own == 0) continue;
      uint32_t edges = own;
      if (inside) {
        const uint32_t left = own << 1 | (i > 0 ? row[i - 1] >> 31 : 0);
        const uint32_t right = own >> 1 | (i + 1 < width ? row[i + 1] << 31 : 0);
        edges &= ~(left & right & row[i - width] & row[i + width] & row[i - plane] & row[i + plane]);
      }
      for (; edges != 0; edges &= edges - 1) body(static_cast<int>(32 * i) + __builtin_ctz(edges), y);
    }
  }
}

// How many planes the nearest surface voxel of each column is away, plane after plane from the first one up.
class Columns {
 public:
  explicit Columns(const BitMask& mask)
      : mask_(mask),
        area_(static_cast<int64_t>(mask.nx) * mask.ny),
        slabs_((static_cast<int64_t>(mask.nz) + 63) / 64),
        marks_(scratch_elements({area_, slabs_})),
        before_(area_),
        after_(area_) {
    std::fill_n(marks_.get(), area_ * slabs_, uint64_t{0});
    for (int z = 0; z < mask.nz; z++)
      each_edge(mask, z, [&](int x, int y) {
        column_ = place(x, y);
        marks_[z / 64 * area_ + column_] |= uint64_t{1} << (z % 64);
      });
    for (int64_t i = 0; i < area_; i++) {
      before_[i] = -kNone;
      after_[i] = next(i, 0);
    }
  }

  // One with a surface voxel; below 0 where there is none.
  int64_t any() const { return column_; }
  // Planes come in order, each once.
  void enter(int z) {
    z_ = z;
    if (z == 0) return;
    each_edge(mask_, z - 1, [&](int x, int y) {
      const int64_t i = place(x, y);
      before_[i] = z - 1;
      after_[i] = next(i, z);
    });
  }
  // At least kNone / 2 where the column has no surface voxel.
  int gap(int64_t i) const { return std::min(z_ - before_[i], after_[i] - z_); }
  // Of `count` columns from `from` on; gives the least.
  int gaps(int64_t from, int count, int* to) const {
    const int* const before = before_.get() + from;
    const int* const after = after_.get() + from;
    int least = kNone;
    for (int i = 0; i < count; i++) {
      to[i] = std::min(z_ - before[i], after[i] - z_);
      least = std::min(least, to[i]);
    }
    return least;
  }

 private:
  static constexpr int kNone = 1 << 30;

  int64_t place(int x, int y) const { return static_cast<int64_t>(y) * mask_.nx + x; }

  // The first plane from z on with a surface voxel.
  int next(int64_t i, int z) const {
    uint64_t here = ~uint64_t{0} << (z % 64);
    for (int64_t slab = z / 64; slab < slabs_; slab++, here = ~uint64_t{0}) {
      const uint64_t found = marks_[slab * area_ + i] & here;
      if (found != 0) return static_cast<int>(64 * slab) + __builtin_ctzll(found);
    }
    return kNone;
  }

  const BitMask mask_;
  const int64_t area_, slabs_;
  int64_t column_ = -1;
  int z_ = 0;
  const Scratch<uint64_t> marks_;  // (slab of 64 planes, y, x)
  const Scratch<int> before_, after_;
};

// min over q of height(q) + (spacing (p - q))^2 for ascending p. A parabola stands on each q that was added, in ascending
// order; `roots` are those of the lower envelope, and each is the lowest from its start to the next one's.
class Envelope {
 public:
  Envelope(int longest, double spacing)
      : spacing_(spacing), half_over_square_(0.5 / (spacing * spacing)), roots_(longest), heights_(longest), starts_(longest + int64_t{1}) {}

  void clear() { last_ = -1, lowest_ = 0; }
  void add(int q, double height) {
    double start = -kInfinity;
    for (; last_ >= 0; last_--) {
      const int root = roots_[last_];
      start = (height - heights_[last_]) / (q - root) * half_over_square_ + (static_cast<double>(q) + root) / 2;
      if (start > starts_[last_]) break;
    }
    last_++;
    roots_[last_] = q;
    heights_[last_] = height;
    starts_[last_] = last_ == 0 ? -kInfinity : start;
  }
  bool empty() const { return last_ < 0; }
  void finish() { starts_[last_ + 1] = kInfinity; }
  double at(int p) {
    while (starts_[lowest_ + 1] < p) lowest_++;
    const double away = spacing_ * (p - roots_[lowest_]);
    return heights_[lowest_] + away * away;
  }

 private:
  const double spacing_, half_over_square_;
  int last_ = -1, lowest_ = 0;
  const Scratch<int> roots_;
  const Scratch<double> heights_, starts_;
};

double squared(double mm) { return mm * mm; }

class Search {
 public:
  explicit Search(const SurfaceSearch& call)
      : call_(call),
        nx_(call.from.nx),
        ny_(call.from.ny),
        area_(static_cast<int64_t>(nx_) * ny_),
        columns_(call.to),
        heights_(call.from.nz),
        wanted_(area_),
        by_column_(area_),
        ends_(nx_),
        xs_(nx_),
        ys_(ny_),
        gaps_(nx_),
        rows_(area_),
        along_x_(nx_, call.spacing[0]),
        along_y_(ny_, call.spacing[1]),
        foot_(columns_.any()) {
    for (int gap = 0; gap < call.from.nz; gap++) heights_[gap] = squared(gap * call.spacing[2]);
  }

  std::vector<float> run() {
    std::vector<float> found;
    if (foot_ < 0) return found;
    found.reserve(static_cast<size_t>(surface_voxels(call_.from)));
    for (int z = 0; z < call_.from.nz; z++) {
      columns_.enter(z);
      gather(z);
      if (count_ == 0) continue;
      // Rounding must not shut out what it was computed from.
      most_ = bound() * (1 + 1e-6);
      const int rows = envelope_rows();
      envelope_columns(rows, found);
    }
    std::sort(found.begin(), found.end());
    return found;
  }

 private:
  // The plane's voxels that are asked for, in rows and, each column's together, in columns.
  void gather(int z) {
    count_ = 0;
    std::fill_n(ends_.get(), nx_, 0);
    each_edge(call_.from, z, [&](int x, int y) {
      wanted_[count_++] = static_cast<int>(static_cast<int64_t>(y) * nx_ + x);
      ends_[x]++;
    });
    width_ = 0;
    int before = 0;
    for (int x = 0; x < nx_; x++) {
      if (ends_[x] == 0) continue;
      xs_[width_++] = x;
      before += ends_[x];
      ends_[x] = before - ends_[x];
    }
    for (int i = 0; i < count_; i++) by_column_[ends_[wanted_[i] % nx_]++] = wanted_[i] / nx_;
  }

  // mm^2 along z.
  double height(int64_t i) const {
    const int gap = columns_.gap(i);
    return gap < call_.from.nz ? heights_[gap] : kInfinity;
  }

  // mm^2 that no wanted voxel of the plane is farther away than. Looks at the voxel's own column, at the one that was best
  // for the last voxel, and at those around it along x and y, as long as that takes less than the envelopes would.
  double bound() {
    double most = 0;
    int64_t left = area_;
    for (int k = 0; k < count_; k++) {
      const int64_t at = wanted_[k];
      const int x = wanted_[k] % nx_, y = wanted_[k] / nx_;
      double best = kInfinity;
      const auto look = [&](int64_t column, double x_squared, double y_squared) {
        const double away = height(column) + x_squared + y_squared;
        if (away < best) best = away, foot_ = column;
      };
      const int64_t last = foot_;
      look(at, 0, 0);
      if (best <= most) continue;
      look(last, squared(call_.spacing[0] * (x - static_cast<int>(last % nx_))),
           squared(call_.spacing[1] * (y - static_cast<int>(last / nx_))));
      for (int step = 1; best > most && left > 0; step++, left--) {
        const double x_squared = squared(call_.spacing[0] * step), y_squared = squared(call_.spacing[1] * step);
        const bool goes_x = x_squared < best && step < nx_, goes_y = y_squared < best && step < ny_;
        if (!goes_x && !goes_y) break;
        if (goes_x && x >= step) look(at - step, x_squared, 0);
        if (goes_x && x + step < nx_) look(at + step, x_squared, 0);
        if (goes_y && y >= step) look(at - static_cast<int64_t>(step) * nx_, 0, y_squared);
        if (goes_y && y + step < ny_) look(at + static_cast<int64_t>(step) * nx_, 0, y_squared);
      }
      most = std::max(most, best);
    }
    return most;
  }

  // Voxels that may matter on either side of a wanted one.
  int reach(int axis, int extent) const {
    const double voxels = std::sqrt(most_) / call_.spacing[axis] + 1;
    return voxels < extent ? static_cast<int>(voxels) : extent;
  }

  // Fills rows (row of `ys`, column of `xs`) and gives their number.
  int envelope_rows() {
    const int reach_x = reach(0, nx_), reach_y = reach(1, ny_), reach_z = reach(2, call_.from.nz - 1);
    const int first = std::max(0, xs_[0] - reach_x), last = std::min(nx_ - 1, xs_[width_ - 1] + reach_x);
    const int low = std::max(0, wanted_[0] / nx_ - reach_y), high = std::min(ny_ - 1, wanted_[count_ - 1] / nx_ + reach_y);
    int rows = 0;
    for (int y = low; y <= high; y++) {
      if (columns_.gaps(static_cast<int64_t>(y) * nx_ + first, last - first + 1, gaps_.get()) > reach_z) continue;
      along_x_.clear();
      for (int x = first; x <= last; x++)
        if (gaps_[x - first] <= reach_z && heights_[gaps_[x - first]] < kInfinity) along_x_.add(x, heights_[gaps_[x - first]]);
      if (along_x_.empty()) continue;
      along_x_.finish();
      double* const row = rows_.get() + static_cast<int64_t>(rows) * width_;
      for (int i = 0; i < width_; i++) row[i] = along_x_.at(xs_[i]);
      ys_[rows++] = y;
    }
    return rows;
  }

  void envelope_columns(int rows, std::vector<float>& found) {
    for (int i = 0, k = 0; i < width_; i++) {
      along_y_.clear();
      const double* value = rows_.get() + i;
      for (int row = 0; row < rows; row++, value += width_)
        if (*value <= most_ && *value < kInfinity) along_y_.add(ys_[row], *value);
      along_y_.finish();
      for (; k < ends_[xs_[i]]; k++) found.push_back(static_cast<float>(along_y_.empty() ? kInfinity : std::sqrt(along_y_.at(by_column_[k]))));
    }
  }

  const SurfaceSearch& call_;
  const int nx_, ny_;
  const int64_t area_;
  Columns columns_;
  const Scratch<double> heights_;  // mm^2 of so many planes
  // Of the plane at hand. Wanted voxels as y * nx + x, and their y in the order of x; behind each x, how many are up to it;
  // the x that have some; the y that have a row.
  const Scratch<int> wanted_, by_column_, ends_, xs_, ys_, gaps_;
  const Scratch<double> rows_;
  int count_ = 0, width_ = 0;
  double most_ = 0;
  Envelope along_x_, along_y_;
  int64_t foot_;
};

}  // namespace

int64_t surface_voxels(const BitMask& mask) {
  int64_t count = 0;
  for (int z = 0; z < mask.nz; z++) each_edge(mask, z, [&](int, int) { count++; });
  return count;
}

std::vector<float> surface_distances(const SurfaceSearch& call) { return Search(call).run(); }

}  // namespace ctflow
