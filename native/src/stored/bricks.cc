#include "stored/bricks.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "scratch.h"
#include "stored/crc32.h"

namespace ctflow {
namespace {

// False where the file ends before or the system says no.
bool read_all(int file, uint8_t* to, int64_t count, int64_t offset, BricksRead* read) {
  while (count > 0) {
    const ssize_t got = pread(file, to, static_cast<size_t>(count), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      read->error = errno;
      return false;
    }
    if (got == 0) {
      read->damaged = true;
      return false;
    }
    read->bytes += got;
    to += got;
    offset += got;
    count -= got;
  }
  return true;
}

}  // namespace

void brick_plane(const BrickedPlane& plane, int64_t element, const uint8_t* from, uint8_t* to, uint32_t* crcs) {
  for (int64_t x = 0; x < plane.nx; x += plane.brick_x) {
    const int64_t row = std::min(plane.brick_x, plane.nx - x) * element;
    for (int64_t y = 0; y < plane.ny; y += plane.brick_y) {
      const int64_t rows = std::min(plane.brick_y, plane.ny - y);
      uint8_t* const brick = to;
      for (int64_t k = 0; k < rows; k++, to += row)
        std::memcpy(to, from + ((y + k) * plane.nx + x) * element, static_cast<size_t>(row));
      *crcs++ = crc32(brick, rows * row);
    }
  }
}

void read_bricks(int file, const BrickedPlane& plane, const StoredPlane& stored, const PlaneBox& box, bool raw, uint8_t* to,
                 BricksRead* read) {
  const int64_t element = stored_bytes(stored.as);
  const int64_t out_element = raw ? element : 4;
  // Rows of the bricks that the box touches.
  const int64_t first_row = box.y / plane.brick_y * plane.brick_y;
  const int64_t end_row = std::min(plane.ny, (box.y + box.height + plane.brick_y - 1) / plane.brick_y * plane.brick_y);
  const Scratch<uint8_t> run(std::min(plane.brick_x, plane.nx) * (end_row - first_row) * element);
  for (int64_t column = box.x / plane.brick_x; column * plane.brick_x < box.x + box.width; column++) {
    const int64_t x = column * plane.brick_x;
    const int64_t width = std::min(plane.brick_x, plane.nx - x);
    const int64_t row = width * element;
    const int64_t start = stored.offset + x * plane.ny * element + first_row * row;
    if (!read_all(file, run.get(), (end_row - first_row) * row, start, read)) return;
    const uint32_t* crc = stored.crcs + column * plane.bricks_in_column() + first_row / plane.brick_y;
    for (int64_t y = first_row; y < end_row; y += plane.brick_y) {
      const int64_t rows = std::min(plane.brick_y, end_row - y);
      if (crc32(run.get() + (y - first_row) * row, rows * row) != *crc++) {
        read->damaged = true;
        return;
      }
    }
    const int64_t from_x = std::max(box.x, x);
    const int64_t voxels = std::min(box.x + box.width, x + width) - from_x;
    for (int64_t y = box.y; y < box.y + box.height; y++) {
      const uint8_t* from = run.get() + (y - first_row) * row + (from_x - x) * element;
      uint8_t* out = to + ((y - box.y) * box.width + from_x - box.x) * out_element;
      if (raw)
        std::memcpy(out, from, static_cast<size_t>(voxels * element));
      else
        decode(stored.as, from, stored.scale, voxels, reinterpret_cast<float*>(out));
    }
  }
}

}  // namespace ctflow
