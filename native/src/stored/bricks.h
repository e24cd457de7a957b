// Planes cut into bricks, each with a CRC-32, so that a box can be read and checked without the rest.
//
// A plane (y, x) is kept as columns of `brick_x` voxels' width (the last may be narrower), one after the other, each
// row by row; a brick is `brick_y` rows of a column (the last may be lower). Nothing is padded. CRCs are in the order of
// columns, then bricks.
#pragma once

#include <cstdint>

#include "stored/encoding.h"

namespace ctflow {

struct BrickedPlane {
  int64_t nx, ny;
  int64_t brick_x, brick_y;

  int64_t columns() const { return (nx + brick_x - 1) / brick_x; }
  int64_t bricks_in_column() const { return (ny + brick_y - 1) / brick_y; }
  int64_t bricks() const { return columns() * bricks_in_column(); }
};

// A plane in memory (y, x) of elements of `element` bytes into bricks, and their CRCs.
void brick_plane(const BrickedPlane& plane, int64_t element, const uint8_t* from, uint8_t* to, uint32_t* crcs);

struct StoredPlane {
  // Of its first byte in the file.
  int64_t offset;
  StoredAs as;
  PlaneScale scale;
  // bricks() of them.
  const uint32_t* crcs;
};

struct PlaneBox {
  int64_t x, y, width, height;
};

struct BricksRead {
  int64_t bytes = 0;
  // From errno; 0 where all went well.
  int error = 0;
  // The file ends too early, or a brick is not what was written: nothing that was read may be used.
  bool damaged = false;
};

// Reads the box of one plane from a file: (height, width) floats, or with `raw` the elements as they are stored. Takes
// memory of one column and throws ScratchFailure where there is none.
void read_bricks(int file, const BrickedPlane& plane, const StoredPlane& stored, const PlaneBox& box, bool raw, uint8_t* to,
                 BricksRead* read);

}  // namespace ctflow
