// Whole pages into and out of guest memory, except those that are all zeros.
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

// Copies what is not all zeros, page by page, to where all is zero: a page that stays untouched is neither
// faulted in nor taken from the host, and up to half of a Linux image is such pages. The last one may be a
// part.
void copy_pages(const uint8_t *from, uint8_t *to, uint64_t length);

// The same from a file: how many bytes there were, `length` unless the file ends before; -1: see errno.
int64_t read_pages(int fd, uint64_t position, uint8_t *to, uint64_t length);
