#include "engine/target.hpp"

#include "engine/config.hpp"

namespace rota_lm {

std::pair<std::size_t, std::size_t> shape_of(target t, const model_config& c) {
  const std::size_t q_width = c.q_heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  switch (t) {
    case target::q:
      return {c.hidden_size, q_width};
    case target::k:
    case target::v:
      return {c.hidden_size, kv_width};
    case target::o:
      return {q_width, c.hidden_size};
    case target::gate:
    case target::up:
      return {c.hidden_size, c.intermediate_size};
    default:
      return {c.intermediate_size, c.hidden_size};
  }
}

}  // namespace rota_lm
