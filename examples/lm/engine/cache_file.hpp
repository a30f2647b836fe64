// A prompt's compressed cache in a file: written by one process, gone on from by another.
//
//   file_header | bytes of each layer, u64 | prompt | logits, f32 | padding | layers ... | CRC-64
//
// Each layer is a store in Rota's saved form (store/save.hpp), aligned to 64 bytes; the checksum is
// of all that stands before it. Numbers are in the byte order of the machine that wrote.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <rota/store/save.hpp>

#include "engine/atomic_file.hpp"
#include "engine/packed_cache.hpp"

namespace rota_lm {

/// What a generation goes on from, besides the cache.
struct saved_prompt {
  std::string text;
  std::vector<float> logits;  ///< of the prompt's last token, [vocab]
};

/// Writes the cache, all layers, and what goes on from it into `file`; the caller commits.
void save_cache(atomic_file& file, const packed_cache& cache, const rota::saved_identity& identity,
                const saved_prompt& prompt);

/// Reads a file of save_cache() into `cache`, which is empty, with room for `tail` new tokens.
/// Throws, in one line, on a file that is damaged, was made by other policies or for another model;
/// the cache is then still empty.
saved_prompt load_cache(const std::string& path, const rota::saved_identity& identity,
                        std::size_t tail, packed_cache& cache);

}  // namespace rota_lm
