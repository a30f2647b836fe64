#pragma once

#include <rota/score/reference.hpp>
#include <rota/score/router.hpp>

// The router written down in double, as its formula reads.

namespace rota::reference {

template <router_form Form, element E, class... Parts>
scores score_groups(router<Form>, const typename router<Form>::params&,
                    const context<E, Parts...>& c, int width) {
  const index_t groups = c.d_v() / width;
  std::vector<scores> outputs;  // by token
  for (index_t j = 0; j < c.tokens(); ++j) {
    scores& of_token = outputs.emplace_back();
    for (index_t o = 0; o < c.router.extent[0]; ++o) {
      double sum = value_at(c.router_bias, o);
      for (index_t i = 0; i < c.router.extent[1]; ++i)
        sum += value_at(c.router, o, i) * value_at(c.layer_hidden, j, i);
      of_token.push_back(sum);
    }
  }
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (const scores& of_token : outputs)
      for (index_t s = 0; s < groups; ++s)
        out.push_back(router_logit<Form>(of_token.data(), 1, groups, c.kv_heads(), h, s));
  return out;
}

}  // namespace rota::reference
