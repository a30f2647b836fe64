#pragma once

#include <algorithm>
#include <cmath>

#include <rota/score/role_router.hpp>
#include <rota/score/router.hpp>
#include <rota/score/router_reference.hpp>

// The role-conditioned router written down in double, as its formula reads.

namespace rota::reference {

template <int Roles, element E, class... Parts>
scores score_groups(role_router<Roles>, const typename role_router<Roles>::params& p,
                    const context<E, Parts...>& c, int width) {
  scores out = score_groups(router<per_head_router>{}, {}, c, width);
  const index_t groups = c.d_v() / width;
  for (index_t j = 0; j < c.tokens(); ++j) {
    std::vector<double> role;
    for (index_t m = 0; m < Roles; ++m) {
      role.push_back(value_at(c.role_bias, m));
      for (index_t i = 0; i < c.role_router.extent[1]; ++i)
        role.back() += value_at(c.role_router, m, i) * value_at(c.layer_hidden, j, i);
    }
    const double most = *std::max_element(role.begin(), role.end());
    double total = 0;
    for (double& x : role) total += x = std::exp(x - most);
    for (index_t h = 0; h < c.kv_heads(); ++h)
      for (index_t s = 0; s < groups; ++s)
        for (index_t m = 0; m < Roles; ++m)
          out[static_cast<std::size_t>((h * c.tokens() + j) * groups + s)] +=
              static_cast<double>(p.share) * value_at(c.role_groups, h * groups + s, m) *
              role[static_cast<std::size_t>(m)] / total;
  }
  return out;
}

}  // namespace rota::reference
