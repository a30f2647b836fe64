#include "evaluate/counting_memory.hpp"

#include <string>

#include "engine/error.hpp"

namespace rota_lm::eval {

void counting_memory::packed_row_decodes() {
  const std::size_t now = dense.live_bytes();
  std::size_t seen = dense_while_packed_.load();
  while (seen < now && !dense_while_packed_.compare_exchange_weak(seen, now)) {
  }
  ++checks_;
  if (now != 0) {
    fail("memory", std::to_string(now) + " bytes of dense cache alive while a packed row decodes");
  }
}

}  // namespace rota_lm::eval
