// What the cache calls: voxels into their encodings and back, planes into bricks, bricks from a file. Each call works on
// libuv's pool and gives a promise; the memory that it was lent must stay attached until then. Included by addon.cc alone.
#pragma once

#include <napi.h>

#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "arguments.h"
#include "job.h"
#include "stored/bricks.h"
#include "stored/encoding.h"

namespace {

// Runs `work` on the pool, then `result` with JavaScript; keeps the arrays that it was lent from the garbage collector meanwhile.
Napi::Value start(const Napi::CallbackInfo& info, const Arguments& a, std::function<void()> work,
                  std::function<Napi::Value(Napi::Env)> result) {
  std::vector<Napi::Value> lent;
  for (size_t i = 0; i < info.Length(); i++) lent.push_back(info[i]);
  return queue<bool>(
      a, "stored voxels", lent, [work = std::move(work)] { return work(), true; },
      [result = std::move(result)](Napi::Env env, bool) { return result(env); });
}

ctflow::StoredAs stored_as(const Arguments& a, int as) {
  if (as < 0 || as > static_cast<int>(ctflow::StoredAs::kUint16)) fail(a.env(), "stored voxels: no such encoding");
  return static_cast<ctflow::StoredAs>(as);
}

// Planes' scales, (planes, 3): least, step, greatest; only 16 bits have them.
float* scales_of(const Arguments& a, int i, ctflow::StoredAs as, int64_t planes) {
  return as == ctflow::StoredAs::kUint16 ? a.floats(i, "scales", a.product({planes, 3})) : nullptr;
}

ctflow::PlaneScale scale_at(const float* scales, int64_t plane) {
  if (scales == nullptr) return {};
  return {scales[3 * plane], scales[3 * plane + 1], scales[3 * plane + 2]};
}

// A box inside nx by ny.
ctflow::PlaneBox box_of(const Arguments& a, int64_t nx, int64_t ny, const int v[4]) {
  const ctflow::PlaneBox box{v[0], v[1], v[2], v[3]};
  if (box.x + box.width > nx || box.y + box.height > ny) fail(a.env(), "stored voxels: the box leaves the plane");
  return box;
}

// (voxels, as, [voxels of a plane, planes], to, scales or null) -> whether they could be kept so
Napi::Value encode_planes(const Napi::CallbackInfo& info) {
  return guarded(info, "encoding of voxels", [&](const Arguments& a) {
    static constexpr int kLeast[2] = {1, 1};
    const auto as = stored_as(a, a.count(1, "as", 1));
    int v[2];
    a.counts(2, "shape", 2, kLeast, v);
    const int64_t plane = v[0], planes = v[1];
    const int64_t size = a.product({plane, planes});
    const float* from = a.floats(0, "voxels", size);
    uint8_t* to = a.bytes(3, "to", a.product({size, ctflow::stored_bytes(as)}), ctflow::stored_bytes(as));
    float* scales = scales_of(a, 4, as, planes);
    const auto fits = std::make_shared<bool>(true);
    return start(
        info, a,
        [=] {
          if (as == ctflow::StoredAs::kUint8) {
            *fits = ctflow::encode_uint8(from, size, to);
            return;
          }
          for (int64_t k = 0; k < planes && *fits; k++) {
            ctflow::PlaneScale scale{};
            *fits = ctflow::encode_uint16(from + k * plane, plane, reinterpret_cast<uint16_t*>(to) + k * plane, &scale);
            scales[3 * k] = scale.least;
            scales[3 * k + 1] = scale.step;
            scales[3 * k + 2] = scale.greatest;
          }
        },
        [=](Napi::Env env) { return Napi::Boolean::New(env, *fits); });
  });
}

// (from, as, [nx, ny, planes], [x, y, z, width, height, depth], scales or null, to)
Napi::Value decode_planes(const Napi::CallbackInfo& info) {
  return guarded(info, "decoding of voxels", [&](const Arguments& a) {
    static constexpr int kLeast[3] = {1, 1, 1};
    static constexpr int kLeastBox[6] = {0, 0, 0, 1, 1, 1};
    const auto as = stored_as(a, a.count(1, "as", 0));
    int v[3], b[6];
    a.counts(2, "shape", 3, kLeast, v);
    a.counts(3, "box", 6, kLeastBox, b);
    const int64_t nx = v[0], ny = v[1];
    const int in_plane[4] = {b[0], b[1], b[3], b[4]};
    const auto box = box_of(a, nx, ny, in_plane);
    const int64_t z = b[2], depth = b[5];
    if (z + depth > v[2]) fail(a.env(), "stored voxels: the box leaves the planes");
    const int64_t element = ctflow::stored_bytes(as);
    const uint8_t* from = a.bytes(0, "from", a.product({nx, ny, v[2], element}), element);
    const float* scales = scales_of(a, 4, as, v[2]);
    float* to = a.floats(5, "to", a.product({box.width, box.height, depth}));
    return start(
        info, a,
        [=] {
          float* out = to;
          for (int64_t k = z; k < z + depth; k++)
            for (int64_t y = box.y; y < box.y + box.height; y++, out += box.width)
              ctflow::decode(as, from + ((k * ny + y) * nx + box.x) * element, scale_at(scales, k), box.width, out);
        },
        [](Napi::Env env) { return env.Undefined(); });
  });
}

// (from, bytes of a voxel, [nx, ny, planes, brick x, brick y], to, crcs)
Napi::Value brick_planes(const Napi::CallbackInfo& info) {
  return guarded(info, "bricks", [&](const Arguments& a) {
    static constexpr int kLeast[5] = {1, 1, 1, 1, 1};
    const int64_t element = a.count(1, "bytes of a voxel", 1);
    int v[5];
    a.counts(2, "shape", 5, kLeast, v);
    const ctflow::BrickedPlane plane{v[0], v[1], v[3], v[4]};
    const int64_t planes = v[2];
    const int64_t plane_bytes = a.product({v[0], v[1], element});
    const int64_t size = a.product({plane_bytes, planes});
    const uint8_t* from = a.bytes(0, "from", size, 1);
    uint8_t* to = a.bytes(3, "to", size, 1);
    auto* crcs = reinterpret_cast<uint32_t*>(a.integers(4, "crcs", a.product({plane.bricks(), planes})));
    return start(
        info, a,
        [=] {
          for (int64_t k = 0; k < planes; k++)
            ctflow::brick_plane(plane, element, from + k * plane_bytes, to + k * plane_bytes, crcs + k * plane.bricks());
        },
        [](Napi::Env env) { return env.Undefined(); });
  });
}

// (file, [nx, ny, brick x, brick y, x, y, width, height], planes, crcs, to, raw) -> [bytes read, damaged, errno]
// planes: (count, 6) float64, for each offset, as, index of its first CRC, least, step, greatest. `to` is a Float32Array, or with
// `raw` a Uint8Array of the voxels as they are stored.
Napi::Value read_bricks(const Napi::CallbackInfo& info) {
  return guarded(info, "reading of bricks", [&](const Arguments& a) {
    static constexpr int kLeast[8] = {1, 1, 1, 1, 0, 0, 1, 1};
    const int file = a.count(0, "file", 0);
    int v[8];
    a.counts(1, "shape", 8, kLeast, v);
    const ctflow::BrickedPlane plane{v[0], v[1], v[2], v[3]};
    a.product({plane.nx, plane.ny, 8});  // places are computed in int64
    const auto box = box_of(a, plane.nx, plane.ny, v + 4);
    const bool raw = a.flag(5);
    const int64_t count = a.length(2) / 6;
    const double* rows = a.doubles(2, "planes", count * 6);
    const int64_t crc_count = a.length(3);
    const auto* crcs = reinterpret_cast<const uint32_t*>(a.integers(3, "crcs", crc_count));
    auto planes = std::make_shared<std::vector<ctflow::StoredPlane>>();
    int64_t raw_bytes = 0;
    const int64_t voxels = a.product({box.width, box.height});
    const auto whole = [&](double number, double most) {
      if (!(number >= 0 && number <= most) || number != std::floor(number)) fail(a.env(), "reading of bricks: a plane is not in the file");
      return static_cast<int64_t>(number);
    };
    for (int64_t k = 0; k < count; k++) {
      const double* row = rows + 6 * k;
      const auto as = stored_as(a, static_cast<int>(whole(row[1], 2)));
      const int64_t offset = whole(row[0], static_cast<double>(int64_t{1} << 52));
      const int64_t first = whole(row[2], static_cast<double>(crc_count - std::min(crc_count, plane.bricks())));
      if (plane.bricks() > crc_count) fail(a.env(), "reading of bricks: too few CRCs");
      planes->push_back({offset, as,
                         {static_cast<float>(row[3]), static_cast<float>(row[4]), static_cast<float>(row[5])},
                         crcs + first});
      raw_bytes += a.product({voxels, ctflow::stored_bytes(as)});
    }
    uint8_t* to = raw ? a.bytes(4, "to", raw_bytes, 1) : reinterpret_cast<uint8_t*>(a.floats(4, "to", a.product({voxels, count})));
    const auto read = std::make_shared<ctflow::BricksRead>();
    return start(
        info, a,
        [=] {
          uint8_t* out = to;
          for (const auto& stored : *planes) {
            ctflow::read_bricks(file, plane, stored, box, raw, out, read.get());
            if (read->damaged || read->error != 0) return;
            out += voxels * (raw ? ctflow::stored_bytes(stored.as) : 4);
          }
        },
        [=](Napi::Env env) {
          Napi::Array result = Napi::Array::New(env, 3);
          result[uint32_t{0}] = static_cast<double>(read->bytes);
          result[uint32_t{1}] = read->damaged;
          result[uint32_t{2}] = static_cast<double>(read->error);
          return static_cast<Napi::Value>(result);
        });
  });
}

void add_stored_calls(Napi::Env env, Napi::Object exports) {
  const auto set = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  set("encodePlanes", encode_planes);
  set("decodePlanes", decode_planes);
  set("brickPlanes", brick_planes);
  set("readBricks", read_bricks);
}

}  // namespace
