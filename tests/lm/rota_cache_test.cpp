// Packed caches, against dense attention with what was dropped masked out.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "cache_setting.hpp"
#include "engine/dense_cache.hpp"
#include "engine/model.hpp"
#include "engine/packed_cache.hpp"
#include "engine/scoring_context.hpp"
#include "masked_cache.hpp"
#include "moment_oracle.hpp"
#include "span_compressor.hpp"
#include "temp_folder.hpp"

namespace {

using rota_lm::dense_cache;
using rota_lm::matrix;
using rota_lm::memory_account;
using rota_lm::packed_cache;
using rota_lm::prefill_record;
using rota_lm_test::error_of;
using rota_lm_test::masked_cache;
using rota_lm_test::names;
using rota_lm_test::one_line_with;
using rota_lm_test::prefix;
using rota_lm_test::run;
using rota_lm_test::setting;
using rota_lm_test::worst;

constexpr std::size_t room = 16;

using both =
    rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                    rota::groups<rota::value_norm, rota::keep_ratio>, rota::packed<float, 4>>;
using short_both = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                                   rota::groups<rota::value_norm, rota::keep_ratio>,
                                   rota::packed<rota::bf16, 8>, rota::mean_fill>;
using everything = rota::attention<rota::packed<rota::bf16, 8>>;
using spanning =
    rota::attention<rota::tokens<rota::key_norm, rota::global_top_m>,
                    rota::groups<rota::value_norm, rota::global_top_m>, rota::packed<float, 4>>;

using expecting =
    rota::attention<rota::tokens<rota::expected_attention, rota::keep_ratio>,
                    rota::groups<rota::attention_mass, rota::keep_ratio>, rota::packed<float, 4>>;

template <class Params>
Params ratios(double tokens, double groups) {
  Params p;
  p.protect = {2, 4};
  p.tokens.budget.ratio = tokens;
  p.groups.budget.ratio = groups;
  p.store.tail_capacity = room;
  return p;
}

/// What a compressor kept, as the oracle sees it.
template <class Op>
masked_cache masked(const rota_lm::span_compressor<Op, float>& kept,
                    const dense_cache<float>& dense) {
  masked_cache out(dense.config(), dense.next_position());
  const std::size_t d = dense.config().head_dim;
  for (std::size_t layer = 0; layer < dense.layers(); ++layer) {
    const rota::selection& s = kept.selection(layer);
    const auto& store = dense.store(layer);
    for (rota::index_t h = 0; h < s.kv_heads(); ++h) {
      for (rota::index_t i = 0; i < s.counts(h); ++i) {
        const rota::index_t token = s.indices(h, i);
        const float* k = store.keys.row(h, token);
        const float* v = store.values.row(h, token);
        masked_cache::entry e{static_cast<std::size_t>(token), {k, k + d}, {v, v + d}};
        for (std::size_t x = 0; x < d; ++x) {
          if ((s.masks(h, i) >> (x / Op::width) & 1) == 0) e.value[x] = 0;
        }
        out.keep(layer, static_cast<std::size_t>(h), std::move(e));
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a packed cache decodes as dense attention with what was dropped masked") {
  for (const std::string name : names) {
    CAPTURE(name);
    const setting s(name);
    using pair = std::pair<double, double>;
    for (const pair& kept : {pair(1, 1), pair(0.5, 1), pair(1, 0.5), pair(0.5, 0.5)}) {
      CAPTURE(kept.first);
      CAPTURE(kept.second);
      dense_cache<float> dense(s.lm.config(), prefix);
      prefill_record record(s.lm);
      s.lm.forward(s.context(), dense, 0, &record);
      const auto p = ratios<both::params>(kept.first, kept.second);
      rota_lm::span_compressor<both, float> compressor(dense, record, p);
      compressor.select(p);
      packed_cache packed(s.lm.config());
      compressor.pack(p, packed);
      CHECK(packed.sealed_bytes() == compressor.sealed_bytes(p));
      masked_cache oracle = masked(compressor, dense);
      const matrix expected = run(s.lm, s.rest(), oracle);
      CHECK(worst(run(s.lm, s.rest(), packed), expected) < 1e-3f);
    }
  }
}

TEST_CASE("the moments that scorers read are those of the queries before RoPE") {
  const setting s("qwen3");
  const rota_lm::model_config& c = s.lm.config();
  dense_cache<float> dense(c, prefix);
  prefill_record record(s.lm, 5);
  rota_lm_test::moment_oracle oracle(c);
  rota_lm::observers both_see({&record, &oracle});
  s.lm.forward(s.context().first(17), dense, 0, &both_see);
  s.lm.forward(s.context().subspan(17), dense, 0, &both_see);
  for (std::size_t layer = 0; layer < c.layers; ++layer) {
    const rota_lm::scoring_context<float> context(dense, record, layer);
    const auto& seen = context.get();
    CHECK(seen.tokens() == static_cast<rota::index_t>(prefix));
    CHECK(seen.queries.extent[0] == 5);
    for (std::size_t head = 0; head < c.q_heads; ++head) {
      const auto mean = oracle.mean(layer, head);
      const auto covariance = oracle.covariance(layer, head);
      for (Eigen::Index i = 0; i < mean.size(); ++i) {
        CHECK(seen.mean(head, i) == doctest::Approx(mean[i]).epsilon(1e-4));
        for (Eigen::Index j = 0; j < mean.size(); ++j) {
          CHECK(std::abs(seen.covariance(head, i, j) - covariance(i, j)) <
                1e-4 * covariance.trace());
        }
      }
    }
  }
  dense.truncate(prefix - 1);
  CHECK(one_line_with(error_of([&] { rota_lm::scoring_context<float> late(dense, record, 0); }),
                      "not of the same tokens"));
}

TEST_CASE("scorers that need the queries run on the model's own") {
  for (const std::string name : names) {
    CAPTURE(name);
    const setting s(name);
    dense_cache<float> dense(s.lm.config(), prefix);
    prefill_record record(s.lm, 8);
    s.lm.forward(s.context(), dense, 0, &record);
    const auto p = ratios<expecting::params>(0.6, 0.6);
    rota_lm::span_compressor<expecting, float> compressor(dense, record, p);
    compressor.select(p);
    packed_cache packed(s.lm.config());
    compressor.pack(p, packed);
    masked_cache oracle = masked(compressor, dense);
    const matrix expected = run(s.lm, s.rest(), oracle);
    CHECK(worst(run(s.lm, s.rest(), packed), expected) < 1e-3f);
  }
}

TEST_CASE("budgets that span the layers") {
  const setting s("llama");
  dense_cache<float> dense(s.lm.config(), prefix);
  prefill_record record(s.lm);
  s.lm.forward(s.context(), dense, 0, &record);
  spanning::params p;
  p.protect = {2, 4};
  p.tokens.budget.m = 100;
  p.groups.budget.m = 200;
  rota_lm::span_compressor<spanning, float> compressor(dense, record, p);
  compressor.select(p);
  rota::index_t tokens = 0, groups = 0;
  for (std::size_t layer = 0; layer < compressor.layers(); ++layer) {
    const rota::selection& kept = compressor.selection(layer);
    for (rota::index_t h = 0; h < kept.kv_heads(); ++h) {
      tokens += rota::count_head(kept, h).tokens;
      groups += rota::count_head(kept, h).groups;
    }
  }
  CHECK(tokens == 100);
  CHECK(groups == 200);
  packed_cache packed(s.lm.config());
  compressor.pack(p, packed);
  masked_cache oracle = masked(compressor, dense);
  const matrix expected = run(s.lm, s.rest(), oracle);
  CHECK(worst(run(s.lm, s.rest(), packed), expected) < 1e-3f);
}

TEST_CASE("the dense cache's memory is gone before the packed cache decodes") {
  const setting s("qwen3");
  memory_account account;
  auto dense = std::make_unique<dense_cache<rota::bf16>>(s.lm.config(), prefix,
                                                         rota::cpu::backend{}, &account);
  prefill_record record(s.lm);
  s.lm.forward(s.context(), *dense, 0, &record);
  CHECK(account.live_bytes() == dense->used_bytes());
  packed_cache packed(s.lm.config(), {}, &account);
  rota_lm::compress<short_both>(*dense, record, ratios<short_both::params>(0.5, 0.5), packed);
  const std::size_t dense_bytes = dense->used_bytes();
  dense.reset();
  CHECK(account.live_bytes() == packed.allocated_bytes());
  CHECK(packed.sealed_bytes() < dense_bytes);
  CHECK(account.peak_bytes() >= dense_bytes + packed.allocated_bytes());
  const matrix logits = run(s.lm, s.rest(), packed);
  CHECK(logits.allFinite());
  CHECK(account.live_bytes() == packed.allocated_bytes());
}

TEST_CASE("a packed cache takes appended tokens back") {
  const setting s("mistral");
  dense_cache<float> dense(s.lm.config(), prefix);
  prefill_record record(s.lm);
  s.lm.forward(s.context(), dense, 0, &record);
  packed_cache packed(s.lm.config());
  rota_lm::compress<both>(dense, record, ratios<both::params>(0.5, 0.5), packed);
  CHECK(packed.next_position() == prefix);
  const matrix first = run(s.lm, s.rest(), packed);
  packed.truncate(prefix);
  CHECK(worst(run(s.lm, s.rest(), packed), first) == 0);
  CHECK_FALSE(error_of([&] { packed.truncate(prefix - 1); }).empty());
  CHECK(one_line_with(error_of([&] {
                        run(s.lm, s.rest(), packed);
                        run(s.lm, s.rest(), packed);
                      }),
                      "tail of the store is full"));
}

TEST_CASE("each layer may have its own operator") {
  const setting s("llama");
  using any_op = rota::any_op<both, short_both, everything>;
  const auto half = ratios<both::params>(0.5, 0.5);
  everything::params all;
  all.store.tail_capacity = room;
  std::vector<any_op> ops = {any_op::of<everything>(all),
                             any_op::of<short_both>(ratios<short_both::params>(0.5, 0.5)),
                             any_op::of<both>(half)};
  dense_cache<float> dense(s.lm.config(), prefix);
  prefill_record record(s.lm);
  s.lm.forward(s.context(), dense, 0, &record);
  packed_cache packed(s.lm.config());
  rota_lm::compress_each<float>(dense, record, std::span<const any_op>(ops), packed);
  CHECK(packed.layers() == 3);
  CHECK(run(s.lm, s.rest(), packed).allFinite());
  packed_cache empty(s.lm.config());
  ops.pop_back();
  CHECK(one_line_with(error_of([&] {
                        rota_lm::compress_each<float>(dense, record, std::span<const any_op>(ops),
                                                      empty);
                      }),
                      "one operator for each layer"));
  CHECK(one_line_with(error_of([&] { run(s.lm, s.rest(), empty); }), "was not compressed"));
}

TEST_CASE("a ratio is found that fits a number of bytes") {
  const setting s("llama");
  dense_cache<float> dense(s.lm.config(), s.ids.size());
  prefill_record record(s.lm);
  s.lm.forward(s.ids, dense, 0, &record);
  rota_lm::span_compressor<both, float> compressor(dense, record, both::params{});
  const auto set_tokens = [](both::params& p, double ratio) { p.tokens.budget.ratio = ratio; };
  for (const double budget : {0.9, 0.75, 0.6}) {
    const auto bytes = static_cast<std::size_t>(budget * static_cast<double>(dense.used_bytes()));
    const both::params p =
        rota_lm::fit_ratio(compressor, ratios<both::params>(0, 0.5), bytes, set_tokens);
    CHECK(compressor.sealed_bytes(p) <= bytes);
    both::params more = p;
    more.tokens.budget.ratio += 0.05;
    if (more.tokens.budget.ratio <= 1) {
      compressor.select(more);
      CHECK(compressor.sealed_bytes(more) > bytes);
    }
  }
  CHECK_FALSE(error_of([&] {
                rota_lm::fit_ratio(compressor, ratios<both::params>(0, 0.5), 100, set_tokens);
              }).empty());
}
