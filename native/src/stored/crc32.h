// The CRC-32 of zlib and gzip (reflected polynomial 0xEDB88320).
#pragma once

#include <cstdint>

namespace ctflow {

// Of bytes that follow others, whose CRC is `before`.
uint32_t crc32(const uint8_t* bytes, int64_t count, uint32_t before = 0);

// Eight bytes at a time from tables; what crc32 does where the processor has nothing better.
uint32_t crc32_by_tables(uint32_t crc, const uint8_t* bytes, int64_t count);

}  // namespace ctflow
