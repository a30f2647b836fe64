#include "diagnose/output_error.hpp"

#include <algorithm>
#include <cmath>

#include <rota/attend/any_op.hpp>
#include <rota/attend/attention.hpp>
#include <rota/core/types.hpp>
#include <rota/core/view.hpp>
#include <rota/cpu/attend.hpp>
#include <rota/cpu/backend.hpp>

#include "engine/rota_call.hpp"
#include "engine/scratch_memory.hpp"

namespace rota_lm::diagnose {

std::vector<double> output_errors(const eval::prefilled& prefill,
                                  const dense_cache<eval::element>& dense,
                                  const packed_cache& packed, const model_config& c,
                                  std::size_t layer, std::size_t taken_back) {
  const eval::layer_context context = prefill.contexts()[layer];
  rota::view<const float, 3> q = context.queries;
  const auto rows = static_cast<rota::index_t>(prefill.protected_window());
  const rota::index_t first = q.extent[0] - static_cast<rota::index_t>(taken_back) - rows;
  q.data += first * q.stride[0];
  q.extent[0] = rows;
  const auto heads = static_cast<rota::index_t>(c.q_heads);
  const auto d = static_cast<rota::index_t>(c.head_dim);
  std::vector<float> want(static_cast<std::size_t>(rows * heads * d)), got(want.size());
  const rota::view<float, 3> want_view(want.data(), rows, heads, d),
      got_view(got.data(), rows, heads, d);
  const rota::attend_params p = attend_params_of(c, layer);
  const rota::cpu::backend b;
  scratch_memory scratch;
  using dense_op = rota::attention<rota::dense<eval::element>>;
  const rota::attend_item<dense_op::store_type> dense_item{q, &dense.store(layer), want_view, {}};
  require(
      dense_op::attend(b, dense_item, p,
                       scratch.at_least(dense_op::attend_workspace_bytes(b, {&dense_item, 1}, p))),
      "dense attention");
  const auto& store = packed.store(layer);
  require(
      rota::attend(b, q, store, got_view, {}, p,
                   scratch.at_least(rota::attend_workspace_bytes(b, q, store, got_view, {}, p))),
      "packed attention");
  const auto group = static_cast<rota::index_t>(c.group());
  std::vector<double> errors(c.kv_heads);
  for (rota::index_t i = 0; i < rows; ++i) {
    for (rota::index_t a = 0; a < heads; ++a) {
      double off = 0, size = 0;
      for (rota::index_t k = 0; k < d; ++k) {
        off = std::max(off, std::fabs(static_cast<double>(got_view(i, a, k) - want_view(i, a, k))));
        size = std::max(size, std::fabs(static_cast<double>(want_view(i, a, k))));
      }
      const double relative = size > 0 ? off / size : off;
      errors[static_cast<std::size_t>(a / group)] += relative / static_cast<double>(rows * group);
    }
  }
  return errors;
}

}  // namespace rota_lm::diagnose
