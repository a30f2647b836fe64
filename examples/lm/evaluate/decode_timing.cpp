#include "evaluate/decode_timing.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <rota/cpu/backend.hpp>

#include "evaluate/prefill.hpp"

namespace rota_lm::eval {

double median(std::vector<double> values) {
  if (values.empty()) return unknown;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

namespace {

constexpr std::size_t decode_steps = 16;

constexpr int decode_rounds = 25;

/// Milliseconds a token of decoding `ids` one by one; the cache is as before afterwards.
double decode_once(const model& lm, attention_cache& cache, std::span<const token_id> ids) {
  using clock = std::chrono::steady_clock;
  const std::size_t length = cache.next_position();
  const auto start = clock::now();
  for (const token_id& id : ids) lm.forward(std::span(&id, 1), cache);
  const std::chrono::duration<double, std::milli> took = clock::now() - start;
  cache.truncate(length);
  return took.count() / static_cast<double>(ids.size());
}

double decode_median(const model& lm, attention_cache& cache, std::span<const token_id> ids) {
  std::vector<double> rounds(decode_rounds);
  for (double& round : rounds) round = decode_once(lm, cache, ids);
  return median(std::move(rounds));
}

/// A sample that lasts decode_steps tokens: what its prompt says, again and again.
prepared long_sample(const task& t) {
  prepared p = t.make(0);
  token_ids ids = p.question;
  while (ids.size() < decode_steps) ids.push_back(ids[ids.size() - p.question.size()]);
  ids.resize(decode_steps);
  p.answers = {ids};
  return p;
}

}  // namespace

void time_decoding(const model& lm, const task& t, const options& o, shared_extras shared,
                   counting_memory& memory, std::vector<row_result>& rows) {
  const prepared sample = long_sample(t);
  const std::span<const token_id> ids = sample.answers[0];
  std::vector<std::unique_ptr<packed_cache>> caches(rows.size());
  {
    prefilled prefill(lm, sample, o, memory, shared);
    compressor compress = prefill.make_compressor(o);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const row_spec& spec = rows[r].spec;
      if (spec.what == row_spec::kind::dense) {
        rows[r].decode_ms = decode_median(lm, prefill.dense(), ids);
      } else if (spec.what == row_spec::kind::no_context) {
        dense_cache<element> empty(lm.config(), ids.size(), {}, &memory.dense);
        rows[r].decode_ms = decode_median(lm, empty, ids);
      } else if (spec.how.adapted) {
        caches[r] =
            std::make_unique<packed_cache>(lm.config(), rota::cpu::backend{}, &memory.packed);
        adapted_compressor adapted = prefill.make_adapted();
        adapted.select(*spec.how.rho);
        adapted.pack(sample.room(), *caches[r]);
      } else if (spec.packed() && rows[r].failure.empty()) {
        const auto bytes = static_cast<std::size_t>(
            spec.kv_budget * static_cast<double>(prefill.dense().used_bytes()));
        if (!compress.fit(spec.how, o.rho, bytes)) continue;
        caches[r] =
            std::make_unique<packed_cache>(lm.config(), rota::cpu::backend{}, &memory.packed);
        compress.pack(sample.room(), *caches[r]);
      }
    }
  }
  std::vector<std::vector<double>> rounds(rows.size());
  for (int i = 0; i < decode_rounds; ++i) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (!caches[r]) continue;
      memory.packed_row_decodes();
      rounds[r].push_back(decode_once(lm, *caches[r], ids));
    }
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (caches[r]) rows[r].decode_ms = median(std::move(rounds[r]));
  }
}

}  // namespace rota_lm::eval
