#pragma once

#include <algorithm>
#include <deque>
#include <vector>

#include <rota/store/block.hpp>

#include "support/random.hpp"

namespace rota_test {

using rota::index_t;

/// What a fake store is made of.
struct fake_shape {
  index_t kv_heads = 1;
  index_t d_k = 16;
  index_t d_v = 16;
  index_t width = 16;  ///< of a value group; divides d_v
  bool means = false;
  bool gaps = false;  ///< positions skip some numbers
};

/// Blocks of any value order, built by hand with random contents: what no packer would write
/// (records without tokens, masks without groups, orders mixed in one head) must be read too. Every
/// array is exactly as long as its block says, so that sanitizers see a read too many.
template <rota::element E>
class fake_store {
 public:
  using element_type = E;

  fake_store(random_source& rng, const fake_shape& shape)
      : rng_(&rng), shape_(shape), heads_(static_cast<std::size_t>(shape.kv_heads)) {
    if (!shape.means) return;
    for (index_t i = 0; i < shape.kv_heads * shape.d_v; ++i) means_.push_back(rng.normal());
  }
  fake_store(const fake_store&) = delete;
  fake_store& operator=(const fake_store&) = delete;

  /// Adds a block of `count` tokens to every head; each token keeps each group with `keep_group`.
  void add_block(index_t count, rota::value_order order, double keep_group) {
    for (std::size_t h = 0; h < heads_.size(); ++h) add_to_head(h, count, order, keep_group);
    next_position_ = 0;
    for (const auto& h : heads_) next_position_ = std::max(next_position_, h.next_position);
  }

  /// Lets the queries stand further back or ahead than the stored tokens say.
  void set_next_position(rota::position_t p) { next_position_ = p; }

  index_t kv_heads() const { return shape_.kv_heads; }
  index_t d_k() const { return shape_.d_k; }
  index_t d_v() const { return shape_.d_v; }
  index_t group_width() const { return shape_.width; }
  rota::position_t next_position() const { return next_position_; }
  index_t block_count(index_t h) const {
    return static_cast<index_t>(heads_[static_cast<std::size_t>(h)].blocks.size());
  }
  const float* means(index_t h) const {
    return means_.empty() ? nullptr : means_.data() + h * shape_.d_v;
  }
  index_t bytes() const { return 0; }
  rota::status check() const { return status_; }
  void set_status(rota::status s) { status_ = s; }

  rota::block<E> block_at(index_t h, index_t i) const {
    const content& c = heads_[static_cast<std::size_t>(h)].blocks[static_cast<std::size_t>(i)];
    rota::block<E> b;
    b.count = c.count;
    b.positions = c.positions.empty() ? nullptr : c.positions.data();
    b.first_position = c.first_position;
    b.keys = c.keys.data();
    b.key_stride = shape_.d_k;
    b.order = c.order;
    b.values = c.values.data();
    b.value_stride = shape_.d_v;
    if (c.order == rota::value_order::token_major) b.masks = c.masks.data();
    if (c.order != rota::value_order::whole) b.starts = c.starts.data();
    if (c.order == rota::value_order::group_major) b.members = c.members.data();
    return b;
  }

  E& key(index_t h, index_t block, index_t token, index_t column) {
    auto& c = heads_[static_cast<std::size_t>(h)].blocks[static_cast<std::size_t>(block)];
    return c.keys[static_cast<std::size_t>(token * shape_.d_k + column)];
  }
  /// Values of a block as they lie.
  std::vector<E>& values(index_t h, index_t block) {
    return heads_[static_cast<std::size_t>(h)].blocks[static_cast<std::size_t>(block)].values;
  }

 private:
  struct content {
    index_t count = 0;
    rota::value_order order = rota::value_order::whole;
    rota::position_t first_position = 0;
    std::vector<rota::position_t> positions;
    std::vector<E> keys, values;
    std::vector<rota::group_mask> masks;
    std::vector<std::uint16_t> starts;
    std::vector<std::uint8_t> members;
  };
  struct head {
    std::deque<content> blocks;
    rota::position_t next_position = 0;
  };

  void add_to_head(std::size_t h, index_t count, rota::value_order order, double keep_group) {
    content c;
    c.count = count;
    c.order = order;
    place(heads_[h], c);
    fill(c.keys, count * shape_.d_k);
    if (order == rota::value_order::whole)
      fill(c.values, count * shape_.d_v);
    else
      add_slices(c, keep_group);
    heads_[h].blocks.push_back(std::move(c));
  }

  void place(head& to, content& c) {
    c.first_position = to.next_position;
    for (index_t j = 0; j < c.count; ++j) {
      if (shape_.gaps) {
        to.next_position += static_cast<rota::position_t>(rng_->below(3));
        c.positions.push_back(to.next_position);
      }
      ++to.next_position;
    }
  }

  void fill(std::vector<E>& v, index_t n) {
    for (index_t i = 0; i < n; ++i) v.push_back(E(rng_->normal()));
  }

  void add_slices(content& c, double keep_group) {
    const index_t groups = shape_.d_v / shape_.width;
    for (index_t j = 0; j < c.count; ++j) {
      unsigned mask = 0;
      for (index_t g = 0; g < groups; ++g) mask |= rng_->chance(keep_group) ? 1u << g : 0u;
      c.masks.push_back(static_cast<rota::group_mask>(mask));
    }
    std::size_t slices = 0;
    const auto has = [&](index_t j, index_t g) {
      return ((c.masks[static_cast<std::size_t>(j)] >> g) & 1) != 0;
    };
    const bool by_token = c.order == rota::value_order::token_major;
    const index_t outer = by_token ? c.count : groups;
    const index_t inner = by_token ? groups : c.count;
    for (index_t a = 0; a < outer; ++a) {
      c.starts.push_back(static_cast<std::uint16_t>(slices));
      for (index_t b = 0; b < inner; ++b) {
        if (!(by_token ? has(a, b) : has(b, a))) continue;
        ++slices;
        if (!by_token) c.members.push_back(static_cast<std::uint8_t>(b));
      }
    }
    c.starts.push_back(static_cast<std::uint16_t>(slices));
    fill(c.values, static_cast<index_t>(slices) * shape_.width);
  }

  random_source* rng_;
  fake_shape shape_;
  std::deque<head> heads_;
  std::vector<float> means_;
  rota::position_t next_position_ = 0;
  rota::status status_;
};

}  // namespace rota_test
