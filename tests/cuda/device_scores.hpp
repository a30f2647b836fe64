#pragma once

#include <list>
#include <vector>

#include <rota/cuda/score.cuh>
#include <rota/score/output_projection.hpp>
#include <rota/score/predictor.hpp>
#include <rota/score/role_router.hpp>

#include "cuda/gpu.hpp"
#include "support/memory.hpp"

namespace rota_test {

/// A context whose views lie in device memory, whatever parts it has.
template <class Context>
class device_context;

template <rota::element E, class... Parts>
class device_context<rota::context<E, Parts...>> {
 public:
  rota::context<E, Parts...> c;

  explicit device_context(const rota::context<E, Parts...>& host) : c(host) {
    move(c.keys);
    move(c.values);
    move(c.positions);
    (move_part(static_cast<Parts&>(c)), ...);
  }
  device_context(const device_context&) = delete;
  device_context& operator=(const device_context&) = delete;

 private:
  /// Views in the tests are contiguous.
  template <class T, int Rank>
  void move(rota::view<const T, Rank>& v) {
    if (v.data == nullptr) return;
    std::size_t n = 1;
    for (int i = 0; i < Rank; ++i) n *= static_cast<std::size_t>(v.extent[i]);
    const auto* const bytes = reinterpret_cast<const std::byte*>(v.data);
    memory_.emplace_back(std::vector<std::byte>(bytes, bytes + n * sizeof(T)));
    v.data = reinterpret_cast<const T*>(memory_.back().data());
  }
  template <rota::element Q>
  void move_part(rota::window_queries_of<Q>& p) {
    move(p.queries);
    move(p.query_positions);
  }
  void move_part(rota::query_moments& p) {
    move(p.mean);
    move(p.covariance);
  }
  void move_part(rota::rope_frequencies& p) { move(p.inverse_frequencies); }
  void move_part(rota::output_projection& p) { move(p.weights); }
  void move_part(rota::output_gram& p) { move(p.gram); }
  void move_part(rota::layer_states& p) { move(p.layer_hidden); }
  void move_part(rota::router_weights& p) {
    move(p.router);
    move(p.router_bias);
  }
  void move_part(rota::role_weights& p) {
    move(p.role_router);
    move(p.role_bias);
    move(p.role_groups);
  }
  void move_part(rota::split_states& p) { move(p.hidden); }
  void move_part(rota::query_states& p) { move(p.query_hidden); }
  void move_part(rota::linear_relevance& p) {
    move(p.linear);
    move(p.bias);
  }
  void move_part(rota::bilinear_relevance& p) {
    move(p.token_factor);
    move(p.query_factor);
    move(p.mix);
  }

  std::list<device_array<std::byte>> memory_;
};

/// Scores of a context in host memory, computed on the device: [kv_heads, tokens].
template <class Scorer, class Context>
std::vector<float> device_token_scores(std::uint64_t seed, Scorer scorer,
                                       const typename Scorer::params& p, const Context& host) {
  const gpu g(seed);
  const device_context<Context> d(host);
  const device_array<float> out(static_cast<std::size_t>(host.kv_heads() * host.tokens()));
  const device_workspace ws(rota::cuda::score_tokens_workspace_bytes(g.backend(), scorer, p, d.c));
  const rota::status s =
      score_tokens(g.backend(), scorer, p, d.c,
                   rota::view<float, 2>(out.data(), host.kv_heads(), host.tokens()), ws.get());
  INFO(std::string(s.what()) << ": " << std::string(s.argument));
  REQUIRE(s.ok());
  REQUIRE(g.result().ok());
  return out.download();
}

/// [kv_heads, tokens, d_v / width].
template <class Scorer, class Context>
std::vector<float> device_group_scores(std::uint64_t seed, Scorer scorer,
                                       const typename Scorer::params& p, const Context& host,
                                       int width) {
  const gpu g(seed);
  const device_context<Context> d(host);
  const rota::index_t groups = host.d_v() / width;
  const device_array<float> out(static_cast<std::size_t>(host.kv_heads() * host.tokens() * groups));
  const device_workspace ws(
      rota::cuda::score_groups_workspace_bytes(g.backend(), scorer, p, d.c, width));
  const rota::status s = score_groups(
      g.backend(), scorer, p, d.c, width,
      rota::view<float, 3>(out.data(), host.kv_heads(), host.tokens(), groups), ws.get());
  INFO(std::string(s.what()) << ": " << std::string(s.argument));
  REQUIRE(s.ok());
  REQUIRE(g.result().ok());
  return out.download();
}

}  // namespace rota_test
