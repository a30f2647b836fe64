#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <rota/score/key_diff.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

#include "support/policies.hpp"
#include "support/random_layer.hpp"
#include "support/scoring.hpp"

// Bad input to the scorers: a status that names the argument, nothing written.

using namespace rota;
using namespace rota_test;

namespace {

using full_context = context<bf16, window_queries, query_moments, rope_frequencies>;

constexpr index_t n = 30, kv_heads = 2, d_k = 16, d_v = 32, q_heads = 4, window = 5;
constexpr float inf = std::numeric_limits<float>::infinity();

struct good_call {
  random_source rng{1};
  random_layer<bf16> layer{rng, n, kv_heads, d_k, d_v};
  // Room for n + 1 rows: a spoiled view shall not reach into other memory of the call.
  std::vector<float> queries = std::vector<float>((n + 1) * q_heads * d_k, 0.5f);
  std::vector<float> mean = std::vector<float>(q_heads * d_k, 0.5f);
  std::vector<float> covariance = std::vector<float>(q_heads * d_k * d_k, 0.5f);
  std::vector<float> frequencies = std::vector<float>(d_k / 2, 0.5f);
  std::vector<group_mask> available = std::vector<group_mask>(kv_heads * n, 3);
  std::vector<float> out = std::vector<float>(kv_heads * n * 4, -77.0f);

  full_context c;
  view<float, 2> token_out{out.data(), kv_heads, n};
  view<float, 3> group_out{out.data(), kv_heads, n, d_v / 8};
  int width = 8;
  expected_attention::params expected;
  attention_mass::params mass;

  good_call() {
    c.keys = layer.context.keys;
    c.values = layer.context.values;
    c.queries = view<const float, 3>(queries.data(), window, q_heads, d_k);
    c.mean = view<const float, 2>(mean.data(), q_heads, d_k);
    c.covariance = view<const float, 3>(covariance.data(), q_heads, d_k, d_k);
    c.inverse_frequencies = view<const float, 1>(frequencies.data(), d_k / 2);
  }

  bool untouched() const {
    for (float x : out)
      if (x != -77.0f) return false;
    return true;
  }
};

/// Runs all scorers that `spoil` concerns and expects the same refusal of each.
struct refusal {
  const char* argument;
  errc code;
  bool tokens, groups, expected, mass;
  void (*spoil)(good_call&);
};

void expect(const status& s, const refusal& r, const good_call& call, const char* scorer) {
  CAPTURE(scorer);
  CAPTURE(r.argument);
  CHECK(s.code == r.code);
  CHECK(std::string(s.argument) == r.argument);
  CHECK(call.untouched());
}

void run(const refusal& r) {
  good_call call;
  const aligned_memory memory(1 << 20);
  r.spoil(call);
  const cpu::backend b;
  const workspace ws = memory.workspace();
  if (r.tokens) {
    expect(score_tokens(b, key_norm{}, {}, call.c, call.token_out, ws), r, call, "key_norm");
    expect(score_tokens(b, key_diff{}, {}, call.c, call.token_out, ws), r, call, "key_diff");
  }
  if (r.expected)
    expect(score_tokens(b, expected_attention{}, call.expected, call.c, call.token_out, ws), r,
           call, "expected_attention");
  if (r.groups)
    expect(score_groups(b, value_norm{}, {}, call.c, call.width, call.group_out, ws), r, call,
           "value_norm");
  if (r.mass)
    expect(score_groups(b, attention_mass{}, call.mass, call.c, call.width, call.group_out, ws), r,
           call, "attention_mass");
}

// clang-format off
const refusal table[] = {
    // every scorer
    {"keys", errc::null_view, true, true, true, true, [](good_call& g) { g.c.keys.data = nullptr; }},
    {"keys", errc::bad_shape, true, true, true, true, [](good_call& g) { g.c.keys.extent[0] = -1; }},
    {"keys", errc::bad_shape, true, true, true, true, [](good_call& g) { g.c.keys.extent[1] = 0; }},
    {"keys", errc::bad_shape, true, true, true, true, [](good_call& g) { g.c.keys.extent[2] = 0; }},
    {"keys", errc::bad_stride, true, true, true, true, [](good_call& g) { g.c.keys.stride[2] = 2; }},
    {"keys", errc::bad_stride, true, true, true, true, [](good_call& g) { g.c.keys.stride[0] = -1; }},
    {"values", errc::null_view, true, true, true, true, [](good_call& g) { g.c.values.data = nullptr; }},
    {"values", errc::bad_shape, true, true, true, true, [](good_call& g) { g.c.values.extent[0] = n - 1; }},
    {"values", errc::bad_shape, true, true, true, true, [](good_call& g) { g.c.values.extent[1] = 1; }},
    {"positions", errc::bad_shape, true, true, true, true, [](good_call& g) {
       static const position_t few[] = {0, 1};
       g.c.positions = view<const position_t, 1>(few, 2); }},
    {"positions", errc::bad_position, true, true, true, true, [](good_call& g) {
       static const position_t zeros[n] = {};
       g.c.positions = view<const position_t, 1>(zeros, n); }},
    {"available", errc::bad_shape, true, true, true, true, [](good_call& g) {
       g.c.available = view<const group_mask, 2>(g.available.data(), kv_heads, n - 1); }},
    // outputs
    {"out", errc::bad_shape, true, false, true, false, [](good_call& g) { g.token_out.extent[0] = 1; }},
    {"out", errc::bad_shape, true, false, true, false, [](good_call& g) { g.token_out.extent[1] = n + 1; }},
    {"out", errc::null_view, true, false, true, false, [](good_call& g) { g.token_out.data = nullptr; }},
    {"out", errc::bad_stride, true, false, true, false, [](good_call& g) { g.token_out.stride[0] = n - 1; }},
    {"out", errc::bad_shape, false, true, false, true, [](good_call& g) { g.group_out.extent[2] = 3; }},
    {"out", errc::null_view, false, true, false, true, [](good_call& g) { g.group_out.data = nullptr; }},
    {"out", errc::bad_stride, false, true, false, true, [](good_call& g) { g.group_out.stride[1] = 0; }},
    {"width", errc::bad_group_width, false, true, false, true, [](good_call& g) { g.width = 0; }},
    {"width", errc::bad_group_width, false, true, false, true, [](good_call& g) { g.width = -8; }},
    {"width", errc::bad_group_width, false, true, false, true, [](good_call& g) { g.width = 12; }},
    {"width", errc::bad_group_width, false, true, false, true, [](good_call& g) { g.width = 4; }},
    {"out", errc::overlapping_memory, true, false, true, false, [](good_call& g) {
       g.c.keys.data = reinterpret_cast<const bf16*>(g.out.data()); }},
    {"out", errc::overlapping_memory, false, true, false, true, [](good_call& g) {
       g.c.values.data = reinterpret_cast<const bf16*>(g.out.data()); }},
    {"out", errc::overlapping_memory, false, false, true, false, [](good_call& g) { g.c.mean.data = g.out.data(); }},
    {"out", errc::overlapping_memory, false, false, true, false, [](good_call& g) {
       g.c.covariance.data = g.out.data() - 8; }},
    {"out", errc::overlapping_memory, false, false, false, true, [](good_call& g) {
       g.c.queries.data = g.out.data(); }},
    // expected attention
    {"future_positions", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.expected.future_positions = 0; }},
    {"sinks", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.expected.sinks = -1; }},
    {"epsilon", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.expected.epsilon = -1; }},
    {"epsilon", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.expected.epsilon = inf; }},
    {"epsilon", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.expected.epsilon = NAN; }},
    {"mean", errc::null_view, false, false, true, false, [](good_call& g) { g.c.mean.data = nullptr; }},
    {"mean", errc::bad_shape, false, false, true, false, [](good_call& g) { g.c.mean = {}; }},
    {"mean", errc::bad_shape, false, false, true, false, [](good_call& g) { g.c.mean.extent[1] = d_k - 1; }},
    {"mean", errc::heads_not_divisible, false, false, true, false, [](good_call& g) { g.c.mean.extent[0] = 3; }},
    {"covariance", errc::null_view, false, false, true, false, [](good_call& g) { g.c.covariance.data = nullptr; }},
    {"covariance", errc::bad_shape, false, false, true, false, [](good_call& g) { g.c.covariance.extent[0] = 2; }},
    {"covariance", errc::bad_shape, false, false, true, false, [](good_call& g) { g.c.covariance.extent[2] = 8; }},
    {"inverse_frequencies", errc::bad_shape, false, false, true, false, [](good_call& g) { g.c.inverse_frequencies.extent[0] = 7; }},
    {"inverse_frequencies", errc::bad_shape, false, false, true, false, [](good_call& g) { g.c.rotary_channels = 8; }},
    {"rotary_channels", errc::bad_count, false, false, true, false, [](good_call& g) { g.c.rotary_channels = d_k + 2; }},
    {"rotary_channels", errc::bad_count, false, false, true, false, [](good_call& g) { g.c.rotary_channels = -2; }},
    {"pairing", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.c.pairing = static_cast<rope_pairing>(7); }},
    {"inverse_frequencies", errc::null_view, false, false, true, false, [](good_call& g) { g.c.inverse_frequencies.data = nullptr; }},
    {"scale", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.c.scale = 0; }},
    {"scale", errc::bad_parameter, false, false, true, false, [](good_call& g) { g.c.scale = NAN; }},
    // attention mass
    {"scale", errc::bad_parameter, false, false, false, true, [](good_call& g) { g.mass.scale = -1; }},
    {"scale", errc::bad_parameter, false, false, false, true, [](good_call& g) { g.mass.scale = NAN; }},
    {"queries", errc::null_view, false, false, false, true, [](good_call& g) { g.c.queries.data = nullptr; }},
    {"queries", errc::bad_shape, false, false, false, true, [](good_call& g) { g.c.queries = {}; }},
    {"queries", errc::bad_shape, false, false, false, true, [](good_call& g) { g.c.queries.extent[2] = 8; }},
    {"queries", errc::bad_shape, false, false, false, true, [](good_call& g) { g.c.queries.extent[0] = n + 1; }},
    {"queries", errc::heads_not_divisible, false, false, false, true, [](good_call& g) { g.c.queries.extent[1] = 3; }},
};
// clang-format on

/// A workspace one byte short, misaligned, null, or on top of the output.
template <class Bytes, class Call>
void check_workspace(good_call& call, Bytes bytes, Call score) {
  const std::size_t need = bytes();
  REQUIRE(need > 0);
  const aligned_memory memory(need + 64);
  for (const workspace ws : {workspace{memory.data(), need - 1}, workspace{memory.data() + 4, need},
                             workspace{nullptr, need}, workspace{}}) {
    const status s = score(ws);
    CHECK(s.code == errc::workspace_too_small);
    CHECK(std::string(s.argument) == "ws");
    CHECK(call.untouched());
  }
  const status s = score(workspace{call.out.data(), 64});
  CHECK(s.code == errc::overlapping_memory);
  CHECK(std::string(s.argument) == "ws");
  CHECK(call.untouched());
  CHECK(score(workspace{memory.data(), need}).ok());
  std::fill(call.out.begin(), call.out.end(), -77.0f);
}

}  // namespace

TEST_CASE("bad input to a scorer is refused by name and nothing is written") {
  for (const refusal& r : table) run(r);
}

TEST_CASE("a scorer's workspace must be large enough, aligned and apart") {
  good_call g;
  const cpu::backend b;
  const auto tokens = [&](auto scorer, auto params) {
    check_workspace(
        g, [&] { return cpu::score_tokens_workspace_bytes(b, scorer, params, g.c); },
        [&](workspace ws) { return score_tokens(b, scorer, params, g.c, g.token_out, ws); });
  };
  const auto groups = [&](auto scorer, auto params) {
    check_workspace(
        g, [&] { return cpu::score_groups_workspace_bytes(b, scorer, params, g.c, 8); },
        [&](workspace ws) { return score_groups(b, scorer, params, g.c, 8, g.group_out, ws); });
  };
  tokens(key_norm{}, key_norm::params{});
  tokens(key_diff{}, key_diff::params{});
  tokens(expected_attention{}, expected_attention::params{});
  groups(value_norm{}, value_norm::params{});
  groups(attention_mass{}, attention_mass::params{});
}

TEST_CASE("the workspace query of a bad context asks for nothing") {
  good_call g;
  g.c.keys.extent[0] = -5;
  const cpu::backend b;
  CHECK(cpu::score_tokens_workspace_bytes(b, key_norm{}, {}, g.c) == 0);
  CHECK(cpu::score_tokens_workspace_bytes(b, expected_attention{}, {}, g.c) == 0);
  CHECK(cpu::score_groups_workspace_bytes(b, attention_mass{}, {}, g.c, 8) == 0);
}

TEST_CASE("scores on positions, a workspace on queries: memory that the call reads") {
  good_call call;
  std::vector<position_t> positions(kv_heads * n);
  for (index_t i = 0; i < kv_heads * n; ++i)
    positions[static_cast<std::size_t>(i)] = static_cast<position_t>(i);
  call.c.positions = view<const position_t, 1>(positions.data(), n);
  const view<float, 2> on_positions(reinterpret_cast<float*>(positions.data()), kv_heads, n);
  const cpu::backend cpu;
  CHECK(cpu::score_tokens(cpu, key_norm{}, {}, call.c, on_positions, {}) ==
        errc::overlapping_memory);
  CHECK(positions[1] == 1);
  const status s =
      cpu::score_groups(cpu, attention_mass{}, call.mass, call.c, call.width, call.group_out,
                        {call.queries.data(), call.queries.size() * sizeof(float)});
  CHECK(s == errc::overlapping_memory);
  CHECK(std::string(s.argument) == "ws");
  CHECK(call.untouched());
  cpu::backend nobody;
  nobody.exec.threads = 0;
  CHECK(cpu::score_tokens(nobody, key_norm{}, {}, call.c, call.token_out, {}) == errc::bad_count);
}
