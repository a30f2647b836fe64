#include "engine/value_routing.hpp"

#include "engine/config.hpp"

namespace rota_lm {

std::size_t router_outputs(router_form form, std::size_t kv_heads, std::size_t groups) {
  switch (form) {
    case router_form::per_head:
      return kv_heads * groups;
    case router_form::shared:
      return groups;
    default:
      return kv_heads + groups;
  }
}

std::size_t value_routing::groups(const model_config& c) const {
  return c.head_dim / group_width;
}

}  // namespace rota_lm
