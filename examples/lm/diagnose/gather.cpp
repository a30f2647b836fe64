#include "diagnose/gather.hpp"

#include <span>
#include <utility>

#include <rota/core/types.hpp>

#include "diagnose/output_error.hpp"
#include "engine/packed_cache.hpp"
#include "engine/progress.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/task_list.hpp"

namespace rota_lm::diagnose {

const head_sums& diagnosis::at(std::size_t layer, std::size_t head) const {
  return sums[layer * heads + head];
}

eval::method with_oracle(eval::method m) {
  if (m.tokens) m.tokens->scorer = eval::token_scorer::oracle;
  if (m.groups) m.groups->scorer = eval::group_scorer::oracle;
  return m;
}

gatherer::gatherer(const eval::options& o, const model& lm, const tokenizer& text,
                   eval::shared_extras shared)
    : options_(o), lm_(lm), tasks_(eval::make_tasks(o, lm.config(), text)), shared_(shared) {
  for (eval::row_spec& row : eval::list_rows(o.methods, o.budgets, o.every_token_budgets)) {
    if (row.packed()) out_.emplace_back().row = std::move(row);
  }
  // So that the answer's queries are looked at.
  options_.methods.push_back(with_oracle(
      eval::parse_method("key_norm:keep_ratio+value_norm:keep_ratio", {}, {}, {}, "diagnose")));
}

std::vector<diagnosis> gatherer::run() {
  double total = 0;
  for (const eval::task& t : tasks_) total += static_cast<double>(t.samples);
  progress shown("diagnose", total);
  for (const eval::task& t : tasks_) {
    for (std::size_t i = 0; i < t.samples; ++i) {
      add(t.make(i));
      shown.add(1, t.name);
    }
  }
  return std::move(out_);
}

void gatherer::add(const eval::prepared& sample) {
  eval::counting_memory memory;
  eval::prefilled prefill(lm_, sample, options_, memory, shared_);
  eval::compressor compress = prefill.make_compressor(options_);
  for (diagnosis& d : out_) {
    const auto bytes = static_cast<std::size_t>(d.row.kv_budget *
                                                static_cast<double>(prefill.dense().used_bytes()));
    const auto fitted = compress.fit(d.row.how, options_.rho, bytes);
    if (!fitted) {
      ++d.too_small;
      continue;
    }
    add(d, sample, prefill, compress, *fitted);
  }
}

void gatherer::add(diagnosis& d, const eval::prepared& sample, eval::prefilled& prefill,
                   eval::compressor& compress, const eval::fractions& fitted) {
  const model_config& c = lm_.config();
  d.layers = c.layers;
  d.heads = c.kv_heads;
  d.groups = static_cast<std::size_t>(compress.groups());
  d.sums.resize(d.layers * d.heads);
  packed_cache cache(c);
  compress.pack(sample.room(), cache);
  const std::vector<head_view> kept = views(compress, sample);
  if (!compress.try_select(with_oracle(d.row.how), fitted)) return;
  const std::vector<head_view> chosen = views(compress, sample);
  const rota::protection protect{static_cast<rota::index_t>(options_.sinks),
                                 static_cast<rota::index_t>(prefill.protected_window())};
  for (std::size_t layer = 0; layer < d.layers; ++layer) {
    const std::vector<double> errors =
        output_errors(prefill, prefill.dense(), cache, c, layer, sample.taken_back);
    const eval::scored<3>& oracle = prefill.oracle()[layer];
    for (std::size_t h = 0; h < d.heads; ++h) {
      const std::size_t at = layer * d.heads + h;
      const std::size_t count = sample.compressed() * d.groups;
      add_sample(d.sums[at], kept[at], chosen[at],
                 std::span(oracle.memory).subspan(h * count, count), d.groups, protect);
      d.sums[at].output_error += errors[h];
    }
  }
}

std::vector<head_view> gatherer::views(const eval::compressor& c,
                                       const eval::prepared& sample) const {
  std::vector<head_view> out;
  for (std::size_t layer = 0; layer < c.layers(); ++layer) {
    for (std::size_t h = 0; h < lm_.config().kv_heads; ++h) {
      out.push_back(
          view_head(c.selection(layer), static_cast<rota::index_t>(h), sample.compressed()));
    }
  }
  return out;
}

}  // namespace rota_lm::diagnose
