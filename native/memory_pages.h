// Guest memory as a save file has it: the pages that are not all zeros, and a sum over them.
#pragma once

#include <cstdint>

struct PageRun {
  const uint8_t *bytes;
  uint64_t length; // whole pages
  uint64_t offset; // in the chunk that it is part of
};

// CRC-32 of the pages of `run` that are not all zeros, each with its number in the chunk before it; begin
// with 0.
uint32_t sum_pages(uint32_t sum, const PageRun &run);

// Writes those pages to a file in which the chunk begins at `position`; the others are left alone. False: see
// errno.
bool write_pages(const PageRun &run, int fd, uint64_t position);
