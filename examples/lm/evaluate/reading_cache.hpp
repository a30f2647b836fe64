// Read-select over a dense cache: everything stays, and a step reads the pages that its query may
// care for (Quest).
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <rota/cpu/read_select.hpp>

#include "engine/dense_cache.hpp"
#include "engine/rota_call.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/sequence.hpp"

namespace rota_lm::eval {

/// The pages of a layer's store: the library's index with its memory.
class layer_pages {
 public:
  static constexpr rota::index_t page_tokens = 16;

  /// Room for the whole capacity of the store.
  explicit layer_pages(const rota::dense_store<element>& store)
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
  layer_pages(layer_pages&&) noexcept = default;  // vectors keep their memory

  rota::page_index<element> index;
  rota::page_list chosen;

  void forget() { std::fill(counts_.begin(), counts_.end(), 0); }

 private:
  std::size_t count(rota::index_t each) const {
    return static_cast<std::size_t>(heads_ * capacity_ * each);
  }

  rota::index_t heads_, capacity_;
  std::vector<rota::page_ref> pages_, chosen_;
  std::vector<std::int32_t> counts_, chosen_counts_;
  std::vector<element> low_, high_;
};

/// A dense cache that is read in part. Refers to the cache.
class reading_cache final : public attention_cache {
 public:
  using store_type = rota::dense_store<element>;
  using part_type = rota::page_view<store_type>;

  /// Pages a head that may be read of a layer so that they and the bounds of all its pages take at
  /// most `ratio` of what is there; nothing where not even the last page may be.
  static std::optional<rota::index_t> pages_for(const store_type& store, double ratio) {
    const rota::index_t tokens = store.length,
                        row = 2 * store.d_k() * rota::index_t{sizeof(element)};
    const rota::index_t all = (tokens + layer_pages::page_tokens - 1) / layer_pages::page_tokens;
    const auto bounds =
        static_cast<double>(all * (row + static_cast<rota::index_t>(sizeof(rota::page_ref))) + 4);
    const double left = ratio * static_cast<double>(tokens * row) - bounds;
    const auto pages =
        static_cast<rota::index_t>(left / static_cast<double>(layer_pages::page_tokens * row));
    if (left < 0 || pages < 1) return {};
    return pages;
  }

  reading_cache(dense_cache<element>& cache, rota::index_t pages) : cache_(cache), budget_{pages} {
    for (std::size_t i = 0; i < cache.layers(); ++i) layers_.emplace_back(cache.store(i));
  }

  std::size_t next_position() const override { return cache_.next_position(); }
  void advance(std::size_t tokens) override { cache_.advance(tokens); }
  void truncate(std::size_t length) override {
    cache_.truncate(length);
    for (layer_pages& l : layers_) l.forget();
  }

  /// Token by token, as decoding would: each chooses its own pages.
  void attend(const attention_call& call) override {
    const std::string where = "read-select, layer " + std::to_string(call.layer);
    const rota_views all(call, cache_.config());
    layer_pages& pages = layers_.at(call.layer);
    for (rota::index_t i = 0; i < all.q.extent[0]; ++i) {
      require(cache_.append(call.layer, one(all.k, i), one(all.v, i)), where);
      const store_type& store = cache_.store(call.layer);
      const auto q = one(all.q, i);
      require(
          rota::cpu::index_pages(cache_.backend(), store, layer_pages::page_tokens, pages.index),
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

  /// Bytes read by all steps so far, bounds included, and what reading everything would have been.
  double read_bytes() const { return read_; }
  double dense_bytes() const { return there_; }
  /// What the indexes occupy beside the cache, for the tokens that are there.
  double index_bytes() const {
    double sum = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      sum += bytes_of_bounds(layers_[i].index, cache_.store(i));
    }
    return sum;
  }

 private:
  template <class T>
  static rota::view<T, 3> one(rota::view<T, 3> rows, rota::index_t i) {
    rows.data += i * rows.stride[0];
    rows.extent[0] = 1;
    return rows;
  }

  static double bytes_of_bounds(const rota::page_index<element>& index, const store_type& store) {
    double pages = 0;
    for (rota::index_t h = 0; h < store.kv_heads(); ++h) pages += index.list.counts(h);
    return pages *
               static_cast<double>(sizeof(rota::page_ref) +
                                   2 * static_cast<std::size_t>(store.d_k()) * sizeof(element)) +
           4.0 * static_cast<double>(store.kv_heads());
  }

  void attend_part(const part_type& part, const rota::view<const float, 3>& q,
                   const rota::view<float, 3>& out, std::size_t layer, const std::string& where) {
    const rota::attend_item<part_type> item{q, &part, out, {}};
    const std::span<const rota::attend_item<part_type>> batch(&item, 1);
    const rota::attend_params p = attend_params_of(cache_.config(), layer);
    const rota::workspace ws =
        scratch_.at_least(rota::cpu::attend_workspace_bytes(cache_.backend(), batch, p));
    require(rota::cpu::attend(cache_.backend(), batch, p, ws), where);
    read_ += static_cast<double>(part.read_bytes());
  }

  dense_cache<element>& cache_;
  rota::page_budget budget_;
  std::vector<layer_pages> layers_;
  scratch_memory scratch_;
  double read_ = 0, there_ = 0;
};

}  // namespace rota_lm::eval
