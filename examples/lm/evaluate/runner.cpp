#include "evaluate/runner.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include <rota/cpu/backend.hpp>
#include <rota/select/selection.hpp>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "engine/predictor_file.hpp"
#include "evaluate/answer.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/reading_cache.hpp"

namespace rota_lm::eval {

runner::runner(const options& o, const model& lm, const tokenizer& text, shared_extras shared,
               counting_memory& memory, progress& shown, journal* past)
    : options_(o),
      lm_(lm),
      text_(text),
      shared_(shared),
      memory_(memory),
      progress_(shown),
      past_(past) {}

void runner::run(evaluation& e) {
  for (row_result& row : e.rows) {
    for (const task& t : e.tasks) row.outcomes[t.name].resize(t.samples);
  }
  for (const task& t : e.tasks) {
    for (std::size_t first = 0; first < t.samples; first += batch_size()) {
      run_batch(e, {t, first, std::min(first + batch_size(), t.samples)});
    }
  }
}

double runner::work(const evaluation& e) {
  double samples = 0;
  for (const task& t : e.tasks) samples += static_cast<double>(t.samples);
  return samples;
}

void runner::run_batch(evaluation& e, const batch_range& range) {
  const std::vector<bool> wanted = recall(e, range);
  std::vector<waiting> batch(range.last - range.first);
  const std::string& stage = range.of.name;
  if (std::find(wanted.begin(), wanted.end(), true) == wanted.end()) {
    progress_.add(static_cast<double>(batch.size()), stage);
    return;
  }
  in_parallel(options_.threads, batch.size(), [&](std::size_t i) {
    begin(e, wanted, range.of, range.first + i, batch[i]);
    progress_.add(0.5, stage);
  });
  check_accounts(batch);
  in_parallel(options_.threads, batch.size(), [&](std::size_t i) {
    finish(e, range.of.name, range.first + i, batch[i]);
    progress_.add(0.5, stage);
  });
  for (std::size_t r = 0; r < e.rows.size(); ++r) {
    if (wanted[r]) conclude(e.rows[r], r, range, batch);
  }
}

std::vector<bool> runner::recall(evaluation& e, const batch_range& range) const {
  std::vector<bool> wanted(e.rows.size(), true);
  for (std::size_t r = 0; r < e.rows.size() && past_ != nullptr; ++r) {
    row_result& row = e.rows[r];
    const journal_entry* known =
        past_->find(journal_name(row), range.of.name, range.first, range.last);
    if (known == nullptr) continue;
    wanted[r] = false;
    row.bytes += known->bytes;
    if (!known->failure.empty()) row.failure = known->failure;
    std::copy(known->outcomes.begin(), known->outcomes.end(),
              row.outcomes[range.of.name].begin() + static_cast<std::ptrdiff_t>(range.first));
  }
  return wanted;
}

void runner::conclude(row_result& row, std::size_t r, const batch_range& range,
                      const std::vector<waiting>& batch) {
  journal_entry entry;
  for (const waiting& w : batch) {
    entry.bytes += w.bytes[r];
    if (!w.failures[r].empty()) entry.failure = w.failures[r];
  }
  row.bytes += entry.bytes;
  if (!entry.failure.empty()) row.failure = entry.failure;
  if (past_ == nullptr) return;
  const auto begin = row.outcomes[range.of.name].begin();
  entry.outcomes.assign(begin + static_cast<std::ptrdiff_t>(range.first),
                        begin + static_cast<std::ptrdiff_t>(range.last));
  past_->add(journal_name(row), range.of.name, range.first, entry);
}

std::string runner::journal_name(const row_result& row) const {
  const method& m = row.spec.how;
  const std::string name = row.spec.title() + " = " + describe(m.tokens) + "+" + describe(m.groups);
  return m.uses_predictor() ? name + " by predictor " + predictor_identity(*shared_.predictor)
                            : name;
}

void runner::begin(evaluation& e, const std::vector<bool>& wanted, const task& t,
                   std::size_t number, waiting& out) {
  out.sample = t.make(number);
  out.caches.resize(e.rows.size());
  out.bytes.resize(e.rows.size());
  out.failures.resize(e.rows.size());
  prefilled prefill(lm_, out.sample, options_, memory_, shared_);
  compressor compress = prefill.make_compressor(options_);
  std::optional<adapted_compressor> adapted;
  if (shared_.routing != nullptr) adapted.emplace(prefill.make_adapted());
  for (std::size_t r = 0; r < e.rows.size(); ++r) {
    if (!wanted[r] || !e.rows[r].spec.packed()) continue;
    if (e.rows[r].spec.how.adapted) {
      adapted->select(*e.rows[r].spec.how.rho);
      pack_row(r, prefill.dense(), *adapted, out);
      continue;
    }
    compress_row(e.rows[r], r, prefill.dense(), compress, out);
    if (out.caches[r] && wants_retention(e, r, t, number)) {
      const std::lock_guard lock(guard_);
      e.retention.push_back(look_at(compress, e.rows[r].spec, out.sample));
    }
  }
  for (std::size_t r = 0; r < e.rows.size(); ++r) {
    row_result& row = e.rows[r];
    if (!wanted[r]) continue;
    if (row.spec.reading()) read_row(row, r, t.name, number, prefill.dense(), out);
    if (row.spec.what == row_spec::kind::dense) {
      row.outcomes[t.name][number] =
          answer(lm_, text_, out.sample, out.sample.prompt, prefill.dense());
      prefill.dense().truncate(out.sample.compressed());
    } else if (row.spec.what == row_spec::kind::no_context) {
      dense_cache<element> empty(lm_.config(), out.sample.question.size() + out.sample.room(), {},
                                 &memory_.dense);
      row.outcomes[t.name][number] = answer(lm_, text_, out.sample, out.sample.question, empty);
    }
  }
}

void runner::finish(evaluation& e, const std::string& name, std::size_t number, waiting& w) {
  for (std::size_t r = 0; r < e.rows.size(); ++r) {
    if (!w.caches[r]) continue;
    memory_.packed_row_decodes();
    e.rows[r].outcomes[name][number] = answer(lm_, text_, w.sample, w.sample.prompt, *w.caches[r]);
    memory_.packed_row_decodes();
    w.caches[r].reset();
  }
}

void runner::read_row(row_result& row, std::size_t r, const std::string& name, std::size_t number,
                      dense_cache<element>& dense, waiting& out) const {
  using reader_type = reading_cache;
  dense.truncate(out.sample.compressed());
  const auto pages = reader_type::pages_for(dense.store(0), row.spec.kv_budget);
  if (!pages) {
    out.failures[r] = "budget_too_small: the bounds of the pages and one page are more";
    return;
  }
  reader_type reader(dense, *pages);
  byte_sums& b = out.bytes[r];
  b.dense = static_cast<double>(dense.used_bytes());
  row.outcomes[name][number] = answer(lm_, text_, out.sample, out.sample.prompt, reader);
  b.read = b.dense * reader.read_bytes() / reader.dense_bytes();
  b.packed = b.dense + reader.index_bytes();
  reader.truncate(out.sample.compressed());
  b.worst_ratio = b.packed / b.dense;
}

void runner::compress_row(const row_result& row, std::size_t r, const dense_cache<element>& dense,
                          compressor& compress, waiting& out) const {
  const double dense_bytes = static_cast<double>(dense.used_bytes());
  const auto bytes = static_cast<std::size_t>(row.spec.kv_budget * dense_bytes);
  if (!compress.fit(row.spec.how, options_.rho, bytes)) {
    out.failures[r] = "budget_too_small: " + std::to_string(bytes) +
                      " bytes cannot hold what must be kept of " +
                      std::to_string(out.sample.compressed()) + " tokens";
    return;
  }
  pack_row(r, dense, compress, out);
}

template <class Compressor>
void runner::pack_row(std::size_t r, const dense_cache<element>& dense, Compressor& compress,
                      waiting& out) const {
  out.caches[r] =
      std::make_unique<packed_cache>(lm_.config(), rota::cpu::backend{}, &memory_.packed);
  compress.pack(out.sample.room(), *out.caches[r]);
  const kept_counts kept = compress.kept();
  byte_sums& b = out.bytes[r];
  b.packed = static_cast<double>(measured_bytes(*out.caches[r]));
  b.dense = static_cast<double>(dense.used_bytes());
  b.read = b.packed;
  b.worst_ratio = b.packed / b.dense;
  b.tokens = static_cast<double>(kept.tokens);
  b.all_tokens = static_cast<double>(kept.all_tokens);
  b.groups = static_cast<double>(kept.groups);
  b.all_groups = b.tokens * compress.groups();
}

void runner::check_accounts(const std::vector<waiting>& batch) const {
  std::size_t held = 0;
  for (const waiting& w : batch) {
    for (const auto& cache : w.caches) held += cache ? cache->allocated_bytes() : 0;
  }
  if (held != memory_.packed.live_bytes()) {
    fail("memory", "the allocator counts " + std::to_string(memory_.packed.live_bytes()) +
                       " packed bytes, the rows hold " + std::to_string(held));
  }
}

bool runner::wants_retention(const evaluation& e, std::size_t row, const task& t,
                             std::size_t number) const {
  const auto needle = std::find_if(e.tasks.begin(), e.tasks.end(),
                                   [](const task& x) { return x.name == "needle"; });
  const task& wanted = needle == e.tasks.end() ? e.tasks[0] : *needle;
  const method& mine = e.rows[row].spec.how;
  if (number != 0 || t.name != wanted.name || !mine.groups) return false;
  const auto distance = [](const row_spec& s) {
    return std::abs(s.kv_budget - (s.how.tokens ? 0.375 : 0.75));
  };
  for (const row_result& r : e.rows) {
    if (r.spec.how.name == mine.name && distance(r.spec) < distance(e.rows[row].spec)) {
      return false;
    }
  }
  return true;
}

retention_map runner::look_at(const compressor& c, const row_spec& row,
                              const prepared& sample) const {
  retention_map map;
  map.row = row.title();
  map.layers = c.layers();
  map.heads = lm_.config().kv_heads;
  map.tokens = sample.compressed();
  map.groups = c.groups();
  map.window = std::max(options_.window, sample.question_prefilled) - sample.taken_back;
  if (sample.question_prefilled > 0) map.question = sample.question_prefilled - sample.taken_back;
  map.depth = sample.depth;
  map.kept.assign(map.layers * map.heads * map.tokens, retention_map::evicted);
  for (std::size_t layer = 0; layer < map.layers; ++layer) {
    const rota::selection& s = c.selection(layer);
    for (std::size_t h = 0; h < map.heads; ++h) {
      for (std::int32_t i = 0; i < s.counts(h); ++i) {
        map.kept[(layer * map.heads + h) * map.tokens + static_cast<std::size_t>(s.indices(h, i))] =
            static_cast<std::int8_t>(__builtin_popcount(s.masks(h, i)));
      }
    }
  }
  return map;
}

}  // namespace rota_lm::eval
