#include "imaging/mask.h"

#include <algorithm>
#include <cstring>

#include "imaging/separable.h"
#include "scratch.h"

namespace ctflow {

void mask_plane(const PlaneMasking& c) {
  if (c.maps.size() == 1) {
    for (int64_t i = 0; i < c.count; i++) c.to[i] = c.maps[0][i] > 0 ? 1 : 0;
    return;
  }
  for (int64_t i = 0; i < c.count; i++) {
    float best = c.maps[0][i];
    uint8_t index = 0;
    for (size_t n = 1; n < c.maps.size(); n++)
      if (c.maps[n][i] > best) best = c.maps[n][i], index = static_cast<uint8_t>(n);
    c.to[i] = index;
  }
}

namespace {

// Where a row has values above 0: a bit for each block of so many voxels, 64 of which are a row.
int block_of(int width) { return 8 * ((width - 1) / 512 + 1); }

uint64_t blocks_above(const float* row, int width, int block) {
  uint64_t bits = 0, bit = 1;
  for (int x = 0; x < width; x += block, bit <<= 1) {
    const int end = std::min(x + block, width);
    int i = x, above = 0;
    for (; i + 8 <= end; i += 8)
      for (int k = 0; k < 8; k++) above |= row[i + k] > 0 ? 1 : 0;
    for (; i < end; i++) above |= row[i] > 0 ? 1 : 0;
    if (above != 0) bits |= bit;
  }
  return bits;
}

// The runs of one plane: first voxels, ends, values, each after the other.
class Runs {
 public:
  explicit Runs(int64_t most) : most_(most), from_(most), to_(most) {}

  void clear() { count_ = 0; }
  // Those of the voxels from `first` on; values are 0 and 1.
  void add(const uint8_t* plane, int64_t first, int64_t end) {
    while (first < end) {
      const void* const found = std::memchr(plane + first, 1, static_cast<size_t>(end - first));
      if (found == nullptr) return;
      const int64_t from = static_cast<const uint8_t*>(found) - plane;
      const void* const after = std::memchr(plane + from, 0, static_cast<size_t>(end - from));
      first = after == nullptr ? end : static_cast<const uint8_t*>(after) - plane;
      if (count_ < most_) from_[count_] = static_cast<uint32_t>(from), to_[count_] = static_cast<uint32_t>(first);
      count_++;
    }
  }
  // The plane's voxels become its runs, unless they are fewer bytes.
  int encode(uint8_t* plane) const {
    if (count_ > most_) return -1;
    const size_t n = static_cast<size_t>(count_);
    if (n == 0) return 0;
    std::memcpy(plane, from_.get(), 4 * n);
    std::memcpy(plane + 4 * n, to_.get(), 4 * n);
    std::memset(plane + 8 * n, 1, n);
    return static_cast<int>(n);
  }

 private:
  int64_t most_, count_ = 0;
  const Scratch<uint32_t> from_, to_;
};

struct Columns {
  const Neighbours* begin;
  const Neighbours* end;
  bool ascending;
};

// Marks the outputs of a row that lie next to the input voxels first to last; the row lies between the blended ones a and b.
void mark_row(const Columns& xs, const double* a, const double* b, const Neighbours& y, int first, int last, double* row, uint8_t* to) {
  const auto comes_before = [&](const Neighbours& x) { return xs.ascending ? x.upper < first : x.lower > last; };
  const auto touches = [&](const Neighbours& x) { return xs.ascending ? x.lower <= last : x.upper >= first; };
  const Neighbours* const begin = std::partition_point(xs.begin, xs.end, comes_before);
  const Neighbours* const end = std::partition_point(begin, xs.end, touches);
  if (begin == end) return;
  const int from = std::min(begin->lower, end[-1].lower), until = std::max(begin->upper, end[-1].upper);
  for (int x = from; x <= until; x++) row[x] = a[x] * y.rest + b[x] * y.weight;
  uint8_t* mark = to + (begin - xs.begin);
  for (const Neighbours* x = begin; x != end; x++)
    *mark++ = static_cast<float>(row[x->lower] * x->rest + row[x->upper] * x->weight) > 0 ? 1 : 0;
}

}  // namespace

std::vector<int> sample_mask(const MaskSampling& c) {
  const int width = c.source[0], height = c.source[1], nx = c.target[0], block = block_of(width);
  const int64_t plane = static_cast<int64_t>(nx) * c.target[1];
  const Scratch<Neighbours> xs(nx);
  for (int x = 0; x < nx; x++) xs[x] = along_axis(c.map, c.source, 0, x, false);
  const Columns columns{xs.get(), xs.get() + nx, c.map[0] >= 0};
  const Scratch<uint64_t> above(scratch_elements({static_cast<int64_t>(c.margin.size()), height}));
  uint64_t* blocks = above.get();
  for (const float* const margin : c.margin)
    for (int y = 0; y < height; y++) *blocks++ = blocks_above(margin + static_cast<int64_t>(y) * width, width, block);
  const Scratch<double> row(width);
  Runs runs(plane / kRunBytes);
  std::vector<int> counts;
  for (int k = 0; k < c.planes; k++) {
    const Neighbours z = along_axis(c.map, c.source, 2, c.z + k, false);
    if (z.lower < c.low || z.upper - c.low >= static_cast<int>(c.margin.size())) return {};
    const int low = z.lower - c.low, high = z.upper - c.low;
    BlendedRows rows(c.margin[static_cast<size_t>(low)], c.margin[static_cast<size_t>(high)], z, width);
    const uint64_t* const near = above.get() + static_cast<int64_t>(low) * height;
    const uint64_t* const far = above.get() + static_cast<int64_t>(high) * height;
    uint8_t* const to = c.to + k * plane;
    std::memset(to, 0, static_cast<size_t>(plane));
    runs.clear();
    for (int y = 0; y < c.target[1]; y++) {
      const Neighbours n = along_axis(c.map, c.source, 1, y, false);
      // Weights are not negative: where nothing around is above 0, nothing between is.
      uint64_t bits = near[n.lower] | near[n.upper] | far[n.lower] | far[n.upper];
      if (bits == 0) continue;
      const double* const a = rows.row(n.lower);
      const double* const b = rows.row(n.upper);
      for (int64_t x = 0; bits != 0;) {
        const int skipped = __builtin_ctzll(bits);
        bits >>= skipped;
        const int length = ~bits == 0 ? 64 : __builtin_ctzll(~bits);
        bits = length == 64 ? 0 : bits >> length;
        const int64_t first = x + static_cast<int64_t>(skipped) * block;
        x = first + static_cast<int64_t>(length) * block;
        mark_row(columns, a, b, n, static_cast<int>(first), static_cast<int>(std::min<int64_t>(x, width) - 1), row.get(), to + static_cast<int64_t>(y) * nx);
      }
      runs.add(to, static_cast<int64_t>(y) * nx, static_cast<int64_t>(y + 1) * nx);
    }
    counts.push_back(runs.encode(to));
  }
  return counts;
}

}  // namespace ctflow
