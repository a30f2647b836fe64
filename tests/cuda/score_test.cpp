#include <rota/cuda/score.cuh>
#include <rota/score/key_diff.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/reference.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/score/window_sink.hpp>

#include "cuda/device_case.hpp"

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::device_array;
using rota_test::device_layer;
using rota_test::gpu;
using rota_test::random_layer;

/// As a user writes a scorer, reading everything that a token offers.
struct everything {
  using policy_kind = rota::token_scorer_tag;
  struct params {
    float weight = 0.5f;
  };
  ROTA_HD static float score(const params& p, const rota::token_ref& t) {
    float sum = 0;
    for (int i = 0; i < t.d_k; ++i) sum += t.key[i] * t.key[i];
    for (int i = 0; i < t.d_v; ++i) sum += p.weight * t.value[i];
    return sum + 0.01f * static_cast<float>(t.position) + 10.0f * static_cast<float>(t.kv_head) +
           static_cast<float>(t.index) / static_cast<float>(t.tokens);
  }
};

template <class Scorer, rota::element E>
std::vector<float> token_scores(std::uint64_t seed, const random_layer<E>& layer) {
  const gpu g(seed);
  const device_layer<E> rows(layer);
  const index_t heads = layer.context.kv_heads(), n = layer.context.tokens();
  const device_array<float> out(static_cast<std::size_t>(heads * n));
  const rota_test::device_workspace ws(
      rota::cuda::score_tokens_workspace_bytes(g.backend(), Scorer{}, {}, rows.context));
  REQUIRE(rota::cuda::score_tokens(g.backend(), Scorer{}, {}, rows.context,
                                   rota::view<float, 2>(out.data(), heads, n), ws.get())
              .ok());
  REQUIRE(g.result().ok());
  return out.download();
}

/// The same scores, computed here from rows of floats.
template <class Scorer, rota::element E>
std::vector<float> plain_scores(const random_layer<E>& layer) {
  const auto& c = layer.context;
  std::vector<float> out;
  const auto floats = [](const E* row, index_t d) {
    std::vector<float> x;
    for (index_t i = 0; i < d; ++i) x.push_back(static_cast<float>(row[i]));
    return x;
  };
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    std::vector<std::vector<float>> keys, values;
    std::vector<rota::token_ref> tokens;
    for (index_t i = 0; i < c.tokens(); ++i) {
      keys.push_back(floats(c.keys.row(i, h), c.d_k()));
      values.push_back(floats(c.values.row(i, h), c.d_v()));
    }
    for (index_t i = 0; i < c.tokens(); ++i)
      tokens.push_back({keys[static_cast<std::size_t>(i)].data(),
                        values[static_cast<std::size_t>(i)].data(), static_cast<int>(c.d_k()),
                        static_cast<int>(c.d_v()), static_cast<int>(h),
                        static_cast<int>(c.kv_heads()), i, c.tokens(), c.position(i)});
    if constexpr (rota::reduced_token_scorer<Scorer>) {
      std::vector<float> sums(static_cast<std::size_t>(c.d_k()));
      for (const auto& t : tokens) Scorer::accumulate({}, t, sums.data());
      Scorer::finish({}, tokens[0], sums.data());
      for (const auto& t : tokens) out.push_back(Scorer::score({}, t, sums.data()));
    } else {
      for (const auto& t : tokens) out.push_back(Scorer::score({}, t));
    }
  }
  return out;
}

void check_close(const std::vector<float>& got, const std::vector<float>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(1e-5));
}

TEST_CASE("pointwise token scorers") {
  rota_test::random_source rng(1);
  const random_layer<bf16> layer(rng, 150, 2, 64, 64, true);
  const random_layer<f16> odd(rng, 70, 3, 24, 40);
  const random_layer<float> floats(rng, 64, 1, 8, 4);
  rota_test::for_each_schedule([&](std::uint64_t seed) {
    check_close(token_scores<rota::key_norm>(seed, layer), plain_scores<rota::key_norm>(layer));
    check_close(token_scores<rota::window_sink>(seed, layer),
                plain_scores<rota::window_sink>(layer));
    check_close(token_scores<everything>(seed, layer), plain_scores<everything>(layer));
    check_close(token_scores<everything>(seed, odd), plain_scores<everything>(odd));
    check_close(token_scores<everything>(seed, floats), plain_scores<everything>(floats));
  });
}

TEST_CASE("reduced token scorers") {
  rota_test::random_source rng(2);
  const random_layer<bf16> layer(rng, 200, 2, 64, 64);
  rota_test::for_each_schedule([&](std::uint64_t seed) {
    check_close(token_scores<rota::key_diff>(seed, layer), plain_scores<rota::key_diff>(layer));
  });
  // More blocks of tokens than warps that add them up, sums that fill no row of lanes.
  const random_layer<bf16> longer(rng, 1100, 1, 40, 8);
  const std::vector<float> first = token_scores<rota::key_diff>(0, longer);
  check_close(first, plain_scores<rota::key_diff>(longer));
  CHECK(token_scores<rota::key_diff>(3, longer) == first);
}

TEST_CASE("pointwise group scorers, and a length in device memory") {
  rota_test::random_source rng(3);
  const random_layer<bf16> layer(rng, 100, 2, 64, 64);
  const device_layer<bf16> rows(layer);
  const device_array<std::int32_t> length(std::vector<std::int32_t>{70});
  for (const bool shorter : {false, true}) {
    const gpu g;
    auto ctx = rows.context;
    if (shorter) ctx.device_tokens = length.data();
    const device_array<float> out(2 * 100 * 4);
    REQUIRE(rota::cuda::score_groups(g.backend(), rota::value_norm{}, {}, ctx, 16,
                                     rota::view<float, 3>(out.data(), 2, 100, 4), {})
                .ok());
    REQUIRE(g.result().ok());
    const std::vector<float> got = out.download();
    for (index_t h = 0; h < 2; ++h)
      for (index_t i = 0; i < 100; ++i)
        for (index_t s = 0; s < 4; ++s) {
          const float score = got[static_cast<std::size_t>((h * 100 + i) * 4 + s)];
          double sum = 0;
          for (index_t c = 16 * s; c < 16 * (s + 1); ++c) {
            const auto x = static_cast<double>(static_cast<float>(layer.context.values(i, h, c)));
            sum += x * x;
          }
          if (shorter && i >= 70)
            CHECK(score != score);  // not written
          else
            CHECK(score == doctest::Approx(std::sqrt(sum)).epsilon(1e-5));
        }
  }
}

TEST_CASE("what the host can see is refused") {
  rota_test::random_source rng(4);
  const random_layer<bf16> layer(rng, 10, 1, 8, 8);
  const device_layer<bf16> rows(layer);
  const gpu g;
  const device_array<float> out(10);
  const auto score = [&](const rota::cuda::backend& b, index_t tokens, float* to) {
    return rota::cuda::score_tokens(b, rota::key_norm{}, {}, rows.context,
                                    rota::view<float, 2>(to, 1, tokens), {});
  };
  CHECK(score(g.backend(), 9, out.data()) == rota::errc::bad_shape);
  CHECK(score(g.backend(), 10, nullptr) == rota::errc::null_view);
  rota::cuda::backend none = g.backend();
  none.fault = nullptr;
  CHECK(score(none, 10, out.data()) == rota::errc::null_view);
  none = g.backend();
  none.device.architecture = 75;
  CHECK(score(none, 10, out.data()) == rota::errc::unsupported);
}

}  // namespace
