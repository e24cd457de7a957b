#include "imaging.h"

#include <algorithm>

#include "check.h"
#include "imaging/decode.h"
#include "imaging/mask.h"
#include "imaging/resample.h"
#include "imaging/search.h"
#include "imaging/surface.h"
#include "imaging/values.h"
#include "imaging/windows.h"

namespace ctflow_test {
namespace {

using namespace ctflow;

// FNV-1a over bits; every NaN is the same, since processors differ in what they carry.
class Digest {
 public:
  void add(uint64_t bits, int bytes) {
    for (int i = 0; i < bytes; i++) state_ = (state_ ^ ((bits >> (8 * i)) & 255)) * 0x100000001b3u;
  }
  void add(const Floats& values) {
    for (int64_t i = 0; i < values.size(); i++) {
      uint32_t bits = 0x7fc00000;
      if (!std::isnan(values[i])) std::memcpy(&bits, &values[i], sizeof bits);
      add(bits, 4);
    }
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0xcbf29ce484222325u;
};

// A scan's values, now and then an ugly one.
std::unique_ptr<Floats> voxels(Random& random, int64_t count) {
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static constexpr float kUgly[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, -0.0f, 3.4e38f, 1e-45f};
  auto array = floats(random, count, 1500);
  const bool ugly = random.chance(3);
  for (int64_t i = 0; ugly && i < count; i++)
    if (random.chance(10)) (*array)[i] = kUgly[random.between(0, 5)];
  return array;
}

void decode_case(Random& random, Digest& digest) {
  static constexpr double kScalings[][2] = {{1, 0}, {1, -1024}, {0.1, 0.25}, {-1e-3, 7}, {1e30, -1e35}};
  const auto type = static_cast<Stored>(random.between(0, kStoredTypes - 1));
  const int64_t count = random.chance(4) ? random.between(2040, 5000) : random.between(0, 60);
  const Guarded<uint8_t> raw(count * stored_bytes(type));
  for (int64_t i = 0; i < raw.size(); i++) raw[i] = static_cast<uint8_t>(random.next() >> 56);
  const auto to = unwritten(count);
  const double* const scaling = kScalings[random.between(0, 4)];
  const NotFinite found = decode({type, random.chance(2), scaling[0], scaling[1], count, raw.get(), to->get()});
  digest.add(*to);
  digest.add(static_cast<uint64_t>(found.count), 8);
  digest.add(static_cast<uint64_t>(found.first), 8);
}

void sample_case(Random& random, Digest& digest) {
  PlaneSampling call{};
  for (int axis = 0; axis < 3; axis++) call.source[axis] = random.between(1, 20);
  for (int axis = 0; axis < 2; axis++) call.target[axis] = random.between(1, 20);
  call.z = random.between(0, 9);
  call.nearest = random.chance(2);
  call.separable = random.chance(2);
  for (int row = 0; row < 3; row++)
    for (int k = 0; k < 4; k++) {
      const double drawn = random.uniform();
      call.map[row * 4 + k] = k == 3 ? 4 * drawn : k == row ? 2 * drawn : call.separable ? 0 : 0.5 * drawn;
      if (k == row && random.chance(4)) call.map[row * 4 + k] = 0.5 * random.between(-3, 4);
    }
  const int plane = call.source[0] * call.source[1];
  std::vector<std::unique_ptr<Floats>> planes;
  std::vector<const float*> addresses;
  // Sometimes too few of them.
  call.low = random.chance(8) ? random.between(0, 3) : 0;
  call.count = random.chance(8) ? random.between(0, 3) : call.source[2];
  for (int z = 0; z < call.count; z++) {
    planes.push_back(voxels(random, plane));
    addresses.push_back(planes.back()->get());
  }
  call.planes = addresses.data();
  const auto to = unwritten(static_cast<int64_t>(call.target[0]) * call.target[1]);
  call.to = to->get();
  const bool complete = sample_plane(call);
  digest.add(complete, 1);
  if (complete) digest.add(*to);
}

void clip_case(Random& random, Digest& digest) {
  const int64_t count = random.between(0, 200);
  const auto from = voxels(random, count), to = unwritten(count);
  const double min = 1000 * random.uniform(), low = random.uniform();
  const Clipping call{min, min + 1500 + 1000 * random.uniform(), low, low + 1.5 + random.uniform(), count, from->get(), to->get()};
  clip(call);
  digest.add(*to);
  Clipping in_place = call;
  in_place.to = from->get();
  clip(in_place);
  digest.add(*from);
}

void map_case(Random& random, Digest& digest) {
  const Guarded<int16_t> dense(kDenseClasses), classes(2);
  const Guarded<double> values(2);
  std::fill_n(dense.get(), kDenseClasses, int16_t{-1});
  for (int value = 0; value < 4; value++) dense[value] = static_cast<int16_t>(random.between(0, 255));
  values[0] = -1, values[1] = 0.5;
  classes[0] = 3, classes[1] = 255;
  static constexpr float kValues[] = {0, 1, 2, 3, -1, 0.5f, -0.0f, 65536, 0.25f, std::numeric_limits<float>::quiet_NaN()};
  const int most = random.chance(3) ? 9 : 6;
  const Floats from(random.between(0, 300));
  float value = 0;
  for (int64_t i = 0; i < from.size(); i++) {
    if (random.chance(15)) value = kValues[random.between(0, most)];
    from[i] = value;
  }
  const auto to = unwritten(from.size());
  const int64_t first = map_labels({dense.get(), 2, values.get(), classes.get(), from.size(), from.get(), to->get()});
  digest.add(static_cast<uint64_t>(first), 8);
  digest.add(*to);
}

void search_case(Random& random, Digest& digest) {
  const int nx = random.between(1, 40), ny = random.between(1, 10), planes = random.between(1, 5);
  const int64_t count = static_cast<int64_t>(nx) * ny * planes;
  const auto image = voxels(random, count);
  const Floats label(count);
  for (int64_t i = 0; i < count; i++) label[i] = random.chance(6) ? static_cast<float>(random.between(0, 2)) : 0;
  static constexpr double kThresholds[] = {0, 1499.9, 0.1, 1e300, -1e300};
  const double threshold = kThresholds[random.between(0, 4)];
  BoxSearch box{nx, ny, planes, threshold, image->get(), {}, {}};
  const bool found = search_box(box);
  digest.add(found, 1);
  for (int axis = 0; found && axis < 3; axis++) {
    digest.add(static_cast<uint64_t>(box.low[axis]), 8);
    digest.add(static_cast<uint64_t>(box.high[axis]), 8);
  }
  const int before = random.between(0, 3), nz = before + planes + random.between(0, 3);
  const int64_t bits = 2 * nx * candidate_plane_bytes(ny, nz);
  const Guarded<uint8_t> marks(bits);
  const Guarded<double> counts(2 * nx);
  for (int64_t i = 0; i < bits; i++) marks[i] = 0;
  for (int i = 0; i < 2 * nx; i++) counts[i] = 0;
  const int64_t first =
      mark_candidates({nx, ny, planes, before, nz, random.chance(3) ? 2 : 3, threshold, label.get(), image->get(), marks.get(), counts.get()});
  digest.add(static_cast<uint64_t>(first), 8);
  for (int64_t i = 0; i < bits; i++) digest.add(marks[i], 1);
  for (int i = 0; i < 2 * nx; i++) digest.add(static_cast<uint64_t>(counts[i]), 8);
}

void window_case(Random& random, Digest& digest) {
  WindowPlace place{random.between(1, 20), random.between(1, 10), random.between(1, 6), 0, 0, 0, 0, 0, 0, random.between(0, 7)};
  place.wx = random.between(1, place.nx), place.wy = random.between(1, place.ny), place.wz = random.between(1, place.depth);
  place.x = random.between(0, place.nx - place.wx), place.y = random.between(0, place.ny - place.wy), place.z = random.between(0, 9);
  const int64_t kept = static_cast<int64_t>(place.nx) * place.ny * place.depth, size = static_cast<int64_t>(place.wx) * place.wy * place.wz;
  const auto planes = floats(random, kept);
  if (random.chance(3)) std::fill_n(planes->get(), kept, -0.0f);
  const auto to = unwritten(size);
  digest.add(take_window(place, planes->get(), to->get()), 1);
  digest.add(*to);

  const int classes = random.between(1, 4), channels = sum_channels(classes);
  // Now and then further apart than an exponential reaches.
  const auto logits = floats(random, size * classes, random.chance(4) ? 2000 : 8), importance = floats(random, size, 1);
  for (int64_t i = 0; i < size; i++) (*importance)[i] = std::abs((*importance)[i]) + 0.001f;
  const Floats sums(kept * channels), weights(kept);
  std::fill_n(sums.get(), sums.size(), 0.0f);
  std::fill_n(weights.get(), weights.size(), 0.5f);
  add_window({place, classes, logits->get(), importance->get(), sums.get(), weights.get()});
  digest.add(sums);
  digest.add(weights);
  const Means means = classes == 2 && random.chance(2) ? Means::kMargin : random.chance(3) ? Means::kLogits : Means::kProbabilities;
  const int count = random.between(1, place.depth);
  const auto maps = unwritten(static_cast<int64_t>(place.nx) * place.ny * count * means_maps(means, classes));
  if (random.chance(10)) sums[random.between(0, static_cast<int>(kept) - 1)] = std::numeric_limits<float>::quiet_NaN();
  const bool finite = finish_planes({place.nx, place.ny, place.depth, place.z, count, classes, means, sums.get(), weights.get(), {}, maps->get()});
  digest.add(finite, 1);
  if (!finite) return;
  digest.add(*maps);
  digest.add(sums);
  const int64_t plane = static_cast<int64_t>(place.nx) * place.ny;
  PlaneMasking masking{{}, plane, nullptr};
  for (int64_t at = 0; at + plane <= maps->size(); at += plane) masking.maps.push_back(maps->get() + at);
  const Guarded<uint8_t> mask(plane);
  masking.to = mask.get();
  mask_plane(masking);
  for (int64_t i = 0; i < plane; i++) digest.add(mask[i], 1);
}

// Windows that are not weighted: the counts of an axis tell a voxel's weight.
void unweighted_case(Random& random, Digest& digest) {
  WindowPlace place{random.between(1, 40), random.between(1, 8), random.between(1, 5), 0, 0, 0, 0, 0, 0, random.between(0, 7)};
  place.wx = random.between(1, place.nx), place.wy = random.between(1, place.ny), place.wz = random.between(1, place.depth);
  place.x = random.between(0, place.nx - place.wx), place.y = random.between(0, place.ny - place.wy), place.z = random.between(0, 9);
  const int64_t kept = static_cast<int64_t>(place.nx) * place.ny * place.depth, size = static_cast<int64_t>(place.wx) * place.wy * place.wz;
  const int classes = random.between(1, 4), count = random.between(1, place.depth);
  const auto logits = floats(random, size * classes, 8);
  const Floats sums(kept * sum_channels(classes)), counts(place.nx + place.ny + count);
  std::fill_n(sums.get(), sums.size(), 0.25f);
  for (int64_t i = 0; i < counts.size(); i++) counts[i] = static_cast<float>(random.between(1, 5));
  add_window({place, classes, logits->get(), nullptr, sums.get(), nullptr});
  digest.add(sums);
  const Means means = classes == 2 && random.chance(2) ? Means::kMargin : random.chance(3) ? Means::kLogits : Means::kProbabilities;
  const auto maps = unwritten(static_cast<int64_t>(place.nx) * place.ny * count * means_maps(means, classes));
  const float* const axes = counts.get();
  const PlanesFinishing call{place.nx,   place.ny,      place.depth, place.z,
                             count,      classes,       means,       sums.get(),
                             nullptr,    {axes, axes + place.nx, axes + place.nx + place.ny}, maps->get()};
  digest.add(finish_planes(call), 1);
  digest.add(*maps);
  digest.add(sums);
}

void mask_case(Random& random, Digest& digest) {
  MaskSampling call{};
  for (int axis = 0; axis < 3; axis++) call.source[axis] = random.between(1, axis == 0 && random.chance(10) ? 1100 : 20);
  for (int axis = 0; axis < 2; axis++) call.target[axis] = random.between(1, 60);
  call.z = random.between(0, 9), call.planes = random.between(1, 4);
  for (int axis = 0; axis < 3; axis++) {
    call.map[axis * 5] = random.chance(4) ? 0.5 * random.between(-3, 4) : 2 * random.uniform();
    call.map[axis * 4 + 3] = 4 * random.uniform();
  }
  const int64_t plane = static_cast<int64_t>(call.source[0]) * call.source[1];
  std::vector<std::unique_ptr<Floats>> planes;
  // Sometimes too few of them; here and there something above 0.
  call.low = random.chance(8) ? random.between(0, 3) : 0;
  const int count = random.chance(8) ? random.between(0, 3) : call.source[2];
  const int share = random.chance(2) ? 40 : random.between(1, 3);
  for (int z = 0; z < count; z++) {
    planes.push_back(voxels(random, plane));
    for (int64_t i = 0; i < plane; i++)
      if (!random.chance(share)) (*planes.back())[i] = -std::abs((*planes.back())[i]);
    call.margin.push_back(planes.back()->get());
  }
  const int64_t size = static_cast<int64_t>(call.target[0]) * call.target[1];
  const Guarded<uint8_t> to(size * call.planes);
  call.to = to.get();
  const std::vector<int> counts = sample_mask(call);
  digest.add(counts.size(), 8);
  for (size_t k = 0; k < counts.size(); k++) {
    digest.add(static_cast<uint64_t>(counts[k]), 8);
    const int64_t bytes = counts[k] < 0 ? size : static_cast<int64_t>(counts[k]) * kRunBytes;
    for (int64_t i = 0; i < bytes; i++) digest.add(to[static_cast<int64_t>(k) * size + i], 1);
  }
}

// Noise in a part of the box, and stray bits behind the rows.
std::unique_ptr<Guarded<uint32_t>> mask_bits(Random& random, const BitMask& box) {
  const int64_t width = bit_mask_row_words(box.nx);
  auto words = std::make_unique<Guarded<uint32_t>>(width * box.ny * box.nz);
  std::fill_n(words->get(), words->size(), 0u);
  const int shifts = random.between(0, 3), first = random.between(0, box.nz - 1), last = random.between(first, box.nz - 1);
  const bool dense = random.chance(2), full = random.chance(4);
  for (int64_t i = first * width * box.ny; i < (last + 1) * width * box.ny; i++) {
    auto word = static_cast<uint32_t>(random.next() >> 32);
    for (int n = 0; n < shifts; n++) {
      const auto other = static_cast<uint32_t>(random.next() >> 32);
      word = dense ? word | other : word & other;
    }
    (*words)[i] = full ? ~0u : word;
  }
  return words;
}

void surface_case(Random& random, Digest& digest) {
  const int nx = random.chance(3) ? random.between(31, 66) : random.between(1, 20), nz = random.chance(3) ? random.between(60, 70) : random.between(1, 8);
  SurfaceSearch call{{nx, random.between(1, 20), nz, nullptr}, {}, {}};
  call.to = call.from;
  static constexpr double kSpacings[] = {1, 0.8, 0.7421875, 5, 1e-3, 1e200};
  for (double& mm : call.spacing) mm = random.chance(3) ? 3 + 2.9 * random.uniform() : kSpacings[random.between(0, random.chance(10) ? 5 : 3)];
  const auto from = mask_bits(random, call.from), to = mask_bits(random, call.to);
  call.from.words = from->get();
  call.to.words = to->get();
  for (int way = 0; way < 2; way++, std::swap(call.from, call.to)) {
    const std::vector<float> found = surface_distances(call);
    const Floats distances(static_cast<int64_t>(found.size()));
    std::copy(found.begin(), found.end(), distances.get());
    digest.add(distances);
  }
}

struct Loop {
  const char* name;
  void (*run)(Random&, Digest&);
  // What x86-64 gives, where test/native/voxels.ts compares the loops with plain ones.
  uint64_t expected;
};

const Loop kLoops[] = {
    {"decode", decode_case, 0x3e894f3f01dbe695},
    {"resample", sample_case, 0x1e95b049a808173d},
    {"clip", clip_case, 0xca5fe199096f7da9},
    {"map-label", map_case, 0x51ed5d39976b6901},
    {"search", search_case, 0x150132d2ab370b64},
    {"windows", window_case, 0xdfef97ba2a1cced3},
    {"unweighted", unweighted_case, 0xdd3983e2f2227687},
    {"mask", mask_case, 0xa1e73c8758665b62},
    {"surface", surface_case, 0xf6ed815957a34817},
};

constexpr int kCases = 300;

// Each allocation fails once: an exception, nothing else.
void starve(const Loop& loop) {
  int refused = 0;
  for (int i = 0; i < 5; i++)
    for (int n = 0;; n++) {
      Random random(static_cast<uint64_t>(i));
      Digest digest;
      bool failed = false;
      fail_allocation(n);
      try {
        loop.run(random, digest);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      fail_allocation(-1);
      if (!failed) break;
      refused++;
    }
  std::printf("%-12s %d allocations refused\n", loop.name, refused);
}

}  // namespace

int check_imaging() {
  int failures = 0;
  for (const Loop& loop : kLoops) {
    Digest digest;
    for (int i = 0; i < kCases; i++) {
      Random random(static_cast<uint64_t>(i) + 1);
      loop.run(random, digest);
    }
    const bool same = digest.value() == loop.expected;
    std::printf("%-12s %d cases; bits %016llx%s\n", loop.name, kCases, static_cast<unsigned long long>(digest.value()),
                same ? "" : ": FAILED, expected others");
    failures += same ? 0 : 1;
    starve(loop);
  }
  return failures;
}

}  // namespace ctflow_test
