// The voxel loops on cases drawn at random: the same bits on every processor, no memory touched that is not theirs, and an
// exception where memory cannot be had.
#pragma once

namespace ctflow_test {

// How many checks failed. Prints one line per loop.
int check_imaging();

// Lets the n-th allocation from now fail; below 0, none. From failing-memory.cc.
void fail_allocation(int n);

}  // namespace ctflow_test
