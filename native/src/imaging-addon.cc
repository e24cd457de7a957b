// The border to JavaScript for the voxel loops. Everything is checked before it is queued; the work runs on libuv's pool and
// its promise settles on the thread that asked. Until then the arrays are held, and must keep their memory: whoever
// detaches or shrinks one meanwhile takes it from under the work.

#include "imaging-addon.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "arguments.h"
#include "imaging/decode.h"
#include "imaging/mask.h"
#include "imaging/resample.h"
#include "imaging/search.h"
#include "imaging/surface.h"
#include "imaging/values.h"
#include "imaging/windows.h"
#include "job.h"

namespace {

Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

Napi::Array pair(Napi::Env env, double first, double second) {
  Napi::Array values = Napi::Array::New(env, 2);
  values[uint32_t{0}] = first;
  values[uint32_t{1}] = second;
  return values;
}

// (raw, to, type, swapped, slope, intercept) -> [values that are not finite, the first of them or -1]
Napi::Value decode(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "decoding";
  return guarded(info, kOp, [&](const Arguments& a) {
    const int type = a.count(2, "type", 0);
    if (type >= ctflow::kStoredTypes) fail(a.env(), "decoding: no such type of voxels: " + std::to_string(type));
    ctflow::Decoding call{static_cast<ctflow::Stored>(type), a.flag(3), a.number(4, "slope"), a.number(5, "intercept"), a.length(1), nullptr, nullptr};
    call.to = a.floats(1, "to", call.count);
    call.raw = a.bytes(0, "raw", a.product({call.count, ctflow::stored_bytes(call.type)}));
    return queue<ctflow::NotFinite>(
        a, kOp, {info[0], info[1]}, [call] { return ctflow::decode(call); },
        [](Napi::Env env, const ctflow::NotFinite& found) {
          return pair(env, static_cast<double>(found.count), static_cast<double>(found.first));
        });
  });
}

// (planes, to, map, [source x 3, target x 2, z, low], nearest, separable)
Napi::Value sample_plane(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "resampling";
  return guarded(info, kOp, [&](const Arguments& a) {
    static constexpr int kLeast[7] = {1, 1, 1, 1, 1, 0, 0};
    int v[7];
    a.counts(3, "shape", 7, kLeast, v);
    ctflow::PlaneSampling call{{}, {v[0], v[1], v[2]}, {v[3], v[4]}, v[5], a.flag(4), a.flag(5), v[6], 0, nullptr, nullptr};
    // Reading the list may run JavaScript: nobody's memory is looked at before.
    std::vector<Napi::Value> arrays = a.list(0, "planes", 1 << 20);
    const auto planes = std::make_shared<std::vector<const float*>>();
    for (const Napi::Value plane : arrays) planes->push_back(a.floats(plane, "a plane", a.product({v[0], v[1]})));
    const double* const map = a.doubles(2, "map", 12);
    for (int i = 0; i < 12; i++) call.map[i] = map[i];
    call.count = static_cast<int>(planes->size());
    call.planes = planes->data();
    call.to = a.floats(1, "to", a.product({v[3], v[4]}));
    arrays.push_back(info[1]);
    return queue<bool>(
        a, kOp, arrays, [call, planes] { return ctflow::sample_plane(call); },
        [call](Napi::Env env, bool complete) {
          if (!complete)
            fail(env, "resampling: plane " + std::to_string(call.z) + " needs more than the planes " + std::to_string(call.low) + " to " +
                          std::to_string(call.low + call.count - 1));
          return undefined(env);
        });
  });
}

// (from, to, min, max, low, high)
Napi::Value clip(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "clipping";
  return guarded(info, kOp, [&](const Arguments& a) {
    ctflow::Clipping call{a.number(2, "min"), a.number(3, "max"), a.number(4, "low"), a.number(5, "high"), a.length(0), nullptr, nullptr};
    call.from = a.floats(0, "from", call.count);
    call.to = a.floats(1, "to", call.count);
    return queue<bool>(
        a, kOp, {info[0], info[1]}, [call] { return ctflow::clip(call), true; }, [](Napi::Env env, bool) { return undefined(env); });
  });
}

// (from, to, dense, values, classes) -> the first value without a class, or -1
Napi::Value map_labels(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "mapping labels";
  return guarded(info, kOp, [&](const Arguments& a) {
    const int64_t others = a.length(3);
    if (others > (1 << 20)) fail(a.env(), "mapping labels: too many values");
    ctflow::Mapping call{a.shorts(2, "dense", ctflow::kDenseClasses),
                         static_cast<int>(others),
                         a.doubles(3, "values", others),
                         a.shorts(4, "classes", others),
                         a.length(0),
                         nullptr,
                         nullptr};
    call.from = a.floats(0, "from", call.count);
    call.to = a.floats(1, "to", call.count);
    return queue<int64_t>(
        a, kOp, {info[0], info[1], info[2], info[3], info[4]}, [call] { return ctflow::map_labels(call); },
        [](Napi::Env env, int64_t first) { return Napi::Number::New(env, static_cast<double>(first)); });
  });
}

// (voxels, [nx, ny, planes], threshold) -> [low x, y, z, high x, y, z], both inside, or null
Napi::Value search_box(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "search for the foreground";
  return guarded(info, kOp, [&](const Arguments& a) {
    static constexpr int kLeast[3] = {1, 1, 1};
    int v[3];
    a.counts(1, "shape", 3, kLeast, v);
    ctflow::BoxSearch call{v[0], v[1], v[2], a.number(2, "threshold"), nullptr, {}, {}};
    call.voxels = a.floats(0, "voxels", a.product({v[0], v[1], v[2]}));
    using Box = std::pair<bool, ctflow::BoxSearch>;
    return queue<Box>(
        a, kOp, {info[0]},
        [call]() mutable {
          const bool found = ctflow::search_box(call);
          return Box(found, call);
        },
        [](Napi::Env env, const Box& box) -> Napi::Value {
          if (!box.first) return env.Null();
          Napi::Array ends = Napi::Array::New(env, 6);
          for (uint32_t axis = 0; axis < 3; axis++) {
            ends[axis] = static_cast<double>(box.second.low[axis]);
            ends[axis + 3] = static_cast<double>(box.second.high[axis]);
          }
          return ends;
        });
  });
}

// (label, image, [nx, ny, planes, z, nz, classes], threshold, bits, counts) -> the first voxel without a class, or -1
Napi::Value mark_candidates(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "marking candidates";
  return guarded(info, kOp, [&](const Arguments& a) {
    static constexpr int kLeast[6] = {1, 1, 1, 0, 1, 1};
    int v[6];
    a.counts(2, "shape", 6, kLeast, v);
    if (v[2] > v[4] || v[3] > v[4] - v[2]) fail(a.env(), "marking candidates: the planes leave the volume");
    const int64_t size = a.product({v[0], v[1], v[2]});
    const int64_t bits = a.product({2, v[0], ctflow::candidate_plane_bytes(v[1], v[4])});
    const ctflow::CandidateMarking call{v[0],
                                        v[1],
                                        v[2],
                                        v[3],
                                        v[4],
                                        v[5],
                                        a.number(3, "threshold"),
                                        a.floats(0, "label", size),
                                        a.floats(1, "image", size),
                                        a.bytes(4, "bits", bits),
                                        a.doubles(5, "counts", a.product({2, v[0]}))};
    return queue<int64_t>(
        a, kOp, {info[0], info[1], info[4], info[5]}, [call] { return ctflow::mark_candidates(call); },
        [](Napi::Env env, int64_t first) { return Napi::Number::New(env, static_cast<double>(first)); });
  });
}

// [nx, ny, depth, x, y, z, wx, wy, wz, flips]
ctflow::WindowPlace window_place(const Arguments& a, int i, const char* op) {
  static constexpr int kLeast[10] = {1, 1, 1, 0, 0, 0, 1, 1, 1, 0};
  int v[10];
  a.counts(i, "place", 10, kLeast, v);
  if (v[6] > v[0] || v[3] > v[0] - v[6] || v[7] > v[1] || v[4] > v[1] - v[7] || v[8] > v[2] || v[9] > 7)
    fail(a.env(), std::string(op) + ": the window leaves the planes");
  return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9]};
}

// (planes, to, place) -> whether all voxels are the same
Napi::Value take_window(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "taking a window";
  return guarded(info, kOp, [&](const Arguments& a) {
    const ctflow::WindowPlace place = window_place(a, 2, kOp);
    const float* const planes = a.floats(0, "planes", a.product({place.nx, place.ny, place.depth}));
    float* const to = a.floats(1, "to", a.product({place.wx, place.wy, place.wz}));
    return queue<bool>(
        a, kOp, {info[0], info[1]}, [place, planes, to] { return ctflow::take_window(place, planes, to); },
        [](Napi::Env env, bool constant) { return Napi::Boolean::New(env, constant); });
  });
}

// (logits, importance or null, sums, weights or null, place, classes)
Napi::Value add_window(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "adding a window";
  return guarded(info, kOp, [&](const Arguments& a) {
    ctflow::WindowAdding call{window_place(a, 4, kOp), a.count(5, "classes", 1), nullptr, nullptr, nullptr, nullptr};
    const ctflow::WindowPlace& p = call.place;
    const int64_t size = a.product({p.wx, p.wy, p.wz}), kept = a.product({p.nx, p.ny, p.depth});
    call.logits = a.floats(0, "logits", a.product({size, call.classes}));
    call.sums = a.floats(2, "sums", a.product({kept, ctflow::sum_channels(call.classes)}));
    if (!a.is_null(1) || !a.is_null(3)) {
      call.importance = a.floats(1, "importance", size);
      call.weights = a.floats(3, "weights", kept);
    }
    return queue<bool>(
        a, kOp, {info[0], info[1], info[2], info[3]}, [call] { return ctflow::add_window(call), true; },
        [](Napi::Env env, bool) { return undefined(env); });
  });
}

// (sums, weights or null, counts or null, to, [nx, ny, depth, z, planes, classes, means]) -> whether all means are finite
Napi::Value finish_planes(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "finishing planes";
  return guarded(info, kOp, [&](const Arguments& a) {
    static constexpr int kLeast[7] = {1, 1, 1, 0, 1, 1, 0};
    int v[7];
    a.counts(4, "shape", 7, kLeast, v);
    if (v[4] > v[2]) fail(a.env(), "finishing planes: more planes than are kept");
    if (v[6] > 2 || (v[6] == static_cast<int>(ctflow::Means::kMargin) && v[5] != 2))
      fail(a.env(), "finishing planes: only two classes have a margin");
    ctflow::PlanesFinishing call{v[0], v[1], v[2], v[3], v[4], v[5], static_cast<ctflow::Means>(v[6]), nullptr, nullptr, {}, nullptr};
    const int channels = ctflow::sum_channels(call.classes);
    call.sums = a.floats(0, "sums", a.product({v[0], v[1], v[2], channels}));
    if (a.is_null(1)) {
      const float* const counts = a.floats(2, "counts", int64_t{v[0]} + v[1] + v[4]);
      call.counts[0] = counts, call.counts[1] = counts + v[0], call.counts[2] = counts + v[0] + v[1];
    } else {
      call.weights = a.floats(1, "weights", a.product({v[0], v[1], v[2]}));
    }
    call.to = a.floats(3, "to", a.product({v[0], v[1], v[4], ctflow::means_maps(call.means, call.classes)}));
    return queue<bool>(
        a, kOp, {info[0], info[1], info[2], info[3]}, [call] { return ctflow::finish_planes(call); },
        [](Napi::Env env, bool finite) { return Napi::Boolean::New(env, finite); });
  });
}

// (maps, to)
Napi::Value mask_plane(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "telling classes";
  return guarded(info, kOp, [&](const Arguments& a) {
    // Reading the list may run JavaScript: nobody's memory is looked at before.
    std::vector<Napi::Value> arrays = a.list(0, "maps", 256);
    if (arrays.empty()) fail(a.env(), "telling classes: there are no maps");
    const auto call = std::make_shared<ctflow::PlaneMasking>();
    call->count = a.length(1);
    for (const Napi::Value map : arrays) call->maps.push_back(a.floats(map, "a map", call->count));
    call->to = a.bytes(1, "to", call->count);
    arrays.push_back(info[1]);
    return queue<bool>(
        a, kOp, arrays, [call] { return ctflow::mask_plane(*call), true; }, [](Napi::Env env, bool) { return undefined(env); });
  });
}

// (margin's planes, to, map, [source x 3, target x 2, z, planes, low]) -> each plane's runs, or -1 for voxels
Napi::Value sample_mask(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "sampling a mask";
  return guarded(info, kOp, [&](const Arguments& a) {
    static constexpr int kLeast[8] = {1, 1, 1, 1, 1, 0, 1, 0};
    int v[8];
    a.counts(3, "shape", 8, kLeast, v);
    // Runs are of uint32; planes are counted on from the first.
    if (a.product({v[3], v[4]}) > UINT32_MAX || v[5] > INT32_MAX - v[6]) fail(a.env(), "sampling a mask: the planes are too large");
    // Reading the list may run JavaScript: nobody's memory is looked at before.
    std::vector<Napi::Value> arrays = a.list(0, "planes", 1 << 20);
    const auto call = std::make_shared<ctflow::MaskSampling>();
    *call = {{}, {v[0], v[1], v[2]}, {v[3], v[4]}, v[5], v[6], v[7], {}, nullptr};
    for (const Napi::Value plane : arrays) call->margin.push_back(a.floats(plane, "a plane", a.product({v[0], v[1]})));
    const double* const map = a.doubles(2, "map", 12);
    for (int i = 0; i < 12; i++) call->map[i] = map[i];
    call->to = a.bytes(1, "to", a.product({v[3], v[4], v[6]}));
    arrays.push_back(info[1]);
    return queue<std::vector<int>>(
        a, kOp, arrays, [call] { return ctflow::sample_mask(*call); },
        [call](Napi::Env env, const std::vector<int>& counts) {
          if (counts.empty())
            fail(env, "sampling a mask: one of planes " + std::to_string(call->z) + " to " + std::to_string(call->z + call->planes - 1) +
                          " needs more than the planes " + std::to_string(call->low) + " to " +
                          std::to_string(call->low + static_cast<int64_t>(call->margin.size()) - 1));
          Napi::Array list = Napi::Array::New(env, counts.size());
          for (size_t k = 0; k < counts.size(); k++) list[static_cast<uint32_t>(k)] = counts[k];
          return list;
        });
  });
}

// A Float32Array that takes the values' memory over where the runtime allows that.
Napi::Value float_array(Napi::Env env, const std::shared_ptr<std::vector<float>>& values) {
  const size_t count = values->size();
  if (count == 0) return Napi::Float32Array::New(env, 0);
  napi_value buffer;
  auto* const owner = new std::shared_ptr<std::vector<float>>(values);
  const auto release = [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<std::vector<float>>*>(hint); };
  const napi_status status = napi_create_external_arraybuffer(env, values->data(), count * sizeof(float), release, owner, &buffer);
  if (status == napi_no_external_buffers_allowed) {
    delete owner;
    Napi::Float32Array copy = Napi::Float32Array::New(env, count);
    std::copy_n(values->data(), count, copy.Data());
    return copy;
  }
  if (status != napi_ok) throw Napi::Error::New(env);
  return Napi::Float32Array::New(env, count, Napi::ArrayBuffer(env, buffer), 0);
}

// (from, to, [nx, ny, nz], [mm along x, y, z], most) -> mm, ascending; how many there would be where that is more than `most`
Napi::Value surface_distances(const Napi::CallbackInfo& info) {
  static constexpr const char* kOp = "surface distances";
  return guarded(info, kOp, [&](const Arguments& a) {
    static constexpr int kLeast[3] = {1, 1, 1};
    int v[3];
    a.counts(2, "shape", 3, kLeast, v);
    if (v[2] > ctflow::kMostSurfaceExtent || a.product({v[0], v[1]}) > ctflow::kMostSurfaceExtent)
      fail(a.env(), "surface distances: the shape is too large");
    ctflow::SurfaceSearch call{{v[0], v[1], v[2], nullptr}, {v[0], v[1], v[2], nullptr}, {}};
    const double* const spacing = a.doubles(3, "spacing", 3);
    for (int axis = 0; axis < 3; axis++) {
      call.spacing[axis] = spacing[axis];
      if (!(spacing[axis] > 0 && std::isfinite(spacing[axis])))
        fail(a.env(), "surface distances: spacing must be positive, found " + written(spacing[axis]));
    }
    const int64_t words = a.product({ctflow::bit_mask_row_words(v[0]), v[1], v[2]});
    call.from.words = reinterpret_cast<const uint32_t*>(a.integers(0, "from", words));
    call.to.words = reinterpret_cast<const uint32_t*>(a.integers(1, "to", words));
    const double most = a.number(4, "most");
    struct Found {
      std::shared_ptr<std::vector<float>> distances;
      int64_t voxels;
    };
    return queue<Found>(
        a, kOp, {info[0], info[1]},
        [call, most] {
          const int64_t voxels = ctflow::surface_voxels(call.from);
          if (static_cast<double>(voxels) > most) return Found{nullptr, voxels};
          return Found{std::make_shared<std::vector<float>>(ctflow::surface_distances(call)), voxels};
        },
        [](Napi::Env env, const Found& found) -> Napi::Value {
          if (!found.distances) return Napi::Number::New(env, static_cast<double>(found.voxels));
          return float_array(env, found.distances);
        });
  });
}

}  // namespace

void add_imaging(Napi::Env env, Napi::Object exports) {
  const auto set = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  set("decode", decode);
  set("samplePlane", sample_plane);
  set("clip", clip);
  set("mapLabels", map_labels);
  set("searchBox", search_box);
  set("markCandidates", mark_candidates);
  set("takeWindow", take_window);
  set("addWindow", add_window);
  set("finishPlanes", finish_planes);
  set("maskPlane", mask_plane);
  set("sampleMask", sample_mask);
  set("surfaceDistances", surface_distances);
}
