// All memory that stores live in, by kind: the proof that compressed rows decode without the
// dense cache, and the source of every byte ratio.
#pragma once

#include <atomic>
#include <cstddef>

#include "engine/cache_memory.hpp"

namespace rota_lm::eval {

class counting_memory {
 public:
  memory_account dense;   ///< what prefills fill
  memory_account packed;  ///< what compressed rows decode through, tails included

  /// Called around every decode of a compressed row. Throws when a dense byte is alive: then what
  /// was measured would not be what is claimed.
  void packed_row_decodes();

  /// The most dense bytes that were alive at any of checks() looks during packed decodes.
  std::size_t dense_bytes_while_packed_decodes() const { return dense_while_packed_.load(); }
  std::size_t checks() const { return checks_.load(); }

 private:
  std::atomic<std::size_t> dense_while_packed_{0};
  std::atomic<std::size_t> checks_{0};
};

}  // namespace rota_lm::eval
