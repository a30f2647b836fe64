// Read-select over a dense cache: everything stays, and a step reads the pages that its query may
// care for (Quest).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rota/attend/read_select.hpp>
#include <rota/core/types.hpp>
#include <rota/core/view.hpp>
#include <rota/store/dense.hpp>

#include "engine/dense_cache.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/sequence.hpp"

namespace rota_lm::eval {

/// The pages of a layer's store: the library's index with its memory.
class layer_pages {
 public:
  static constexpr rota::index_t page_tokens = 16;

  /// Room for the whole capacity of the store.
  explicit layer_pages(const rota::dense_store<element>& store);
  layer_pages(layer_pages&&) noexcept = default;  // vectors keep their memory

  rota::page_index<element> index;
  rota::page_list chosen;

  void forget() { std::fill(counts_.begin(), counts_.end(), 0); }

 private:
  std::size_t count(rota::index_t each) const;

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
  static std::optional<rota::index_t> pages_for(const store_type& store, double ratio);

  reading_cache(dense_cache<element>& cache, rota::index_t pages);

  std::size_t next_position() const override { return cache_.next_position(); }
  void advance(std::size_t tokens) override { cache_.advance(tokens); }
  void truncate(std::size_t length) override;

  /// Token by token, as decoding would: each chooses its own pages.
  void attend(const attention_call& call) override;

  /// Bytes read by all steps so far, bounds included, and what reading everything would have been.
  double read_bytes() const { return read_; }
  double dense_bytes() const { return there_; }
  /// What the indexes occupy beside the cache, for the tokens that are there.
  double index_bytes() const;

 private:
  template <class T>
  static rota::view<T, 3> one(rota::view<T, 3> rows, rota::index_t i);
  static double bytes_of_bounds(const rota::page_index<element>& index, const store_type& store);
  void attend_part(const part_type& part, const rota::view<const float, 3>& q,
                   const rota::view<float, 3>& out, std::size_t layer, const std::string& where);

  dense_cache<element>& cache_;
  rota::page_budget budget_;
  std::vector<layer_pages> layers_;
  scratch_memory scratch_;
  double read_ = 0, there_ = 0;
};

}  // namespace rota_lm::eval
