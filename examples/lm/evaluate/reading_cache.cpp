#include "evaluate/reading_cache.hpp"

#include <span>

#include <rota/cpu/attend.hpp>
#include <rota/cpu/read_select.hpp>

#include "engine/rota_call.hpp"

namespace rota_lm::eval {

layer_pages::layer_pages(const rota::dense_store<element>& store)
    : heads_(store.kv_heads()),
      capacity_((store.capacity() + page_tokens - 1) / page_tokens),
      pages_(count(1)),
      chosen_(count(1)),
      counts_(static_cast<std::size_t>(heads_)),
      chosen_counts_(counts_.size()),
      low_(count(store.d_k())),
      high_(count(store.d_k())) {
  const rota::index_t d = store.d_k();
  index.list = {rota::view<rota::page_ref, 2>(pages_.data(), heads_, capacity_),
                rota::view<std::int32_t, 1>(counts_.data(), heads_)};
  index.low = rota::view<element, 3>(low_.data(), heads_, capacity_, d);
  index.high = rota::view<element, 3>(high_.data(), heads_, capacity_, d);
  chosen = {rota::view<rota::page_ref, 2>(chosen_.data(), heads_, capacity_),
            rota::view<std::int32_t, 1>(chosen_counts_.data(), heads_)};
}

std::size_t layer_pages::count(rota::index_t each) const {
  return static_cast<std::size_t>(heads_ * capacity_ * each);
}

std::optional<rota::index_t> reading_cache::pages_for(const store_type& store, double ratio) {
  const rota::index_t tokens = store.length, row = 2 * store.d_k() * rota::index_t{sizeof(element)};
  const rota::index_t all = (tokens + layer_pages::page_tokens - 1) / layer_pages::page_tokens;
  const auto bounds =
      static_cast<double>(all * (row + static_cast<rota::index_t>(sizeof(rota::page_ref))) + 4);
  const double left = ratio * static_cast<double>(tokens * row) - bounds;
  const auto pages =
      static_cast<rota::index_t>(left / static_cast<double>(layer_pages::page_tokens * row));
  if (left < 0 || pages < 1) return {};
  return pages;
}

reading_cache::reading_cache(dense_cache<element>& cache, rota::index_t pages)
    : cache_(cache), budget_{pages} {
  for (std::size_t i = 0; i < cache.layers(); ++i) layers_.emplace_back(cache.store(i));
}

void reading_cache::truncate(std::size_t length) {
  cache_.truncate(length);
  for (layer_pages& l : layers_) l.forget();
}

void reading_cache::attend(const attention_call& call) {
  const std::string where = "read-select, layer " + std::to_string(call.layer);
  const rota_views all(call, cache_.config());
  layer_pages& pages = layers_.at(call.layer);
  for (rota::index_t i = 0; i < all.q.extent[0]; ++i) {
    require(cache_.append(call.layer, one(all.k, i), one(all.v, i)), where);
    const store_type& store = cache_.store(call.layer);
    const auto q = one(all.q, i);
    require(rota::cpu::index_pages(cache_.backend(), store, layer_pages::page_tokens, pages.index),
            where);
    const rota::workspace choice = scratch_.at_least(
        rota::cpu::select_pages_workspace_bytes(cache_.backend(), pages.index, q));
    require(
        rota::cpu::select_pages(cache_.backend(), pages.index, q, budget_, pages.chosen, choice),
        where);
    attend_part({&store, pages.chosen}, q, one(all.out, i), call.layer, where);
    read_ += bytes_of_bounds(pages.index, store);
    there_ +=
        static_cast<double>(store.length * store.kv_heads() * 2 * store.d_k()) * sizeof(element);
  }
}

double reading_cache::index_bytes() const {
  double sum = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    sum += bytes_of_bounds(layers_[i].index, cache_.store(i));
  }
  return sum;
}

template <class T>
rota::view<T, 3> reading_cache::one(rota::view<T, 3> rows, rota::index_t i) {
  rows.data += i * rows.stride[0];
  rows.extent[0] = 1;
  return rows;
}

double reading_cache::bytes_of_bounds(const rota::page_index<element>& index,
                                      const store_type& store) {
  double pages = 0;
  for (rota::index_t h = 0; h < store.kv_heads(); ++h) pages += index.list.counts(h);
  return pages * static_cast<double>(sizeof(rota::page_ref) +
                                     2 * static_cast<std::size_t>(store.d_k()) * sizeof(element)) +
         4.0 * static_cast<double>(store.kv_heads());
}

void reading_cache::attend_part(const part_type& part, const rota::view<const float, 3>& q,
                                const rota::view<float, 3>& out, std::size_t layer,
                                const std::string& where) {
  const rota::attend_item<part_type> item{q, &part, out, {}};
  const std::span<const rota::attend_item<part_type>> batch(&item, 1);
  const rota::attend_params p = attend_params_of(cache_.config(), layer);
  const rota::workspace ws =
      scratch_.at_least(rota::cpu::attend_workspace_bytes(cache_.backend(), batch, p));
  require(rota::cpu::attend(cache_.backend(), batch, p, ws), where);
  read_ += static_cast<double>(part.read_bytes());
}

}  // namespace rota_lm::eval
